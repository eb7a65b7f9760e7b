"""The management API on the daemon's port; one resource, one module."""
