"""Who comes by in the simulated world: operators, editors, killers, clients, and bad luck."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, get_args

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.spec import Policy, UnitSpec
from tests.fakes.schedules import MOST_RESTARTS, RESTARTS

if TYPE_CHECKING:
    from tests.fakes.world import World

TIMERS: tuple[do.Timer, ...] = get_args(do.Timer)


def manifest(world: "World", slug: str) -> UnitSpec:
    """A specification as a manifest of this slug might say."""
    host = world.schedule.slugs[0]
    policy = Policy(
        restart=world.random.choices(RESTARTS, world.schedule.restarts)[0],
        max_restarts=world.random.choice((0, 1, 5, MOST_RESTARTS)),
        restart_window=world.random.choice((5.0, 60.0)),
        restart_delay=world.random.choice((None, 0.0, 5.0)),
        start_timeout=world.random.choice((2.0, 20.0)),
        stop_timeout=world.random.choice((0.0, 3.0)),
        probe_interval=world.random.choice((5.0, 30.0)),
        idle_timeout=10.0 if world.happens(world.schedule.sleepers) else 0.0,
        overlap=slug != host,
    )
    checksum = f"{world.random.getrandbits(40):x}"
    if world.happens(world.luck.bad_edits):
        world.bad.add(checksum)
    above = () if slug == host else (host,)
    return UnitSpec(slug=slug, name=slug, checksum=checksum, policy=policy, depends_on=above)


def come_by(world: "World", end: float) -> None:
    """Plan every visit until `end`."""
    luck = world.luck
    visits: tuple[tuple[float, Callable[[World], None]], ...] = (
        (luck.operators, _operate),
        (luck.editors, _edit),
        (luck.killers, _kill),
        (luck.strays, _stray),
        (luck.clients, lambda world: world.lives.come(_slug(world))),
        (luck.keeper_dies, lambda world: world.lives.perish()),
        (luck.disk_fills, _fill),
        (luck.stampedes, _stampede),
    )
    for rate, visit in visits:
        at = world.clock.now
        while rate and (at := at + world.random.expovariate(rate)) < end:
            world.clock.after(at - world.clock.now, partial(visit, world))


def _slug(world: "World") -> str:
    return world.random.choice(world.schedule.slugs)


def _operate(world: "World") -> None:
    anew = world.happens(0.3)
    asked = (ev.StartAsked(), ev.StartAsked(), ev.StopAsked(), ev.RestartAsked(anew=anew))
    world.tell(_slug(world), world.random.choice(asked))


def _stampede(world: "World") -> None:
    for slug in world.schedule.slugs * 5:
        world.tell(slug, ev.RestartAsked())


def _edit(world: "World") -> None:
    """Change, break, mend, remove, or touch a manifest; sometimes many times in a moment."""
    slug, manifests = _slug(world), world.disk.manifests
    for _ in range(world.random.choice((1, 1, 1, 20))):
        kind = world.random.choice(("change", "change", "back", "break", "remove", "touch"))
        unit = world.fleet.units.get(slug)
        if kind == "change" or slug not in manifests:
            manifests[slug] = manifest(world, slug)
        elif kind == "back" and unit and unit.spec:
            manifests[slug] = unit.spec
        elif kind == "break":
            line = world.random.randint(1, 9)
            manifests[slug] = f"{slug}/agent.toml:{line}:1: unknown key"
        elif kind == "remove":
            del manifests[slug]
    world.edited()


def _kill(world: "World") -> None:
    children = [child for child in world.keeper.of(_slug(world)) if child.pid and not child.gone]
    if not children:
        return
    child = world.random.choice(children)
    match world.random.choice(("SIGKILL", "SIGTERM", "SIGSTOP", "SIGCONT")):
        case "SIGSTOP":
            world.lives.hang(child)
        case "SIGCONT":
            world.lives.resume(child)
        case signal:
            world.lives.end(child, signal=signal)


def _stray(world: "World") -> None:
    """An event of a process that is no more arrives late."""
    slug = _slug(world)
    unit = world.fleet.units.get(slug)
    generation = world.random.randint(0, max(0, unit.generation - 1)) if unit else 1
    late: tuple[ev.Event, ...] = (
        *(ev.elapsed(timer, generation) for timer in TIMERS),
        ev.Spawned(generation, 7),
        ev.SpawnFailed(generation, "no such file"),
        ev.BecameReady(generation),
        ev.Exited(generation, code=1),
        ev.ProbePassed(generation),
        ev.ProbeFailed(generation, "timed out"),
        ev.WentSilent(generation, 3.0),
        ev.WasUsed(generation, world.clock.now, busy=True),
        ev.ClientWaits(),
    )
    of_old = (slug, generation) not in world.keeper.children
    event = world.random.choice(late)
    if of_old or not isinstance(event, ev.OfProcess):
        world.tell(slug, event)


def _fill(world: "World") -> None:
    """The disk is full for a while."""
    world.disk.full = True
    world.clock.after(world.random.uniform(0, 10), lambda: _free(world))


def _free(world: "World") -> None:
    world.disk.full = False
    if world.alive:
        world.save()
