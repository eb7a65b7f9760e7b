"""What an agent adds between a client and its model: time to first token, tokens a second."""
