"""Which kind of sandbox there is: bubblewrap, else pydantic-monty, else none and why."""

from importlib.util import find_spec

from atoll.adapters.sandbox.bubblewrap import open_bubblewrap
from atoll.adapters.sandbox.command import Limits
from atoll.config.manifest import Sandbox
from atoll.config.sizes import bytes_of
from atoll.errors import AgentError
from atoll.ports import CodeEngine

LEAST_MEMORY = 64_000_000
"""Bytes of address space with which a Python can begin."""


async def open_engine(sandbox: Sandbox) -> CodeEngine:
    """The best engine that works here; raises AgentError with every reason and what mends it."""
    limits = limits_of(sandbox)
    if limits.memory < LEAST_MEMORY:
        raise AgentError("[sandbox] memory_limit is too little for a Python: 64MB or more")
    try:
        return await open_bubblewrap(limits)
    except AgentError as error:
        if find_spec("pydantic_monty") is None:
            instead = "or pip install 'atoll[monty]' for a subset of Python"
            raise AgentError(f"{error}; {instead}") from error
    from atoll.adapters.sandbox.monty import open_monty  # noqa: PLC0415  few agents have it

    return await open_monty(limits)


def limits_of(sandbox: Sandbox) -> Limits:
    """`[sandbox]` in numbers."""
    return Limits(
        memory=bytes_of(sandbox.memory_limit),
        processes=sandbox.processes,
        seconds=sandbox.time_limit,
        disk=bytes_of(sandbox.disk_limit),
        output=bytes_of(sandbox.output_limit),
    )
