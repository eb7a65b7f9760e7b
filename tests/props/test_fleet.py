"""The fleet in a seeded world: several schedules, invariants after every step, then liveness.

A failure shows the seed as the test's parameter; that test replays it exactly.
"""

import typing

import pytest
from msgspec.structs import replace

from atoll_supervisor.core import events as ev
from atoll_supervisor.core import fleet as fleets
from atoll_supervisor.core.phases import Phase, Waiting
from tests.fakes.invariants import is_down
from tests.fakes.world import GOOD, Luck, World, unhealthy

MIXED = Luck(
    spawn_fails=0.1,
    crashes_at_start=0.1,
    never_ready=0.1,
    crashes_later=0.2,
    finishes=0.1,
    hangs=0.1,
    deaf=0.2,
    wedged=0.1,
    echoes=0.2,
    visits=0.5,
)
CRASHY = Luck(spawn_fails=0.3, crashes_at_start=0.9, finishes=0.3, echoes=0.3, visits=0.02)
STORMY = Luck(never_ready=0.3, hangs=0.3, deaf=0.5, echoes=0.5, visits=5.0)
CROWDED = Luck(spawn_fails=0.5, never_ready=0.5, deaf=0.2, echoes=0.8, visits=1.0)
SCHEDULES = {
    "mixed": (MIXED, ("a", "b", "c", "d", "e", "f"), 2),
    "crashy": (CRASHY, ("a", "b"), 2),
    "stormy": (STORMY, ("a", "b", "c"), 2),
    "crowded": (CROWDED, ("a", "b", "c", "d", "e", "f", "g"), 1),
}
SEEDS = range(8)
SECONDS = 1500.0


def troubled(schedule: str, seed: int) -> World:
    luck, slugs, limit = SCHEDULES[schedule]
    world = World(seed, luck, slugs, limit)
    world.discover()
    world.run(SECONDS)
    return world


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_should_run_runs_again_after_the_faults_have_ended(schedule: str, seed: int) -> None:
    world = troubled(schedule, seed)
    world.luck = GOOD
    for child in world.children.values():
        child.hung = False
    world.run(400.0)
    assert unhealthy(world) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_shutdown_ends_every_process_in_bounded_time(schedule: str, seed: int) -> None:
    world = troubled(schedule, seed)
    world.luck = replace(world.luck, visits=0.0)
    before = fleets.unwanted(world.fleet)
    world.shut_down()
    world.run(60.0)
    assert is_down(world.fleet)
    assert not world.children
    assert not world.sockets
    assert fleets.unwanted(world.fleet) <= before


def test_one_seed_gives_one_history() -> None:
    first, second = troubled("mixed", 7), troubled("mixed", 7)
    assert first.journal == second.journal
    assert first.steps > 1000


PHASES = typing.get_args(Phase)
EVENTS = typing.get_args(ev.Event)
IMPOSSIBLE = {(phase, ev.Admitted) for phase in PHASES if phase is not Waiting}
"""Only a waiting unit is given its turn."""


def test_the_schedules_reach_every_possible_pair_of_phase_and_event() -> None:
    reached: set[tuple[type, type]] = set()
    for schedule in SCHEDULES:
        for seed in SEEDS:
            world = troubled(schedule, seed)
            world.shut_down()
            reached |= world.pairs
    possible = {(phase, event) for phase in PHASES for event in EVENTS} - IMPOSSIBLE
    reached.add((Waiting, ev.Admitted))  # told by the fleet itself, seen as a start
    assert possible - reached == set()
    assert reached & IMPOSSIBLE == set()
