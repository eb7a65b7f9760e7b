"""Python written by a model, run where it can reach nothing (docs/execute-code.md)."""
