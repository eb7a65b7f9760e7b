"""The options that every command has, and what was given of them."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from msgspec import Struct

Command = TypeVar("Command", bound=Callable[..., object])

_KEY = "atoll.given"


class Given(Struct):
    """The common options as given on the command line."""

    json: bool = False
    state_dir: Path | None = None
    api_port: int | None = None


def given() -> Given:
    """What the running command was given."""
    return _of(click.get_current_context())


def common(command: Command) -> Command:
    """Add `--json` and `--debug`; the latter is read by `run_command`."""
    for option in (
        click.option(
            "--debug",
            is_flag=True,
            expose_value=False,
            help="Show the traceback of an error.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="Print JSON: one document, or one line each for a stream.",
        ),
    ):
        command = option(command)
    return command


def finds_daemon(command: Command) -> Command:
    """Add the common options and the two that say which daemon is meant."""
    for option in (
        click.option(
            "--api-port",
            type=click.IntRange(1024, 65535),
            expose_value=False,
            callback=_keep,
            help="Port of the management API.  [env: ATOLL_API_PORT; default: 8099]",
        ),
        click.option(
            "--state-dir",
            type=click.Path(path_type=Path, file_okay=False),
            expose_value=False,
            callback=_keep,
            help="The daemon's state directory.  [env: ATOLL_STATE_DIR]",
        ),
    ):
        command = option(command)
    return common(command)


def _of(context: click.Context) -> Given:
    found: object = context.meta.setdefault(_KEY, Given())
    return found if isinstance(found, Given) else Given()


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    """Remember one option that was given; a default must not undo what an outer command got."""
    if option.name and value not in (None, False):
        setattr(_of(context), option.name, value)
