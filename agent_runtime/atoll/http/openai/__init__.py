"""The OpenAI dialect: `/v1/*` as Ollama serves it (ollama-api.md section 3.1)."""
