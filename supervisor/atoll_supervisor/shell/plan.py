"""From the agents directory to blueprints: the agents, and the model hosts they need.

The fleet chooses its default back end once (DESIGN section 6): every agent
whose manifest names none gets the same, and it does not change while the
daemon runs.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path

import msgspec

from atoll.adapters.choose import Choice, choose
from atoll.adapters.local import host_socket
from atoll.config.legacy import read_ollama_config
from atoll.config.llm_defaults import LlmDefaults
from atoll.config.load import Loaded
from atoll.config.manifest import Deployment, Llm, Manifest
from atoll.config.names import slug_of
from atoll.config.places import Places
from atoll.errors import AtollError
from atoll_supervisor.core.reconcile import Broken
from atoll_supervisor.core.spec import Card, Policy, UnitSpec
from atoll_supervisor.shell import discover
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.environ import child_environment

Found = Blueprint | Broken
Say = Callable[[str], None]

_PASSED_ON = ("ATOLL_AGENT_TOKEN", "ATOLL_LIBRARY", "ATOLL_OLLAMA_URL", "OLLAMA_HOST")
"""Settings of agents that a person makes in the daemon's environment."""
_HOST_POLICY = Policy(restart="always", stop_timeout=3.0)


class Planner:
    """Looks at the agents directory, as often as it is asked to."""

    def __init__(
        self, agents_dir: Path, most: int | None, places: Places, environ: Mapping[str, str]
    ) -> None:
        self._agents_dir = agents_dir
        self._most = most
        self._places = places
        self._environ = environ
        self._default = ""

    async def look(self, say: Say) -> tuple[Found, ...]:
        """Read every manifest and plan its unit; raises ConfigError for an unreadable directory."""
        seen = await asyncio.to_thread(discover.discover, self._agents_dir, self._environ)
        defaults = read_ollama_config(Path(self._environ.get("HOME", "/")))
        await self._choose_default(defaults, say)
        wanted, over = seen.found[: self._most], seen.found[len(seen.found[: self._most]) :]
        planned = [found for loaded in wanted for found in await self._plan(loaded, defaults)]
        unique = {_key(found): found for found in planned}
        refused = (*map(self._refused, over), *map(_broken, seen.broken))
        return (*unique.values(), *_distinct(refused, unique))

    async def _choose_default(self, defaults: LlmDefaults, say: Say) -> None:
        if not self._default:
            choice = await choose(Llm(), defaults, self._environ, self._places)
            self._default = f"{choice.backend}:{choice.model}" if choice.model else choice.backend
            say(f"back end of agents that name none: {self._default} ({choice.why})")

    async def _plan(self, loaded: Loaded, defaults: LlmDefaults) -> tuple[Found, ...]:
        environ = {**self._environ, "ATOLL_DEFAULT_LLM": self._default}
        try:
            folder = loaded.path.parent
            choice = await choose(loaded.manifest.llm, defaults, environ, self._places, folder)
        except AtollError as error:
            slug = slug_of(loaded.manifest.agent.name)
            return (Broken(slug, str(loaded.path), str(error)),)
        if choice.gguf is None:
            return (self._agent(loaded, choice, ()),)
        host = self._host(choice, choice.gguf)
        return (host, self._agent(loaded, choice, (host.spec.slug,)))

    def _refused(self, loaded: Loaded) -> Broken:
        reason = f"the fleet is full: max_agents is {self._most}; raise ATOLL_MAX_AGENTS"
        return Broken(slug_of(loaded.manifest.agent.name), str(loaded.path), reason)

    def _agent(self, loaded: Loaded, choice: Choice, needs: tuple[str, ...]) -> Blueprint:
        manifest = loaded.manifest
        spec = UnitSpec(
            slug=slug_of(manifest.agent.name),
            name=manifest.agent.name,
            checksum=_digest(loaded.checksum, choice.backend, choice.model),
            config_path=str(loaded.path),
            fixed_port=manifest.deployment.port,
            depends_on=needs,
            policy=policy_of(manifest.deployment),
            card=_card(manifest, choice),
        )
        env = self._env(tuple(loaded.variables))
        return Blueprint(spec=spec, cwd=loaded.path.parent, env=env, manifest=loaded.path)

    def _host(self, choice: Choice, gguf: Path) -> Blueprint:
        """The model host of one GGUF; its slug has a dot, so that it can never be an agent's."""
        spec = UnitSpec(
            slug=f"model.{slug_of(choice.model) or slug_of(gguf.stem)}",
            name=choice.model,
            checksum=_digest(str(gguf)),
            kind="model_host",
            policy=_HOST_POLICY,
            card=Card(model=choice.model, backend="local", description="model host"),
        )
        socket = host_socket(self._places, gguf)
        return Blueprint(spec=spec, cwd=gguf.parent, env=self._env(()), gguf=gguf, socket=socket)

    def _env(self, wanted: tuple[str, ...]) -> dict[str, str]:
        extra = {
            "ATOLL_STATE_DIR": str(self._places.state),
            "RUNTIME_DIRECTORY": str(self._places.runtime),
            "ATOLL_DEFAULT_LLM": self._default,
        }
        return child_environment(self._environ, (*wanted, *_PASSED_ON), extra)


def policy_of(deployment: Deployment) -> Policy:
    """The restart policy that a manifest asks for."""
    return Policy(
        restart=deployment.restart,
        max_restarts=deployment.max_restarts,
        restart_window=deployment.restart_window,
        restart_delay=deployment.restart_delay,
        start_timeout=deployment.start_timeout,
        stop_timeout=deployment.stop_timeout,
        probe_interval=deployment.health_check_interval,
    )


def _card(manifest: Manifest, choice: Choice) -> Card:
    return Card(
        version=manifest.agent.version,
        description=manifest.agent.description,
        capabilities=manifest.agent.capabilities,
        model=choice.model,
        backend=choice.backend,
        input_schema=manifest.io.input,
        output_schema=manifest.io.output,
        hand_off=manifest.io.hand_off,
    )


def _broken(broken: discover.Broken) -> Broken:
    problem = broken.problems[0]
    more = len(broken.problems) - 1
    tail = f" (and {more} more)" if more else ""
    slug = slug_of(broken.path.parent.name) or "unnamed"
    return Broken(slug, str(broken.path), f"{problem.where}: {problem.message}{tail}")


def _distinct(refused: Iterable[Broken], taken: Collection[str]) -> Iterator[Broken]:
    """Each with a slug of its own, so that none hides behind an agent of the same name.

    `ghidra.2` can never be an agent's: slugs hold no dots.
    """
    used = set(taken)
    for broken in refused:
        slugs = (f"{broken.slug}.{n}" if n > 1 else broken.slug for n in count(1))
        slug = next(slug for slug in slugs if slug not in used)
        used.add(slug)
        yield msgspec.structs.replace(broken, slug=slug)


def _key(found: Found) -> str:
    return found.spec.slug if isinstance(found, Blueprint) else found.config_path


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
