"""`atoll schema`: the JSON Schema of agent.toml, for editors."""

import click

from atoll.config.schema import manifest_schema
from atoll_supervisor.cli.options import common
from atoll_supervisor.cli.terminal import out_json


@click.command()
@common
def schema() -> None:
    """Print the JSON Schema of agent.toml."""
    out_json(manifest_schema())
