"""Performs what the core decides, for one agent."""
