"""The Anthropic dialect: `/v1/messages` as Ollama serves it (ollama-api.md section 3.1)."""
