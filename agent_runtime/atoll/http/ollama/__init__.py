"""The Ollama dialect: `/api/*` as ollama-api.md has it."""
