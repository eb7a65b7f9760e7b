"""One agent: what it is, what it runs on, and its turns."""

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager, nullcontext

import msgspec
from msgspec import Struct

from atoll.config.manifest import Manifest
from atoll.config.names import same_model, slug_of, without_tag
from atoll.core.budget import NO_LIMIT
from atoll.core.hops import Hop
from atoll.core.papers import Seal
from atoll.core.vectors import fitted
from atoll.errors import AtollError
from atoll.loop.admission import Admission
from atoll.loop.arrival import arrived_by
from atoll.loop.compactor import Compactor
from atoll.loop.conversations import Conversations, Rules
from atoll.loop.errand import Children, Errand
from atoll.loop.hidden_call import HiddenCall
from atoll.loop.ledger import Ledger
from atoll.loop.runner import Runner
from atoll.loop.session_turn import Ground
from atoll.ports import (
    Backend,
    Clock,
    CodeTurns,
    Embedded,
    EmbedRequest,
    Model,
    ModelInfo,
    SessionStore,
    Toolbox,
)
from atoll.wire.events import Emit, Failure
from atoll.wire.turn import TurnRequest

_encode = msgspec.json.Encoder().encode

HEALTH_TTL = 2_000_000_000
"""Nanoseconds for which one look at the back end counts."""
LOOK_LIMIT = 2.0
"""Seconds that somebody who asks for the health waits for a look."""
NOT_YET = "the back end has not answered yet; a model may be loading"
KEEP_ALIVE = 300.0
"""Seconds a model counts as loaded after a turn, Ollama's default."""


class Health(Struct, frozen=True):
    """Whether the back end can take work, and if not, why."""

    ok: bool
    reason: str = ""


class Identity(Struct, frozen=True, kw_only=True):
    """Who an agent is, fixed for the life of its process."""

    manifest: Manifest
    checksum: str
    backend: Backend
    model_name: str
    instance_id: str
    seal: Seal | None = None
    """What it shows of itself to its children; None is an agent on its own."""

    @property
    def slug(self) -> str:
        """The key in URLs."""
        return slug_of(self.manifest.agent.name)


