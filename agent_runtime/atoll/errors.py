"""Every error ATOLL raises on purpose, and whose fault it is.

    AtollError                 the catch-all
    ├── ConfigError            a file a person wrote is wrong; carries its Problems
    ├── ClientError            the request is wrong                        400
    │   ├── NotFound           it names something that does not exist      404
    │   ├── NotAllowed         it asks for something that is not permitted 403
    │   ├── TooLarge           it is over a limit                          413
    │   └── NoEmbeddings       its model makes none                        400
    ├── BudgetSpent            the turn reached a limit of [budget]    422
    ├── Busy                   no room now, try again                      503
    ├── UpstreamError          the model's server failed                   502
    │   ├── UpstreamRefused    nobody listens there                        502
    │   ├── UpstreamTimeout    it did not answer in time                   504
    │   └── UpstreamGarbage    it answered what nobody can read            502
    │       └── UpstreamLost   its answer broke off                        502
    ├── AgentError             the agent's own files failed (tools.py)     500
    └── NotImplementedHere     known, and honestly not offered             501

`status` is the HTTP status the error becomes when nothing was sent yet, `code`
is stable and for programs, `who` names the side that has to mend it
(DESIGN section 7).
"""

from typing import ClassVar, Literal

from msgspec import Struct

Who = Literal["client", "agent", "upstream", "atoll"]


class Problem(Struct, frozen=True, kw_only=True):
    """One mistake in a file: where it is, what is wrong, what mends it.

    `line` and `column` count from 1; 0 means the file as a whole. `excerpt` is
    the source line with a caret under the place, or "" where the line could
    show a secret.
    """

    file: str
    message: str
    line: int = 0
    column: int = 0
    hint: str = ""
    excerpt: str = ""

    @property
    def where(self) -> str:
        """`agent.toml:3:1`, or the bare file name when there is no line."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.message}"]
        if self.excerpt:
            lines.append(self.excerpt)
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class AtollError(Exception):
    """Base of every error that is meant for a person or a client to read."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    who: ClassVar[Who] = "atoll"


class ConfigError(AtollError):
    """One or more mistakes in files that a person wrote."""

    code = "config_invalid"
    who = "agent"

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class ClientError(AtollError):
    """The request cannot be served as it stands."""

    code = "bad_request"
    status = 400
    who: ClassVar[Who] = "client"


class NotFound(ClientError):
    """The request names a model, agent, session or path that is not here."""

    code = "not_found"
    status = 404


class NotAllowed(ClientError):
    """The request is understood and refused."""

    code = "not_allowed"
    status = 403


class TooLarge(ClientError):
    """The request is over a size limit."""

    code = "too_large"
    status = 413


class BudgetSpent(AtollError):
    """A turn reached a hard limit of its agent; the same request would reach it again."""

    code = "budget_spent"
    status = 422
    who = "agent"


class NoEmbeddings(ClientError):
    """The model, or the server behind it, makes no embeddings."""

    code = "no_embeddings"

    def __init__(self) -> None:
        super().__init__("this model does not support embeddings")


class Busy(AtollError):
    """The queue is full; the same request may pass later."""

    code = "busy"
    status = 503


class UpstreamError(AtollError):
    """The server of the model failed."""

    code = "upstream_failed"
    status = 502
    who: ClassVar[Who] = "upstream"


class UpstreamRefused(UpstreamError):
    """Nothing listens at the address of the model's server."""

    code = "upstream_refused"


class UpstreamTimeout(UpstreamError):
    """The model's server did not answer within the agreed time."""

    code = "upstream_timeout"
    status = 504


class UpstreamGarbage(UpstreamError):
    """The model's server answered something that breaks its own protocol."""

    code = "upstream_garbage"


class UpstreamLost(UpstreamGarbage):
    """The connection ended before the answer was complete."""


class AgentError(AtollError):
    """The agent's own files (its tools.py) failed."""

    code = "agent_failed"
    who = "agent"


class NotImplementedHere(AtollError):
    """A route that ATOLL knows and does not offer."""

    code = "not_implemented"
    status = 501
