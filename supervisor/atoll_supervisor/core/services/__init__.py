"""Decisions about services: recipes, requests, states. Pure, like all of `core`."""
