"""The one loop that owns the fleet's state: events in, decisions by the core, effects out."""
