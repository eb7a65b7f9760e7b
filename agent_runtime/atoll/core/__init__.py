"""The agent's decisions: pure functions over values, no clock, no I/O."""
