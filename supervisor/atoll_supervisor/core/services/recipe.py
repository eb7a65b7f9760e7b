"""A recipe: what kind of service it starts, and what a request may change of it.

The fields are ours and those of the source system's YAML (seeds-contract.md
5.2). A command is written in the recipe alone: requests fill its `{places}`
with values and can name no command.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from atoll.config.manifest import Count, Positive, Seconds
from atoll_supervisor.core.spec import Restart

EngineName = Literal["local", "slurm"]
Location = Literal["root", "resources", "environment"]
ParameterType = Literal["string", "integer", "float", "boolean", "gguf"]
Value = str | int | float | bool
PortNumber = Annotated[int, Meta(ge=1, le=65_535)]


class Parameter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value that a request may give.

    `location` is where in the request's `config` it stands. With a `flag` it
    goes onto the command line as `flag value` (a boolean as the bare flag); one
    that the command names as `{NAME}` is filled in there; any other becomes a
    variable of the process. A `gguf` is a path or the name of a pulled model.
    """

    description: str = ""
    type: ParameterType = "string"
    default: Value | None = None
    required: bool = False
    location: Location = "environment"
    flag: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


class Amounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resources as people write them: `"8"` CPUs, `"32G"`, minutes; None where nothing is said.

    Memory units are SLURM's: powers of 1024, a bare number is MiB.
    """

    nodes: int | None = None
    cpu: str | int | float | None = None
    memory: str | int | None = None
    gpu: str | int | None = None
    time_limit: str | int | None = None
    storage: str | None = None


class HealthCheck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the service is asked whether it works: GET `path`, any 2xx is well; times in seconds."""

    path: str = "/health"
    interval: Annotated[float, Meta(ge=0.1)] = 5.0
    timeout: Positive = 5.0
    retries: Annotated[int, Meta(ge=1)] = 3


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a recipe folder.

    `command` is an argument vector whose `{places}` are `python`, `host`,
    `port`, `data` (a folder of the service's own), `name`, and the parameters.
    `{key}` in a value of `environment` is the service's own API key. `api` tells
    what prompts are sent to. `start_limit` is how long it may take, in seconds,
    until it answers. On this machine a server that ends is started again as
    `restart` says, `max_restarts` times within `restart_window` seconds; then the
    service has failed. `limits` are the most that a request may ask for. The fields
    from `image` on are the source system's: without a `command`, the image is run
    with Apptainer, and built from `container_def` first if it is not there; `port`
    tells what `ports` and `base_port` mean, `replicas.orders_of` what
    `gpu_per_replica` does. `nproc_per_node` and `master_port` are only read.
    """

    name: str
    category: str = ""
    description: str = ""
    version: str = ""
    licence: str = ""
    api: Literal["", "openai"] = ""
    engine: EngineName | None = None
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    resources: Amounts = Amounts()
    limits: Amounts = Amounts()
    parameters: dict[str, Parameter] = {}
    health: HealthCheck = HealthCheck()
    metrics: str = ""
    start_limit: Positive = 600.0
    stop_timeout: Seconds = 10.0
    restart: Restart = "on-failure"
    max_restarts: Count = 5
    restart_window: Positive = 60.0
    max_replicas: Annotated[int, Meta(ge=1, le=1000)] = 16
    partition: str = ""
    account: str = ""
    qos: str = ""
    image: str = ""
    container_def: str = ""
    ports: tuple[PortNumber, ...] = ()
    gpu_per_replica: Annotated[int, Meta(ge=1)] | None = None
    base_port: PortNumber | None = None
    nproc_per_node: int | None = None
    master_port: int | None = None

    @property
    def port(self) -> int:
        """The port that it names: of replicas the first one's; 0 for any that is free."""
        first = self.ports[0] if self.ports else 0
        of_replicas = self.base_port or 0
        return (of_replicas or first) if self.gpu_per_replica else (first or of_replicas)
