"""The fleet in a seeded world: several schedules, invariants after every step, then liveness.

A failure prints `seed=... schedule=... commit=...`, and

    python -m tests.fakes.world SEED SCHEDULE

replays it exactly at that commit. `ATOLL_SEED=7` runs every schedule with that
one seed, `ATOLL_SEEDS=1000` with that many; without them a few are enough for
every pair of phase and event to be met.
"""

import os
import subprocess
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from atoll_supervisor.core import events as ev
from atoll_supervisor.core.phases import Phase, Running, Waiting
from tests.fakes.invariants import is_down
from tests.fakes.schedules import SCHEDULES
from tests.fakes.world import World

FEW = 4
STOP_LIMIT = 3.0
"""The longest `stop_timeout` of the simulated manifests."""


def seeds() -> list[int]:
    """The seeds of this run."""
    if one := os.environ.get("ATOLL_SEED"):
        return [int(one)]
    return list(range(int(os.environ.get("ATOLL_SEEDS", FEW))))


@contextmanager
def replayable(seed: int, schedule: str) -> Iterator[World]:
    """A world that has been in trouble; a failure in it says how to see it again."""
    try:
        world = World(seed, SCHEDULES[schedule])
        world.discover()
        world.run(SCHEDULES[schedule].seconds)
        yield world
    except Exception as error:
        error.add_note(f"seed={seed} schedule={schedule!r} commit={commit()}")
        raise


def commit() -> str:
    """What is checked out here, "unknown" without git."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, cwd=Path(__file__).parent, timeout=5)
    except OSError:
        return "unknown"
    return found.stdout.decode().strip() or "unknown"


@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_should_run_runs_again_after_the_faults_have_ended(schedule: str, seed: int) -> None:
    with replayable(seed, schedule) as world:
        assert world.heal() == []


@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_shutdown_in_the_middle_ends_every_process_in_bounded_time(
    schedule: str, seed: int
) -> None:
    with replayable(seed, schedule) as world:
        world.shut_down()
        wanted = world.fleet.unwanted
        depth = 2  # the others are stopped before the model host
        world.run(depth * (STOP_LIMIT + world.longest_stop) + 1)
        assert is_down(world.fleet)
        assert not world.keeper.children
        assert not world.keeper.sockets
        assert world.fleet.unwanted == wanted


def test_one_seed_gives_one_history() -> None:
    with replayable(7, "mixed") as first, replayable(7, "mixed") as second:
        assert first.journal == second.journal
        assert first.steps > 500


def test_the_record_of_a_world_has_no_gap_and_every_entry_has_a_cause() -> None:
    with replayable(3, "restart storm") as world:
        words: dict[str, str] = {}
        for _, slug, record in world.journal:
            assert record.cause
            assert record.before == words.get(slug, "stopped")
            words[slug] = record.after
        assert len(world.journal) > 500


PHASES: tuple[type, ...] = typing.get_args(Phase)
EVENTS: tuple[type, ...] = typing.get_args(ev.Event)
IMPOSSIBLE = {(phase, ev.Admitted) for phase in PHASES if phase not in (Waiting, Running)}
"""The fleet itself gives the turn, and only to a unit that waits for it."""


def test_the_schedules_reach_every_possible_pair_of_phase_and_event() -> None:
    possible = {(phase, event) for phase in PHASES for event in EVENTS} - IMPOSSIBLE
    reached: set[tuple[type, type]] = set()
    for seed, schedule in product(range(12), SCHEDULES):
        if reached >= possible:
            break
        with replayable(seed, schedule) as world:
            world.shut_down()
            reached |= world.pairs
    assert possible - reached == set()
    assert reached & IMPOSSIBLE == set()
