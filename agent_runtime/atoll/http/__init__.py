"""The agent's HTTP face: one dialect, one module."""
