"""The agent's `tools.py`: every public function with type hints is a tool.

The file is imported at start by the agent's own process, never by the daemon
(DESIGN section 11); what it raises is the agent's start failure. The schema of
a tool comes from its hints by msgspec, its description from the first sentence
of its docstring, a parameter's from the docstring's `Args:` lines.
"""

import asyncio
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, get_type_hints

import msgspec
from msgspec import Meta, Struct

from atoll.errors import AgentError
from atoll.ports import Outcome
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.messages import Call, ToolSpec

Function = Callable[..., object]
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Tool(Struct, frozen=True):
    """One function, its shape for the model and the Struct that checks its arguments."""

    spec: ToolSpec
    function: Function
    arguments: type[Struct]


def load_tools(path: Path) -> tuple[Tool, ...]:
    """Import `path` and make a tool of each public function that it defines.

    Raises AgentError with the last line of the traceback when the file cannot
    be imported, or when a function has a parameter without a type hint.
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
    except Exception as error:
        raise AgentError(f"{path.name}: {type(error).__name__}: {error}") from error
    return module


def _tool(path: Path, function: Function) -> Tool:
    name = function.__name__
    summary, parameters = _docstring(inspect.getdoc(function) or "")
    arguments = _arguments_struct(path, function, parameters)
    return Tool(ToolSpec(name, summary or name, _schema(arguments)), function, arguments)


def _arguments_struct(path: Path, function: Function, described: Mapping[str, str]) -> type[Struct]:
    hints = _hints(path, function)
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


def _hints(path: Path, function: Function) -> dict[str, object]:
    try:
        return dict(get_type_hints(function, include_extras=True))
    except NameError as error:
        raise AgentError(f"{path.name}: {function.__name__}(): {error}") from error


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
        allowed = [tool for tool in tools if "*" in allow or tool.spec.name in allow]
        self._tools = {tool.spec.name: tool for tool in allowed}
        self._timeout = timeout
        self._max_chars = max_chars

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools that exist for the model, after the allow list."""
        return tuple(tool.spec for tool in self._tools.values())

    async def call(self, call: Call) -> Outcome:
        """Run one tool; every fault of the tool comes back as a failed Outcome."""
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return Outcome(f"there is no tool {call.name!r}; known tools: {known}", failed=True)
        try:
            arguments = msgspec.convert(call.arguments, tool.arguments, strict=False)
            async with asyncio.timeout(self._timeout):
                value = await _run(tool.function, msgspec.structs.asdict(arguments))
            return Outcome(self._text(value))
        except msgspec.ValidationError as error:
            return Outcome(f"wrong arguments for {call.name}: {error}", failed=True)
        except TimeoutError:
            text = f"{call.name} did not finish within {self._timeout:g} s"
            return Outcome(text, failed=True)
        except Exception as error:  # noqa: BLE001  a tool's fault is a result, not a crash
            return Outcome(f"{call.name} failed: {type(error).__name__}: {error}", failed=True)

    def _text(self, value: object) -> str:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if len(text) <= self._max_chars:
            return text
        return f"{text[: self._max_chars]}\n[cut: {len(text) - self._max_chars} characters more]"


async def _run(function: Function, arguments: dict[str, JsonValue]) -> object:
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    return await asyncio.to_thread(function, **arguments)
