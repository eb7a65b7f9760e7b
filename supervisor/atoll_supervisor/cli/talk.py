"""An agent's answers on the screen: the answer alone on stdout, all else on stderr.

Imports httpx (through `chat`), so it is itself imported late.
"""

import importlib
import sys
from collections.abc import Iterable, Sequence

import click
from msgspec import Struct

from atoll.wire.events import Event, Reasoning, RunEnd, Token
from atoll_supervisor.cli.chat import Chunk, Sent, chat, timings
from atoll_supervisor.cli.codes import Failure
from atoll_supervisor.cli.terminal import complain, out, out_json_text, say
from atoll_supervisor.cli.trace import trace_of
from atoll_supervisor.cli.turns import timed, turn
from atoll_supervisor.core.plain import plain_line, plain_text


class Partner(Struct, frozen=True):
    """Whom we talk to, and how much we show."""

    url: str
    name: str
    model: str
    verbose: bool
    json: bool


def ask(partner: Partner, text: str) -> None:
    """Stream the answer to one question; raises Failure."""
    _answer(partner, [Sent("user", text)])


def converse(partner: Partner) -> None:
    """Ask and answer until /bye or Ctrl-D; Ctrl-C stops an answer, not the conversation."""
    importlib.import_module("readline")  # gives input() editing and a history
    say(f"talking to {plain_line(f'{partner.name} ({partner.model})')}; /bye or Ctrl-D ends it")
    messages: list[Sent] = []
    while (text := _read_line()) is not None:
        if text:
            messages = _exchange(partner, [*messages, Sent("user", text)])


def _exchange(partner: Partner, messages: list[Sent]) -> list[Sent]:
    """The conversation after one more answer; without its last question when that failed."""
    try:
        return [*messages, Sent("assistant", _answer(partner, messages))]
    except KeyboardInterrupt:
        out()
    except Failure as failure:
        complain(str(failure), failure.hint)
    return messages[:-1]


def _answer(partner: Partner, messages: Sequence[Sent]) -> str:
    """Stream one answer to the screen and return its text; raises Failure."""
    if not partner.json:
        with turn(partner.url, messages) as events:
            if events is not None:
                return _watched(partner, events)
    return _chatted(partner, messages)


def _watched(partner: Partner, events: Iterable[Event]) -> str:
    """Show a turn with all its steps, those of its children among them, as they happen."""
    said: list[str] = []
    for event in events:
        if isinstance(event, Token):
            said.append(event.text)
            out(plain_text(event.text), end="")
        elif isinstance(event, Reasoning):
            click.echo(click.style(plain_text(event.text), dim=True), nl=False, err=True)
        elif isinstance(event, RunEnd):
            _finish(partner, timed(event), "".join(said))
        elif line := trace_of(event):
            say(click.style(line, dim=True))
    return "".join(said)


def _chatted(partner: Partner, messages: Sequence[Sent]) -> str:
    """Show an answer as Ollama's clients get it."""
    said: list[str] = []
    for chunk, raw in chat(partner.url, partner.name, messages):
        said.append(chunk.message.content)
        if partner.json:
            out_json_text(raw)
        else:
            _show(partner, chunk, said)
    return "".join(said)


def _show(partner: Partner, chunk: Chunk, said: Sequence[str]) -> None:
    if chunk.message.thinking:
        click.echo(click.style(plain_text(chunk.message.thinking), dim=True), nl=False, err=True)
    for call in chunk.message.tool_calls:
        say(click.style(f"[calls {plain_line(call.function.name)}]", dim=True))
    out(plain_text(chunk.message.content), end="")
    if chunk.done:
        _finish(partner, chunk, "".join(said))


def _finish(partner: Partner, last: Chunk, said: str) -> None:
    if not said.endswith("\n"):
        out()
    if partner.verbose:
        sys.stdout.flush()
        say("\n" + "\n".join(timings(last)))


def _read_line() -> str | None:
    """One line of the person, "" for nothing to send, None at the end."""
    try:
        text = input(">>> ").strip()
    except EOFError:
        out()
        return None
    except KeyboardInterrupt:
        out("\n/bye or Ctrl-D ends the conversation")
        return ""
    return None if text in ("/bye", "/exit", "/quit") else text
