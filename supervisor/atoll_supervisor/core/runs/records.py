"""A run as it is kept: what was asked, where it stands, what each step gave. Values only.

Times are seconds since the epoch; what clients see of them is in `view`.
"""

from typing import Literal

from msgspec import Struct

from atoll.wire.json import JsonObject

Kind = Literal["agent", "flock"]
OnInterrupt = Literal["continue", "fail"]
Status = Literal["starting", "running", "completed", "failed", "cancelled"]

USUAL_STEPS = 25
"""Steps of a workflow after which it is taken for a loop, unless its request says otherwise."""


class Webhook(Struct, frozen=True):
    """Who is told of the run's end; `secret` signs what is told."""

    url: str
    secret: str = ""


class Order(Struct, frozen=True, kw_only=True):
    """What a client asks for.

    `agent` is as the client spelled it. `on_interrupt` says what becomes of a step whose
    agent or daemon was killed: ask again, or fail.
    """

    kind: Kind
    agent: str
    inputs: JsonObject
    on_interrupt: OnInterrupt = "continue"
    max_steps: int = USUAL_STEPS
    webhook: Webhook | None = None


class Plan(Order, frozen=True, kw_only=True):
    """An order that was accepted; never changes.

    `batch` "" is no batch; `item` is the place in it, and of all its runs `workers` are
    under way at once.
    """

    run_id: str
    accepted: float
    batch: str = ""
    item: int = 0
    workers: int = 0


class Step(Struct, frozen=True, kw_only=True):
    """A finished step; `position` counts from 1, `agent` is a slug."""

    position: int
    agent: str
    inputs: JsonObject
    result: JsonObject
    began: float
    ended: float


class Key(Struct, frozen=True):
    """Which question an answer belongs to: what answers another one comes too late.

    `attempt` 1 is the repair of an answer that did not fit; `tries` counts interruptions.
    """

    position: int
    attempt: int = 0
    tries: int = 0
    chooses: bool = False


class Starting(Struct, frozen=True, tag="starting"):
    """Accepted; nothing has been done."""


class Asking(Struct, frozen=True, kw_only=True, tag="asking"):
    """An agent works on a step. `answer` and `fault` are of the attempt before, or ""."""

    key: Key
    agent: str
    inputs: JsonObject
    began: float
    answer: str = ""
    fault: str = ""


class Choosing(Struct, frozen=True, kw_only=True, tag="choosing"):
    """The agent of the last step says which of `choices` (slugs) goes on."""

    key: Key
    agent: str
    choices: tuple[str, ...]
    answer: str = ""
    fault: str = ""


class Completed(Struct, frozen=True, tag="completed"):
    """Every step is done."""

    result: JsonObject
    at: float


class Failed(Struct, frozen=True, tag="failed"):
    """It ended without a result; `reason` is for programs."""

    error: str
    reason: str
    at: float


class Cancelled(Struct, frozen=True, tag="cancelled"):
    """Somebody asked for its end."""

    at: float


Final = Completed | Failed | Cancelled
Phase = Starting | Asking | Choosing | Final


class Progress(Struct, frozen=True):
    """Where a run stands; `told` is the id of its last event."""

    phase: Phase = Starting()
    told: int = 0


class Run(Struct, frozen=True, kw_only=True):
    """One run."""

    plan: Plan
    progress: Progress = Progress()
    steps: tuple[Step, ...] = ()

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return self.progress.phase

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return isinstance(self.phase, Final)


class BatchOrder(Struct, frozen=True, kw_only=True):
    """Many runs of one agent, `workers` of them under way at once.

    With `return_errors`, runs that fail are results and do not fail the batch.
    """

    agent: str
    workers: int = 5
    return_errors: bool = False


class Batch(BatchOrder, frozen=True, kw_only=True):
    """Such an order that was accepted; of `items` runs."""

    batch_id: str
    accepted: float
    items: int


class IdempotencyKey(Struct, frozen=True):
    """What a client calls its request, and a digest of the request itself."""

    key: str
    digest: str


class Known(Struct, frozen=True):
    """A request that was there before: the id of its run or batch, and whether it was the same."""

    target: str
    is_same: bool


class Wanted(Struct, frozen=True):
    """Which runs a list is to show: those before `before`, newest first."""

    limit: int
    status: Status | None = None
    agent: str | None = None
    before: int | None = None


class Page(Struct, frozen=True):
    """Rows as JSON, and the number before which the next page begins; None at the end."""

    rows: tuple[bytes, ...]
    following: int | None
