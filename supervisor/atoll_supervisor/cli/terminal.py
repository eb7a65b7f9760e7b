"""What reaches the screen: colour or none, data on stdout, messages on stderr.

Text that ATOLL did not write itself passes `plain_line` or `plain_text` before
it comes here; colours are put around it afterwards.
"""

import os
import sys
from collections.abc import Mapping
from typing import IO

import click
import msgspec

from atoll_supervisor.core.plain import plain_text


def wants_colour(environ: Mapping[str, str], is_terminal: bool) -> bool:
    """no-color.org first, then FORCE_COLOR, CLICOLOR and a dumb terminal, then the stream."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    if environ.get("TERM") == "dumb" or environ.get("CLICOLOR") == "0":
        return False
    return is_terminal


def is_screen(stream: IO[str]) -> bool:
    """Whether a person watches this stream on a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def out(text: str = "", *, end: str = "\n") -> None:
    """Data: to stdout, at once."""
    colour = wants_colour(os.environ, sys.stdout.isatty())
    click.echo(text + end, nl=False, color=colour)


def say(text: str) -> None:
    """A message for the person: to stderr."""
    click.echo(text, err=True, color=wants_colour(os.environ, sys.stderr.isatty()))


def out_json(value: object, *, pretty: bool = True) -> None:
    """One JSON document, or with `pretty=False` one line of an NDJSON stream."""
    encoded = msgspec.json.encode(value)
    out_json_text((msgspec.json.format(encoded, indent=2) if pretty else encoded).decode())


def out_json_text(text: str) -> None:
    """JSON as it came; JSON escapes C0 controls itself, so only a terminal needs more."""
    out(plain_text(text) if sys.stdout.isatty() else text)


def complain_json(message: str, hint: str = "") -> None:
    """An error for a program: one document on stderr."""
    say(plain_text(msgspec.json.encode({"error": message, "hint": hint}).decode()))


def complain(message: str, hint: str = "") -> None:
    """An error as every command shows it: what is wrong, then what to do."""
    say(click.style("error: ", fg="red", bold=True) + plain_text(message))
    if hint:
        say(f"  {plain_text(hint)}")
