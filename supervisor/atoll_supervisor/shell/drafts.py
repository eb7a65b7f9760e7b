"""One manifest, one back end: the blueprint of the agent, and of the model host it needs."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from atoll.adapters.choose import Choice
from atoll.adapters.local import host_socket
from atoll.config.llm_defaults import LlmDefaults
from atoll.config.load import Loaded
from atoll.config.manifest import Io, Manifest, Resources
from atoll.config.names import slug_of
from atoll.config.places import Places
from atoll.config.signature import SignatureError, split_signature
from atoll.config.sizes import bytes_of
from atoll_supervisor.core.agent_job import JobOrder, order_of
from atoll_supervisor.core.spec import ANY_TIME, Card, Policy, Routing, UnitSpec
from atoll_supervisor.keeper.protocol import Via
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.effective import checksum_of
from atoll_supervisor.shell.environ import child_environment

PASSED_ON = ("ATOLL_AGENT_TOKEN", "ATOLL_LIBRARY", "ATOLL_OLLAMA_URL", "OLLAMA_HOST")
"""Settings of agents that a person makes in the daemon's environment."""
DELEGATION = ("ATOLL_DAEMON_URL", "ATOLL_DELEGATION_KEY")
"""What the daemon gives its agents so that they find each other and know each other's calls."""
CLUSTER = ("SLURM_CONF", "ATOLL_SLURM_REST")
"""What a relay needs besides, to reach SLURM."""
_OURS = ("ATOLL_STATE_DIR", "RUNTIME_DIRECTORY")
HOST_POLICY = Policy(restart="always", stop_timeout=3.0, overlap=False)
"""Two hosts of one model would need its memory twice, and they share one socket's path."""


class Drafts:
    """Makes blueprints in one environment; those that need the same variables share them."""

    def __init__(self, places: Places, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self._places = places
        self._shared: dict[tuple[str, ...], Mapping[str, str]] = {}

    def agent(
        self,
        loaded: Loaded,
        choice: Choice,
        defaults: LlmDefaults,
        files: str,
        hosts: tuple[Blueprint, ...],
    ) -> Blueprint:
        """The agent of a manifest. `hosts` start before it."""
        manifest, variables = loaded.manifest, tuple(sorted(loaded.variables))
        is_job = manifest.deployment.engine == "slurm"
        env = self._env((*variables, *DELEGATION, *(CLUSTER if is_job else ())))
        matters = {name: env[name] for name in (*variables, *PASSED_ON, *_OURS) if name in env}
        slug = slug_of(manifest.agent.name)
        checksum = checksum_of(loaded, choice, defaults, matters, files)
        spec = UnitSpec(
            slug=slug,
            name=manifest.agent.name,
            checksum=checksum,
            config_path=str(loaded.path),
            fixed_port=manifest.deployment.port,
            depends_on=tuple(host.spec.slug for host in hosts),
            policy=policy_of(manifest),
            card=_card(manifest, choice),
        )
        return Blueprint(
            spec=spec,
            cwd=loaded.path.parent,
            env=env,
            via=_via(manifest),
            limits={} if is_job else limits_of(manifest.resources),
            manifest=loaded.path,
            job=self._job(loaded, slug, checksum) if is_job else None,
        )

    def host(self, choice: Choice, gguf: Path) -> Blueprint:
        """The model host of one GGUF; its slug has a dot, so that it can never be an agent's."""
        spec = UnitSpec(
            slug=f"model.{slug_of(choice.model) or slug_of(gguf.stem)}",
            name=choice.model,
            checksum=hashlib.sha256(ascii(str(gguf)).encode()).hexdigest(),
            kind="model_host",
            policy=HOST_POLICY,
            card=Card(model=choice.model, backend="local", description="model host"),
        )
        socket = host_socket(self._places, gguf)
        return Blueprint(spec=spec, cwd=gguf.parent, env=self._env(()), gguf=gguf, socket=socket)

    def _job(self, loaded: Loaded, slug: str, checksum: str) -> JobOrder:
        folder = str(self._places.state / "jobs" / slug)
        return order_of(loaded.manifest, slug, str(loaded.path), checksum, folder, sys.executable)

    def _env(self, wanted: tuple[str, ...]) -> Mapping[str, str]:
        if wanted not in self._shared:
            extra = {
                "ATOLL_STATE_DIR": str(self._places.state),
                "RUNTIME_DIRECTORY": str(self._places.runtime),
                "ATOLL_DEFAULT_LLM": self.environ["ATOLL_DEFAULT_LLM"],
            }
            chosen = child_environment(self.environ, (*wanted, *PASSED_ON), extra)
            self._shared[wanted] = chosen
        return self._shared[wanted]


def policy_of(manifest: Manifest) -> Policy:
    """The restart policy that a manifest asks for.

    The only GPU of a cluster cannot be had by the new job while the old one has it.
    """
    deployment = manifest.deployment
    is_job = deployment.engine == "slurm"
    return Policy(
        restart=deployment.restart,
        max_restarts=deployment.max_restarts,
        restart_window=deployment.restart_window,
        restart_delay=deployment.restart_delay,
        start_timeout=ANY_TIME if is_job else deployment.start_timeout,
        stop_timeout=deployment.stop_timeout,
        probe_interval=deployment.health_check_interval,
        idle_timeout=deployment.idle_timeout,
        overlap=not (is_job and manifest.slurm.gpu),
    )


def limits_of(resources: Resources) -> dict[str, float]:
    """The limits that are set, as `keeper.protocol.Launch` has them."""
    memory = resources.memory_limit
    limits = {
        "memory": None if memory is None else bytes_of(memory),
        "pids": resources.pids_limit,
        "cpu": resources.cpu_limit,
    }
    return {name: float(limit) for name, limit in limits.items() if limit is not None}


def _via(manifest: Manifest) -> Via:
    """Only agents that share the daemon's interpreter can be forked from the template."""
    deployment, own = manifest.deployment, manifest.dependencies is not None
    is_exec = own or deployment.spawn == "exec" or deployment.engine == "slurm"
    return "exec" if is_exec else "fork"


def _card(manifest: Manifest, choice: Choice) -> Card:
    takes, gives = _typed(manifest.io)
    return Card(
        version=manifest.agent.version,
        description=manifest.agent.description,
        capabilities=manifest.agent.capabilities,
        model=choice.model,
        backend=choice.backend,
        input_schema=takes,
        output_schema=gives,
        hand_off=manifest.io.hand_off,
        routing=_routing(manifest.io),
    )


def _typed(io: Io) -> tuple[str | None, str | None]:
    """The signatures of input and output. A variable's value may be none: its runs will say so."""
    if io.signature is None:
        return io.input, io.output
    try:
        return split_signature(io.signature)
    except SignatureError:
        return io.signature, None


def _routing(io: Io) -> Routing | None:
    """None where an agent hands off to one other, or to nobody, in the usual way."""
    routing = Routing(io.hand_off_choices, io.hand_off_threshold, io.hand_off_merge)
    return None if routing == Routing() else routing
