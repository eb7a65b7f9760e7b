"""`atoll services [list|recipes|show|start|stop|restart|logs]`: servers made from recipes."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from atoll.wire.json import JsonObject
from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.columns import Table, plain_table
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import out, out_json, say
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.core.services.order import Wish
from atoll_supervisor.core.services.recipe import EngineName
from atoll_supervisor.core.services.record import FINAL, Service, ServiceGroup, ServiceRow, rows_in
from atoll_supervisor.core.services.summary import Listed

if TYPE_CHECKING:
    from atoll_supervisor.cli.client import Management

HEADINGS = ("ID", "NAME", "STATUS", "ENGINE", "URL", "RESTARTS", "REASON")
MOST_REASON = 60
"""Characters of a reason in the list."""
LOOK_EVERY = 0.5
"""Seconds between two looks of `start --wait`."""


@click.group(invoke_without_command=True)
@click.pass_context
@finds_daemon
def services(context: click.Context) -> None:
    """Model servers and stores: list them, start one from a recipe, stop it, read its log."""
    if context.invoked_subcommand is None:
        context.invoke(list_services)


@services.command("list")
@finds_daemon
def list_services() -> None:
    """List every service, oldest first."""
    found = asyncio.run(_list())
    if given().json:
        out_json(found)
    elif found:
        out(plain_table(Table(HEADINGS, tuple(_cells(row) for row in found))))
    else:
        say("no services yet: atoll services recipes shows what can be started")


@services.command()
@finds_daemon
def recipes() -> None:
    """List what services can be made of."""
    found = asyncio.run(_recipes())
    if given().json:
        out_json(found)
        return
    rows = ((one.path, plain_line(one.error or one.description)) for one in found)
    out(plain_table(Table(("RECIPE", "DESCRIPTION"), tuple(rows))))


@services.command()
@click.argument("service")
@finds_daemon
def show(service: str) -> None:
    """Show a service, or a group with its replicas."""
    found = asyncio.run(_show(service))
    if given().json:
        out_json(found)
    else:
        _tell(found)


@services.command()
@click.argument("recipe")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="A variable of the recipe.")
@click.option(
    "--set", "root", multiple=True, metavar="NAME=VALUE", help="A parameter of `config` itself."
)
@click.option("--cpu", help="CPUs, such as 8.")
@click.option("--memory", help="Memory, such as 32G.")
@click.option("--gpu", help="GPUs, such as 1.")
@click.option("--time-limit", type=click.IntRange(0), help="Minutes.")
@click.option("--engine", type=click.Choice(["local", "slurm"]), help="Where it runs.")
@click.option("--replicas", default=1, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--wait", is_flag=True, help="Until it runs; fails when it does.")
@finds_daemon
def start(
    recipe: str,
    env: tuple[str, ...],
    root: tuple[str, ...],
    engine: EngineName | None,
    replicas: int,
    wait: bool,
    **resources: str | int | None,
) -> None:
    """Start a service from a recipe."""
    asked: JsonObject = {key: word for key, word in resources.items() if word is not None}
    config: JsonObject = dict(_pairs(root))
    config |= {"environment": _pairs(env)} if env else {}
    config |= {"resources": asked} if asked else {}
    wish = Wish(recipe_name=recipe, config=config, engine=engine, replicas=replicas)
    made = asyncio.run(_start(wish, wait=wait))
    if given().json:
        out_json(made)
    else:
        _say_each(made)


@services.command()
@click.argument("names", nargs=-1, required=True, metavar="SERVICE...")
@click.option("--purge", is_flag=True, help="Forget it, and remove what it has written.")
@finds_daemon
def stop(names: tuple[str, ...], purge: bool) -> None:
    """Stop services or groups, and wait until their processes are gone."""
    ended = asyncio.run(_stop(names, purge=purge))
    if given().json:
        out_json(ended)
        return
    for name, message in ended.items():
        out(f"{plain_line(name)}  {message}")


@services.command()
@click.argument("names", nargs=-1, required=True, metavar="SERVICE...")
@finds_daemon
def restart(names: tuple[str, ...]) -> None:
    """Start services or groups again, over or not, each as what it was."""
    begun = asyncio.run(_restart(names))
    if given().json:
        out_json(begun)
        return
    for one in begun:
        _say_each(one)


@services.command()
@click.argument("service")
@click.option("-f", "--follow", is_flag=True, help="Go on with every new line until Ctrl-C.")
@click.option(
    "-n", "--tail", default=100, show_default=True, type=click.IntRange(0), help="The last lines."
)
@finds_daemon
def logs(service: str, follow: bool, tail: int) -> None:
    """Show what a service prints."""
    asyncio.run(_follow(service, tail) if follow else _logs(service, tail))


async def _list() -> tuple[ServiceRow, ...]:
    async with connect() as daemon:
        return await daemon.services()


async def _recipes() -> tuple[Listed, ...]:
    async with connect() as daemon:
        return await daemon.recipes()


async def _show(name: str) -> Service:
    async with connect() as daemon:
        return await daemon.service(name)


async def _start(wish: Wish, *, wait: bool) -> Service:
    async with connect() as daemon:
        made = await daemon.create_service(wish)
        return await _until_up(daemon, made) if wait else made


async def _until_up(daemon: "Management", made: Service) -> Service:
    """The service when all of it runs; raises Failure when any of it is over before."""
    while True:
        now = await daemon.service(made.id)
        rows = rows_in(now)
        for row in rows:
            if row.status in FINAL:
                raise Failure(
                    f"{row.id} {row.status}: {plain_line(row.reason or 'no reason is known')}",
                    Exit.FAILED,
                    f"what it printed: atoll services logs {row.id}",
                )
        if all(row.status == "running" for row in rows):
            return now
        await asyncio.sleep(LOOK_EVERY)


async def _stop(names: Sequence[str], *, purge: bool) -> Mapping[str, str]:
    async with connect() as daemon:
        return {name: await daemon.end_service(name, purge=purge) for name in names}


async def _restart(names: Sequence[str]) -> tuple[Service, ...]:
    async with connect() as daemon:
        return tuple([await daemon.restart_service(name) for name in names])


async def _logs(name: str, tail: int) -> None:
    async with connect() as daemon:
        text = await daemon.service_logs(name, tail)
    if given().json:
        out_json({"logs": text})
    else:
        for line in text.splitlines():
            out(plain_line(line))


async def _follow(name: str, tail: int) -> None:
    async with connect() as daemon:
        async for line in daemon.service_lines(name, tail):
            if given().json:
                out_json({"line": line}, pretty=False)
            else:
                out(plain_line(line))


def _pairs(words: Sequence[str]) -> JsonObject:
    """`NAME=VALUE` words as an object; raises Failure for one that is none."""
    found: JsonObject = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise Failure(f"{word!r} is no NAME=VALUE", Exit.USAGE, "such as -e VLLM_MODEL=gpt2")
        found[name] = value
    return found


def _cells(row: ServiceRow) -> tuple[str, ...]:
    reason = plain_line(row.reason or "-")
    short = reason if len(reason) <= MOST_REASON else f"{reason[: MOST_REASON - 1]}…"
    name = plain_line(row.name)
    return (row.id, name, row.status, row.engine, row.url or "-", str(row.restarts), short)


def _say_each(made: Service) -> None:
    for row in rows_in(made):
        out(f"{row.id}  {plain_line(row.name)}  {row.status}")
    for warning in dict.fromkeys(word for row in rows_in(made) for word in row.warnings):
        say(f"warning: {plain_line(warning)}")
    if isinstance(made, ServiceGroup):
        out(f"{made.id}  the group of these")


def _tell(found: Service) -> None:
    if isinstance(found, ServiceGroup):
        out(plain_table(Table(HEADINGS, tuple(_cells(row) for row in found.replicas))))
        return
    pairs = (
        ("service", found.id),
        ("name", found.name),
        ("recipe", found.recipe_name),
        ("status", found.status),
        ("reason", found.reason),
        ("before", found.last_end or ""),
        ("warning", "; ".join(found.warnings)),
        ("engine", found.engine),
        ("url", found.url or ""),
        ("job", found.job_id if found.engine == "slurm" else ""),
        ("state", found.slurm_state or ""),
        ("node", found.node or ""),
        ("group", found.group_id or ""),
        ("created", found.created_at),
        ("ended", found.ended_at or ""),
        ("restarts", str(found.restarts)),
    )
    for name, value in pairs:
        if value:
            out(f"{name.ljust(8)}  {plain_line(value)}")
