"""`agent.toml` as Structs: every table and key of DESIGN section 6 and seeds-contract 1.1.

The Structs are the schema: unknown keys are refused, `atoll schema` is made
from them, and the defaults here are the documented ones. Reading, the places
of mistakes and the source systems' other spellings live in `load`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0)]
Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Size = Annotated[str, Meta(pattern=r"^(?=.*[1-9])[0-9]+(\.[0-9]+)?\s*([KMGT]i?)?B?$")]
"""Bytes with a unit: `512MB`, `4GB`, `1GiB`."""


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every table of the manifest."""


class Agent(Table, frozen=True):
    """`[agent]`: who the agent is. Only `name` is required."""

    name: str
    version: str = "1.0.0"
    description: str = ""
    author: str = ""
    license: str = ""
    capabilities: tuple[str, ...] = ()


class Llm(Table, frozen=True):
    """`[llm]`: the model behind the agent. Absent keys are chosen as DESIGN section 6 says."""

    provider: Literal["ollama", "openai", "local", "demo", "scripted"] | None = None
    base_url: str | None = None
    port: Port | None = None
    model: str | None = None
    api_key_env: str | None = None
    system_prompt: str = ""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=-1)] | None = None
    request_timeout: Positive = 300.0
    script: str | None = None


class Tools(Table, frozen=True):
    """`[tools]`: the agent's own tools."""

    python: str | None = None
    execute_code: bool = False
    allow: tuple[str, ...] = ("*",)
    timeout: Positive = 30.0
    max_result_chars: Annotated[int, Meta(ge=100)] = 20_000


class Loop(Table, frozen=True):
    """`[loop]`: how long a turn may think."""

    max_steps: Annotated[int, Meta(ge=1)] | None = None
    planning_interval: Count = 0


class McpServer(Table, frozen=True):
    """`[mcp_servers.<name>]`: a server of the Model Context Protocol."""

    type: Literal["stdio", "sse", "http"] = "stdio"
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    env_file: str | None = None
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    timeout_seconds: Positive = 30.0


class SubAgent(Table, frozen=True):
    """`[sub_agents.<name>]`: a child, named by exactly one of url, agent, capability."""

    url: str | None = None
    agent: str | None = None
    capability: str | None = None
    auth_token_env: str | None = None
    health_check_interval: Seconds = 30.0
    name: str | None = None
    service_name: str | None = None
    discovery_endpoint: str | None = None
    mode: str = "local"


class Sandbox(Table, frozen=True):
    """`[sandbox]`: limits of execute_code."""

    memory_limit: Size = "512MB"
    processes: Annotated[int, Meta(ge=1)] = 64
    time_limit: Positive = 30.0
    disk_limit: Size = "256MB"
    output_limit: Size = "1MB"


class Server(Table, frozen=True):
    """`[server]`: the agent's HTTP face."""

    on_disconnect: Literal["cancel", "detach"] | Seconds = "cancel"
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()


class Session(Table, frozen=True):
    """`[session]`: conversation memory."""

    timeout_minutes: Positive = 30.0
    concurrency: Literal["enqueue", "reject", "interrupt"] = "enqueue"
    compaction: Literal["summary", "window"] = "summary"


class Budget(Table, frozen=True):
    """`[budget]`: hard limits; None means no limit."""

    tokens_per_turn: Annotated[int, Meta(ge=1)] | None = None
    calls_per_turn: Annotated[int, Meta(ge=1)] | None = None
    seconds_per_turn: Positive | None = None
    tokens_per_session: Annotated[int, Meta(ge=1)] | None = None


class Io(Table, frozen=True):
    """`[io]`: Flock's typed input and output, and the next agent of a workflow.

    `signature` is `input -> output` in one string. The next agent is `hand_off`, or
    one of `hand_off_choices`, as the model says.
    """

    input: str | None = None
    output: str | None = None
    signature: str | None = None
    hand_off: str | None = None
    hand_off_choices: tuple[str, ...] = ()
    hand_off_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    hand_off_merge: Literal["match", "add"] = "match"


class Resources(Table, frozen=True):
    """`[resources]`: what the agent's processes may use, and how many turns run at once."""

    cpu_limit: Positive | None = None
    memory_limit: Size | None = None
    pids_limit: Annotated[int, Meta(ge=1)] | None = None
    timeout: Positive | None = None
    max_concurrent_requests: Annotated[int, Meta(ge=1)] = 32
    max_queue: Count = 512


class Deployment(Table, frozen=True):
    """`[deployment]`: how the daemon keeps the agent running. Times in seconds."""

    port: Port = 0
    engine: Literal["local", "slurm"] = "local"
    spawn: Literal["fork", "exec"] = "fork"
    restart: Literal["always", "on-failure", "never"] = "on-failure"
    max_restarts: Annotated[int, Meta(ge=0)] = 5
    restart_window: Positive = 60.0
    restart_delay: Seconds | None = None
    stop_timeout: Seconds = 30.0
    start_timeout: Positive = 60.0
    idle_timeout: Seconds = 0.0
    health_check_interval: Positive = 30.0


class Slurm(Table, frozen=True):
    """`[slurm]`: what the job of an agent with `engine = "slurm"` asks of the cluster.

    Its CPUs and memory are `[resources]` cpu_limit and memory_limit.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    time_limit: Annotated[int, Meta(ge=1)] | None = None
    gpu: Count = 0


class Dependencies(Table, frozen=True):
    """`[dependencies]`: the agent's own interpreter environment."""

    python: str = ">=3.11"
    packages: tuple[str, ...] = ()


class Manifest(Table, frozen=True):
    """A whole `agent.toml`."""

    agent: Agent
    llm: Llm = Llm()
    tools: Tools = Tools()
    loop: Loop = Loop()
    mcp_servers: dict[str, McpServer] = {}
    sub_agents: dict[str, SubAgent] = {}
    sandbox: Sandbox = Sandbox()
    server: Server = Server()
    session: Session = Session()
    budget: Budget = Budget()
    io: Io = Io()
    resources: Resources = Resources()
    deployment: Deployment = Deployment()
    slurm: Slurm = Slurm()
    dependencies: Dependencies | None = None
