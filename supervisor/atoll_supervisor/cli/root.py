"""`atoll`: the group of all commands, and the one place where errors become exit codes."""

import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from atoll import __version__
from atoll.errors import AtollError, ConfigError
from atoll_supervisor.cli.actions import restart, start, stop
from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.config import config
from atoll_supervisor.cli.conformance import conformance
from atoll_supervisor.cli.docs import docs
from atoll_supervisor.cli.doctor import doctor
from atoll_supervisor.cli.down import down
from atoll_supervisor.cli.events import events
from atoll_supervisor.cli.help import help_command
from atoll_supervisor.cli.keeper import keeper
from atoll_supervisor.cli.logs import logs
from atoll_supervisor.cli.ps import ps
from atoll_supervisor.cli.pull import pull
from atoll_supervisor.cli.reload import reload
from atoll_supervisor.cli.run import run
from atoll_supervisor.cli.runs import runs
from atoll_supervisor.cli.schema import schema
from atoll_supervisor.cli.show import show
from atoll_supervisor.cli.terminal import complain, complain_json, say
from atoll_supervisor.cli.token import token
from atoll_supervisor.cli.up import up
from atoll_supervisor.cli.upgrade import upgrade
from atoll_supervisor.cli.version import version

_ALIASES = {"ls": "ps", "list": "ps"}
_COMMANDS = (
    up, down, ps, logs, events, start, stop, restart, reload, upgrade, show, run, runs, pull,
    config, schema, token, docs, doctor, conformance, keeper, version, help_command,
)  # fmt: skip


class _Group(click.Group):
    """A group that lists its commands in the order of use and knows docker's aliases."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        order = list(self.commands)
        return sorted(super().list_commands(ctx), key=order.index)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="atoll", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def atoll(debug: bool) -> None:
    """Keep a folder of agents running as servers, and talk to them."""


for _command in _COMMANDS:
    atoll.add_command(_command)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command line (default: this process's) and leave with its exit code."""
    sys.exit(run_command(list(sys.argv[1:] if argv is None else argv)))


def run_command(args: list[str]) -> int:
    """The exit code of one command line; every error is told on stderr."""
    wants_json = "--json" in (args[: args.index("--")] if "--" in args else args)
    try:
        result: object = atoll.main(args, prog_name="atoll", standalone_mode=False)
        return int(result) if isinstance(result, int) else Exit.OK
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except click.ClickException as error:
        return _wrong_use(error, wants_json)
    except Exception as error:  # noqa: BLE001  the last line of defence; nothing may end in a traceback
        return _told(error, debug="--debug" in args, wants_json=wants_json)


def _wrong_use(error: click.ClickException, wants_json: bool) -> int:
    if wants_json:
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f"see: {context.command_path} --help" if context else ""
        complain_json(error.format_message(), hint)
    else:
        error.show()
    return error.exit_code


def _told(error: Exception, debug: bool, wants_json: bool) -> int:
    if debug:
        say("".join(traceback.format_exception(error)))
    message, hint, exit = _words(error)
    (complain_json if wants_json else complain)(message, hint)
    return exit


def _words(error: Exception) -> tuple[str, str, Exit]:
    match error:
        case Failure():
            return str(error), error.hint, error.exit
        case ConfigError():
            return str(error), "", Exit.CONFIG
        case AtollError():
            return str(error), "", Exit.FAILED
        case _:
            hint = "--debug shows where; please report it"
            return f"{type(error).__name__}: {error}", hint, Exit.FAILED
