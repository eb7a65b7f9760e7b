"""The agent's `tools.py`: every public function with type hints is a tool.

The file is imported at start by the agent's own process, never by the daemon
(DESIGN section 11); what it raises is the agent's start failure. The schema of
a tool comes from its hints by msgspec, its description from the first sentence
of its docstring, a parameter's from the docstring's `Args:` lines.
"""

import asyncio
import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, get_type_hints

import msgspec
from msgspec import Meta, Struct

from atoll.adapters.allowed import is_allowed
from atoll.adapters.tool_text import cut, sendable
from atoll.adapters.tool_threads import Function, ToolThreads
from atoll.errors import AgentError
from atoll.ports import Outcome
from atoll.wire.json import JsonObject
from atoll.wire.messages import Call, ToolSpec

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Tool(Struct, frozen=True):
    """One function, its shape for the model and the Struct that checks its arguments."""

    spec: ToolSpec
    function: Function
    arguments: type[Struct]


def load_tools(path: Path) -> tuple[Tool, ...]:
    """Import `path` and make a tool of each public function that it defines.

    Raises AgentError with the line and the reason when the file cannot be
    imported, and with the function's name when no shape can be made of it.
    """
    module = _import(path)
    functions = [
        value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
    ]
    return tuple(_tool(path, function) for function in functions)


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"atoll_tools_{path.parent.name}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise AgentError(f"{path}: no such file; [tools] python names it")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses and type hints look it up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise AgentError(f"{_place(path, error)}: {_reason(error)}") from error
    return module


def _place(path: Path, error: BaseException) -> str:
    """`tools.py:3`, the last line of the file that was at work."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    else:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename == str(path)), None)
    return f"{path.name}:{line}" if line else path.name


def _reason(error: BaseException) -> str:
    """`ValueError: no`, in text that can be sent anywhere."""
    try:
        words = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001  a foreign __str__ may fail too
        words = ""
    kind = type(error).__name__
    return sendable(f"{kind}: {words}" if words else kind)


def _tool(path: Path, function: Function) -> Tool:
    name = function.__name__
    summary, parameters = _docstring(inspect.getdoc(function) or "")
    try:
        arguments = _arguments_struct(path, function, parameters)
        spec = ToolSpec(name, summary or name, _schema(arguments))
    except AgentError:
        raise
    except Exception as error:
        # Evaluating hints runs the file's code; msgspec's refusals are of several types.
        raise AgentError(f"{path.name}: {name}(): {_reason(error)}") from error
    return Tool(spec, function, arguments)


def _arguments_struct(path: Path, function: Function, described: Mapping[str, str]) -> type[Struct]:
    hints = get_type_hints(function, include_extras=True)
    fields: list[tuple[str, object] | tuple[str, object, object]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in hints or parameter.kind not in _BY_NAME:
            raise AgentError(
                f"{path.name}: {function.__name__}() needs a plain parameter with a type hint "
                f"instead of {parameter}"
            )
        hint = hints[parameter.name]
        if text := described.get(parameter.name):
            hint = Annotated[hint, Meta(description=text)]
        default = parameter.default
        empty = default is inspect.Parameter.empty
        fields.append((parameter.name, hint) if empty else (parameter.name, hint, default))
    return msgspec.defstruct(function.__name__, fields, forbid_unknown_fields=True, kw_only=True)


def _schema(arguments: type[Struct]) -> JsonObject:
    """The Struct's JSON Schema with its definitions beside it."""
    _, definitions = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    own = msgspec.convert(definitions.pop(arguments.__name__), JsonObject)
    own.pop("title", None)
    if definitions:
        own["$defs"] = definitions
    return own


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """The first paragraph in one line, and the `Args:` lines by parameter."""
    summary = " ".join(text.split("\n\n", 1)[0].split())
    _, _, rest = text.partition("Args:\n")
    described: dict[str, str] = {}
    for line in rest.splitlines():
        name, colon, meaning = line.strip().partition(":")
        if not colon or not name.isidentifier():
            break
        described[name] = meaning.strip()
    return summary, described


class PythonTools:
    """The Toolbox over an agent's `tools.py`.

    `timeout` in seconds bounds one call; a result over `max_chars` characters
    is cut with a marker. A function that blocks runs in a thread.
    """

    def __init__(
        self, tools: tuple[Tool, ...], allow: tuple[str, ...], timeout: float, max_chars: int
    ) -> None:
        allowed = [tool for tool in tools if is_allowed(tool.spec.name, allow)]
        self._tools = {tool.spec.name: tool for tool in allowed}
        self._threads = ToolThreads()
        self._timeout = timeout
        self._max_chars = max_chars

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools that exist for the model, after the allow list."""
        return tuple(tool.spec for tool in self._tools.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """None: a tools.py that is wrong keeps the agent from starting."""
        return ()

    async def close(self) -> None:
        """Nothing is open."""

    async def call(self, call: Call) -> Outcome:
        """Run one tool; every fault of the tool comes back as a failed Outcome."""
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return _failed(f"there is no tool {call.name!r}; known tools: {known}")
        try:
            arguments = msgspec.convert(call.arguments, tool.arguments, strict=False)
        except Exception as error:  # noqa: BLE001  a hint's own code may run here
            return _failed(f"wrong arguments for {call.name}: {error}")
        if self._threads.full and not inspect.iscoroutinefunction(tool.function):
            return _failed(f"{call.name} was not called: too many calls still run; try later")
        return await self._called(tool, msgspec.structs.asdict(arguments))

    async def _called(self, tool: Tool, arguments: Mapping[str, object]) -> Outcome:
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                value = await self._run(tool.function, arguments)
            return Outcome(self._text(value))
        except (Exception, SystemExit) as error:  # noqa: BLE001  a fault is a result, not a crash
            # Only here, inside the task: a SystemExit that leaves a task ends the event loop.
            if limit.expired():
                return _failed(f"{tool.spec.name} did not finish within {self._timeout:g} s")
            return _failed(f"{tool.spec.name} failed: {_reason(error)}")

    async def _run(self, function: Function, arguments: Mapping[str, object]) -> object:
        if inspect.iscoroutinefunction(function):
            return await _awaited(function(**arguments))
        return await self._threads.run(function, arguments)

    def _text(self, value: object) -> str:
        return cut(sendable(value if isinstance(value, str) else _json(value)), self._max_chars)


async def _awaited(work: Coroutine[object, object, object]) -> object:
    """Keep a CancelledError that the tool raised by itself apart from our being cancelled."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(type(error).__name__) from None


def _failed(text: str) -> Outcome:
    return Outcome(sendable(text), failed=True)


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # lone surrogates inside
        return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
