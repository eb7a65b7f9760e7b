"""What one turn uses of its budget, with all that is done for it further down."""

import msgspec

from atoll.config.manifest import Budget
from atoll.core.budget import NO_LIMIT, Allowance, Spent, check, remaining
from atoll.ports import Clock
from atoll.wire.messages import Options, Usage

_NO_BUDGET = Budget()


class Ledger:
    """Counts for one turn; `given` is what the agent that asks left for it.

    `session_left` are the tokens that its session may still use. `usage` and
    `calls` are its own and those of its children.
    """

    def __init__(
        self, budget: Budget, clock: Clock, given: Allowance, session_left: int | None
    ) -> None:
        self.usage = Usage()
        self.calls = 0
        self.has_deadline = given.seconds is not None or budget.seconds_per_turn is not None
        self._is_limited = budget != _NO_BUDGET or given is not NO_LIMIT or session_left is not None
        self._budget = budget
        self._given = given
        self._session_left = session_left
        self._clock = clock
        self._began = clock.monotonic_ns()

    @property
    def elapsed_ns(self) -> int:
        """Since the turn began, never 0."""
        return max(1, self._clock.monotonic_ns() - self._began)

    def spend(self, usage: Usage, calls: int = 0) -> None:
        """Count what was used."""
        self.usage += usage
        self.calls += calls

    def check(self) -> None:
        """Raise BudgetSpent when a limit is passed."""
        if self._is_limited:
            check(self._budget, self._spent, self._session_left, self._given)

    def left(self, among: int = 1) -> Allowance:
        """What one of so many calls side by side may use."""
        return remaining(self._budget, self._spent, self._session_left, self._given, among)

    def within(self, options: Options) -> Options:
        """An answer may not be longer than what is left of the turn's and the session's tokens."""
        left = self.left().tokens if self._is_limited else None
        if left is None:
            return options
        most = max(1, left)
        return msgspec.structs.replace(options, max_tokens=min(most, options.max_tokens or most))

    @property
    def _spent(self) -> Spent:
        tokens = self.usage.prompt_tokens + self.usage.completion_tokens
        seconds = (self._clock.monotonic_ns() - self._began) / 1e9
        return Spent(tokens=tokens, calls=self.calls, seconds=seconds)
