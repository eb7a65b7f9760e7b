"""`atoll help [TOPIC]`: a command's help, or the exit codes."""

import click
from msgspec import Struct

from atoll_supervisor.cli.codes import MEANINGS
from atoll_supervisor.cli.options import common, given
from atoll_supervisor.cli.terminal import out, out_json


class Code(Struct, frozen=True):
    """One exit code, for `--json`."""

    code: int
    meaning: str


@click.command("help")
@click.argument("topic", required=False)
@common
@click.pass_context
def help_command(context: click.Context, topic: str | None) -> None:
    """Explain a command, or `exit-codes`."""
    root = context.find_root()
    if topic == "exit-codes":
        _exit_codes()
    elif topic is None or not isinstance(root.command, click.Group):
        out(root.get_help())
    else:
        name, command, _ = root.command.resolve_command(root, [topic])
        if command is not None:
            out(command.get_help(click.Context(command, info_name=name, parent=root)))


def _exit_codes() -> None:
    codes = [Code(code, meaning) for code, meaning in MEANINGS.items()]
    if given().json:
        out_json(codes)
        return
    for code in codes:
        out(f"{code.code:>3}  {code.meaning}")