class Agent:
    """Everything the HTTP face needs of one agent."""

    def __init__(
        self,
        identity: Identity,
        model: Model,
        toolbox: Toolbox,
        sessions: SessionStore,
        clock: Clock,
        code: CodeTurns | None = None,
        children: Children | None = None,
    ) -> None:
        resources = identity.manifest.resources
        self.identity = identity
        self.sessions = sessions
        self.slug = identity.slug
        self.seal = identity.seal or Seal("", identity.instance_id)
        self._me = Hop(self.slug, self.seal.realm)
        self.started_at = clock.now()
        self.loaded_until: float | None = None
        self._model = model
        self._toolbox = toolbox
        self._code = code
        self._children = children
        self._clock = clock
        self._began = clock.monotonic_ns()
        self._admission = Admission(resources.max_concurrent_requests, resources.max_queue)
        self._info: ModelInfo | None = None
        self._look: asyncio.Task[Health] | None = None
        self._looked_at = 0
        manifest = identity.manifest
        hidden = HiddenCall(model, self._admission, clock)
        ground = Ground(
            model=self.slug,
            turn=self.turn,
            describe=self.describe,
            store=sessions,
            compactor=Compactor(manifest.session.compaction, hidden.ask),
            budget=manifest.budget,
            overhead=self._overhead,
        )
        self.conversations = Conversations(ground, _rules(identity.manifest), clock.now)

    @property
    def manifest(self) -> Manifest:
        """The manifest it was started with."""
        return self.identity.manifest

    @property
    def uptime(self) -> float:
        """Seconds since it was opened, whatever became of the wall clock."""
        return (self._clock.monotonic_ns() - self._began) / 1e9

    @property
    def name(self) -> str:
        """The display name."""
        return self.manifest.agent.name

    @property
    def has_tools(self) -> bool:
        """Whether it has tools of its own; then it "has tools" whatever its model says."""
        own = bool(self._toolbox.specs)
        return own or self._code is not None or self._children is not None

    @property
    def in_flight(self) -> int:
        """How many turns are running."""
        return self._admission.in_flight

    @property
    def queued(self) -> int:
        """How many turns wait for their place."""
        return self._admission.queued

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names it answers to: its model's own."""
        model = self.identity.model_name
        return () if not model or same_model(model, self.slug) else (model,)

    def answers_to(self, model: str) -> bool:
        """Whether a client that asks for `model` means this agent."""
        return (
            model == self.slug
            or slug_of(without_tag(model)) == self.slug
            or any(same_model(model, alias) for alias in self.aliases)
        )

    async def describe(self) -> ModelInfo:
        """What the back end says of the model, asked once; raises UpstreamError."""
        if self._info is None:
            self._info = await self._model.describe()
        return self._info

    async def health(self) -> Health:
        """The back end's health, looked at again when the last look is over 2 s old.

        One look serves everybody who asks meanwhile; one that takes long (a
        model that loads) is told as such and goes on.
        """
        now = self._clock.monotonic_ns()
        if self._look is None or (self._look.done() and now - self._looked_at > HEALTH_TTL):
            self._looked_at = now
            self._look = asyncio.create_task(self._look_once())
        look = self._look  # a later caller may put another in its place while we wait
        done, _ = await asyncio.wait({look}, timeout=LOOK_LIMIT)
        return look.result() if done else Health(ok=False, reason=NOT_YET)

    async def _look_once(self) -> Health:
        try:
            await self._model.ping()
        except AtollError as error:
            return Health(ok=False, reason=str(error))
        return Health(ok=True)

    async def load(self, seconds: float = KEEP_ALIVE) -> int:
        """Make sure the model can answer; returns how long that took, in ns, never 0."""
        began = self._clock.monotonic_ns()
        await self._model.ping()
        self.keep(seconds)
        return max(1, self._clock.monotonic_ns() - began)

    def keep(self, seconds: float) -> None:
        """Count the model as loaded for so long from now on; negative is for ever."""
        self.loaded_until = float("inf") if seconds < 0 else self._clock.now() + seconds

    def unload(self) -> None:
        """Count the model as not loaded."""
        self.loaded_until = None

    async def turn(self, request: TurnRequest, emit: Emit) -> None:
        """Run one turn; the last event is always a RunEnd or a Failure, unless it is cancelled."""
        try:
            async with self._admission:
                info = await self.describe()
                errand = self._errand(request)
                async with await self._tools(request, errand) as tools:
                    runner = Runner(
                        self.manifest, info, self._model, tools, self._clock, request, errand
                    )
                    await runner.run(emit)
        except AtollError as error:
            await emit(Failure(error.code, str(error), error.who, error.status))

    def _errand(self, request: TurnRequest) -> Errand:
        came = arrived_by()
        given = came.allowance if came is not None else NO_LIMIT
        ledger = Ledger(self.manifest.budget, self._clock, given, request.tokens_left)
        return Errand(ledger, came, self._me)

    async def _tools(
        self, request: TurnRequest, errand: Errand
    ) -> AbstractAsyncContextManager[Toolbox]:
        tools = self._toolbox
        if self._children is not None and request.raw_prompt is None:
            tools = await self._children.turn(tools, errand)
        if self._code is None:
            return nullcontext(tools)
        return self._code.turn(tools, request.session, errand.ledger.spend)

    def _overhead(self) -> int:
        """Characters that the model is told beside a conversation: its prompt and its tools."""
        tools = self._toolbox.specs
        return len(self.manifest.llm.system_prompt) + (len(_encode(tools)) if tools else 0)

    async def embed(self, request: EmbedRequest) -> Embedded:
        """The texts as vectors of length 1; takes a place as a turn does.

        Raises Busy when the queue is full, and what the model raises.
        """
        async with self._admission:
            made = await self._model.embed(request)
        vectors = tuple(fitted(vector, request.dimensions) for vector in made.vectors)
        return msgspec.structs.replace(made, vectors=vectors)

    async def close(self) -> None:
        """Give up turns, what code runs in, the tools, the model's connections and the sessions."""
        if self._look is not None:
            self._look.cancel()
        await self.conversations.end()
        if self._code is not None:
            await self._code.close()
        if self._children is not None:
            await self._children.close()
        await self._toolbox.close()
        await self._model.close()
        self.sessions.close()


def _rules(manifest: Manifest) -> Rules:
    return Rules(
        concurrency=manifest.session.concurrency,
        on_disconnect=manifest.server.on_disconnect,
        waiting=manifest.resources.max_queue,
    )


def new_instance_id() -> str:
    """An id for one process of one agent; unguessable, so that nobody can pose as it."""
    return secrets.token_hex(16)
