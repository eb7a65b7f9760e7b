"""The fleet-rlm dialect: turns over a WebSocket (seeds-contract.md section 4)."""
