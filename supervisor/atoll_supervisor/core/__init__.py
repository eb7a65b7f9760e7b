"""The decisions of the daemon: pure, no clock, no I/O."""
