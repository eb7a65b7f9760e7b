"""What a run needs to know of an agent: its typed input and output, and who comes after it."""

from collections.abc import Callable

from msgspec import Struct

from atoll.config.signature import parse_signature
from atoll.config.signature_types import Signature
from atoll_supervisor.core.row import Row
from atoll_supervisor.core.spec import Routing


class Role(Struct, frozen=True, kw_only=True):
    """An agent in a workflow; a signature that is None takes or gives anything."""

    slug: str
    description: str = ""
    input: Signature | None = None
    output: Signature | None = None
    takes: str = ""
    hand_off: str | None = None
    routing: Routing = Routing()


Find = Callable[[str], Role | None]
"""The role of an agent by any spelling of its name; raises SignatureError."""


def role_of(row: Row) -> Role:
    """The role of the agent in this row; raises SignatureError."""
    return Role(
        slug=row.slug,
        description=row.description,
        input=parse_signature(row.input_schema) if row.input_schema else None,
        output=parse_signature(row.output_schema) if row.output_schema else None,
        takes=row.input_schema or "",
        hand_off=row.hand_off or None,
        routing=row.routing or Routing(),
    )
