"""One module for each supervisor: how it is configured, started, asked and ended."""
