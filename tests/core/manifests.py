"""A manifest that sets every table, as the design shows it."""

FULL = """\
#:schema ./agent.schema.json
[agent]
name = "GhidraAgent"
capabilities = ["binary-analysis"]

[llm]
provider = "ollama"
base_url = "http://127.0.0.1:11434"
model = "llama3.2"
api_key_env = "OPENROUTER_API_KEY"
system_prompt = "You are ..."
temperature = 0.2
script = "script.toml"

[tools]
python = "tools.py"
execute_code = true
allow = ["*"]
timeout = 30
max_result_chars = 20000

[loop]
max_steps = 10
planning_interval = 0

[mcp_servers.files]
type = "stdio"
command = "mcp-server-files"

[sub_agents.helper]
agent = "helper"

[sandbox]
memory_limit = "512MB"
processes = 64
time_limit = 30
disk_limit = "256MB"
output_limit = "1MB"

[server]
on_disconnect = "cancel"
allowed_origins = []

[session]
timeout_minutes = 30
concurrency = "enqueue"

[budget]
tokens_per_turn = 20000
calls_per_turn = 50
seconds_per_turn = 300

[io]
input = "query: str | The query to process"
output = "result: str | The processed result"
hand_off = "writer"

[resources]
memory_limit = "512MB"

[deployment]
port = 0
engine = "local"
spawn = "fork"
restart = "on-failure"
max_restarts = 5
restart_window = 60
stop_timeout = 30
idle_timeout = 0
health_check_interval = 30

[dependencies]
python = ">=3.11"
packages = []
"""
