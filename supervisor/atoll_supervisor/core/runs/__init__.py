"""Recorded work: one agent or a workflow of several, as values and pure decisions (Flock)."""
