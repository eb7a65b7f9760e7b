"""The native dialect: a turn's events as they are, which is how parents talk to children."""
