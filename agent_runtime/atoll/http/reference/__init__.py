"""What an agent's port serves, told to people and to their tools: `/openapi.json` and its pages."""
