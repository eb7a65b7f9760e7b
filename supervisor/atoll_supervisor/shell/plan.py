"""From the agents directory to blueprints: the agents, and the model hosts they need.

The fleet chooses its default back end once (DESIGN section 6): every agent
whose manifest names none gets the same, and it does not change while the
daemon runs. Nor does the model of an Ollama for which the manifest names none.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from atoll.adapters.choose import Choice, choose
from atoll.config.legacy import read_ollama_config
from atoll.config.llm_defaults import LlmDefaults
from atoll.config.load import Loaded
from atoll.config.manifest import Llm
from atoll.config.names import slug_of
from atoll.config.places import Places
from atoll.errors import AtollError
from atoll_supervisor.core.agent_job import check_fit
from atoll_supervisor.core.reconcile import Broken
from atoll_supervisor.shell import discover
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.children import with_children
from atoll_supervisor.shell.drafts import Drafts
from atoll_supervisor.shell.effective import Files
from atoll_supervisor.shell.remember import Memory

Found = Blueprint | Broken
Say = Callable[[str], None]

YIELD_EVERY = 50
"""Agents that are planned before the loop may do something else."""


class _Read(Struct, frozen=True):
    """One agent as a look found it; `files` is the hash of the files its manifest names."""

    loaded: Loaded
    files: str


class _Seen(Struct, frozen=True):
    agents: tuple[_Read, ...]
    over: tuple[Loaded, ...]
    broken: tuple[discover.Broken, ...]
    defaults: LlmDefaults


class _Planned(Struct, frozen=True):
    """What one agent came to: itself last, after the model host that it needs."""

    read: _Read
    defaults: LlmDefaults
    found: tuple[Found, ...]
    is_stable: bool


class Planner:
    """Looks at the agents directory, as often as it is asked to, one look at a time.

    `default` is the fleet's back end as an earlier daemon chose it, "" to choose anew.
    """

    def __init__(
        self,
        agents_dir: Path,
        most: int | None,
        places: Places,
        environ: Mapping[str, str],
        default: str = "",
    ) -> None:
        self.default = default
        self._agents_dir = agents_dir
        self._most = most
        self._places = places
        self._environ = environ
        self._known: discover.Known = Memory()
        self._files = Files()
        self._choices: dict[tuple[Llm, LlmDefaults], Choice] = {}
        self._planned: dict[Path, _Planned] = {}

    async def look(self, say: Say) -> tuple[Found, ...]:
        """Read what has changed and plan its units; raises ConfigError for an unreadable directory.

        What did not change is the same object as in the look before.
        """
        seen = await asyncio.to_thread(self._read)
        await self._choose_default(seen.defaults, say)
        environ = {**self._environ, "ATOLL_DEFAULT_LLM": self.default}
        drafts = Drafts(self._places, environ)
        planned: dict[Path, _Planned] = {}
        for number, read in enumerate(seen.agents):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            path = read.loaded.path
            planned[path] = self._same(read, seen) or await self._plan(read, seen, drafts)
        self._planned = planned
        return await asyncio.to_thread(self._all, seen)

    def _read(self) -> _Seen:
        seen = discover.discover(self._agents_dir, self._environ, self._known)
        wanted, over = seen.found[: self._most], seen.found[len(seen.found[: self._most]) :]
        agents = tuple(map(_Read, wanted, self._files.of(wanted)))
        defaults = read_ollama_config(Path(self._environ.get("HOME", "/")))
        return _Seen(agents, over, seen.broken, defaults)

    async def _choose_default(self, defaults: LlmDefaults, say: Say) -> None:
        if not self.default:
            choice = await choose(Llm(), defaults, self._environ, self._places)
            self.default = f"{choice.backend}:{choice.model}" if choice.model else choice.backend
            say(f"back end of agents that name none: {self.default} ({choice.why})")

    def _same(self, read: _Read, seen: _Seen) -> _Planned | None:
        """The plan of the last look, when nothing it was made from is different."""
        old = self._planned.get(read.loaded.path)
        if old is None or not old.is_stable or old.defaults != seen.defaults:
            return None
        same = old.read.files == read.files and old.read.loaded is read.loaded
        return old if same else None

    async def _plan(self, read: _Read, seen: _Seen, drafts: Drafts) -> _Planned:
        loaded = read.loaded
        try:
            choice = await self._choose(loaded, seen.defaults, drafts.environ)
            check_fit(loaded.manifest, choice.backend)
        except AtollError as error:
            slug = slug_of(loaded.manifest.agent.name)
            found: tuple[Found, ...] = (Broken(slug, str(loaded.path), str(error)),)
            return _Planned(read, seen.defaults, found, is_stable=False)
        hosts = () if choice.gguf is None else (drafts.host(choice, choice.gguf),)
        agent = drafts.agent(loaded, choice, seen.defaults, read.files, hosts)
        return _Planned(read, seen.defaults, (*hosts, agent), is_stable=not hosts)

    async def _choose(
        self, loaded: Loaded, defaults: LlmDefaults, environ: Mapping[str, str]
    ) -> Choice:
        """The agent's back end; an Ollama is asked for its models once, not at each look."""
        llm = loaded.manifest.llm
        key = (Llm(**{name: getattr(llm, name) for name in _CHOSEN_BY}), defaults)
        if key in self._choices:
            return self._choices[key]
        choice = await choose(llm, defaults, environ, self._places, loaded.path.parent)
        if choice.backend == "ollama":
            self._choices[key] = choice
        return choice

    def _all(self, seen: _Seen) -> tuple[Found, ...]:
        """Everything that was found, each with a slug of its own."""
        found = [found for planned in self._planned.values() for found in planned.found]
        unique = {_key(found): found for found in found}
        manifests = {read.loaded.path: read.loaded.manifest for read in seen.agents}
        refused = (*map(self._refused, seen.over), *map(_broken, seen.broken))
        return (*with_children(unique.values(), manifests), *_distinct(refused, unique))

    def _refused(self, loaded: Loaded) -> Broken:
        reason = f"the fleet is full: max_agents is {self._most}; raise ATOLL_MAX_AGENTS"
        return Broken(slug_of(loaded.manifest.agent.name), str(loaded.path), reason)


_CHOSEN_BY = ("provider", "base_url", "port", "model", "api_key_env", "script")
"""The keys of `[llm]` that a choice depends on."""


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
        yield replace(broken, slug=slug)


def _key(found: Found) -> str:
    return found.spec.slug if isinstance(found, Blueprint) else found.config_path
