"""The gateway: the whole fleet as one Ollama and OpenAI server, `model` being an agent's name.

A room of its own: it sees the rest of the daemon through `ports.Fleet` alone.
"""
