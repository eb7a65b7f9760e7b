"""Which kind of sandbox there is: bubblewrap, else pydantic-monty, else none and why."""

from importlib.util import find_spec

from atoll.adapters.sandbox.bubblewrap import open_bubblewrap
from atoll.adapters.sandbox.command import Limits
from atoll.errors import AgentError
from atoll.ports import CodeEngine


async def open_engine(limits: Limits) -> CodeEngine:
    """The best engine that works here; raises AgentError with every reason and what mends it."""
    try:
        return await open_bubblewrap(limits)
    except AgentError as error:
        if find_spec("pydantic_monty") is None:
            instead = "or pip install 'atoll[monty]' for a subset of Python"
            raise AgentError(f"{error}; {instead}") from error
    from atoll.adapters.sandbox.monty import open_monty  # noqa: PLC0415  few agents have it

    return await open_monty(limits)
