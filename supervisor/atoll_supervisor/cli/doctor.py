"""`atoll doctor`: what is wrong with this machine for a fleet, and what mends it."""

import click

from atoll_supervisor.cli.codes import Exit
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import places, settings
from atoll_supervisor.cli.terminal import out, out_json
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.shell.checkup import Finding, examine

_MARKS = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "fault": ("FAULT", "red")}


@click.command()
@finds_daemon
def doctor() -> int:
    """Look for what would keep a fleet from running here."""
    findings = list(examine(settings(), places()))
    if given().json:
        out_json(findings)
    else:
        for finding in findings:
            _show(finding)
    return Exit.FAILED if any(one.level == "fault" for one in findings) else Exit.OK


def _show(finding: Finding) -> None:
    mark, colour = _MARKS[finding.level]
    out(f"{click.style(f'{mark:<5}', fg=colour)}  {finding.check}: {plain_line(finding.text)}")
    if finding.cure:
        out(f"       {plain_line(finding.cure)}")
