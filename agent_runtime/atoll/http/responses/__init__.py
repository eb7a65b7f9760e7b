"""Open Responses: `POST /v1/responses`, stateless as in Ollama (protocols.md section 4)."""
