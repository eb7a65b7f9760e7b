"""`atoll conformance`: the suite of `atoll_conformance`, which works without ATOLL too."""

from pathlib import Path

import click

from atoll_supervisor.cli.options import common, given


@click.command()
@click.option("--url", help="The server to check.  [default: http://127.0.0.1:11434]")
@click.option("--model", help="The model to ask.  [default: the first that is listed]")
@click.option(
    "--profile",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file with prompts for this model (docs/conformance.md).",
)
@click.option(
    "--clients",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="An environment with clients installed, for rows G1 to G12.",
)
@click.option("--only", metavar="ROWS", help="Rows and groups, as in A,B7.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86400, min_open=True),
    help="Seconds that a row may take.  [default: 120]",
)
@common
def conformance(
    url: str | None,
    model: str | None,
    profile: Path | None,
    clients: Path | None,
    only: str | None,
    timeout: float | None,
) -> int:
    """Check how far a server is Ollama: 110 rows, on any server.

    Some rows copy, pull, load and unload models; use a server of your own.
    """
    from atoll_conformance.command import URL, Asked, run_asked  # noqa: PLC0415
    from atoll_conformance.run import LIMIT  # noqa: PLC0415

    asked = Asked(
        url=url or URL,
        model=model or "",
        profile=profile,
        clients=clients,
        only=only or "",
        timeout=timeout or LIMIT,
        json=given().json,
    )
    return run_asked(asked)
