"""A minute in the life of a fleet that everything happens to.

    python -m benchmarks.chaos [--seconds 60] [--seed N] [--agents 8] [--rate 200]

Random kill -9 of agents, of the daemon (it is started again) and of the
template; SIGSTOP of agents; good, broken and merely cosmetic edits of their
manifests; restarts; and all the time requests over new and over kept
connections. Everything is drawn from the seed, which is printed.

Exit 1 unless afterwards: no connection was refused, nothing is left over, no
agent had a second copy, all are healthy within 30 s, and the recorded events
contradict nothing. A request that was on its way to a process which was killed
is lost by the nature of things; those are counted and told by kind.
"""

import argparse
import asyncio
import os
import random
import secrets
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from benchmarks.supervision import client, units
from benchmarks.supervision.client import Load, Shot
from benchmarks.supervision.contenders.atoll import Atoll
from benchmarks.supervision.faults import Faults
from benchmarks.supervision.history import faults as contradictions
from benchmarks.supervision.kept import KeptLoad
from benchmarks.supervision.processes import Identity, become_subreaper, descendants, end_below
from benchmarks.supervision.signals import cancelled_by_signals
from benchmarks.supervision.units import ports_of
from benchmarks.supervision.watch import Watch, described, growth, strangers

HEALTHY_LIMIT = 30.0
HANDOVER_LIMIT = 10.0
"""Two processes of one agent that take connections for longer than this are a duplicate."""
DRAIN_LIMIT = 35.0
GROWN = 1.05
LATEST = 5
"""Looks, a second apart: what a hand-over holds for a moment is no growth."""
SHOWN_FROM = 10.0
KEPT_SHARE = 0.25
API_RATE = 5

SLEEPER = '''\
"""Keeps a helper running in a session of its own, as tools do."""

import subprocess

_helper = subprocess.Popen(["sleep", "3600"], start_new_session=True)


def nothing() -> str:
    """Do nothing."""
    return ""
'''


def main() -> int:
    """Run once; 0 when everything held."""
    options = arguments()
    become_subreaper()
    try:
        with TemporaryDirectory(prefix="atc-", ignore_cleanup_errors=True) as folder:
            verdict = uvloop.run(cancelled_by_signals(chaos(options, Path(folder))))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    finally:
        left = end_below(os.getpid())
        if left:
            print(f"ended {left} processes at the very end", file=sys.stderr)
    return int(bool(verdict))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Chaos for a fleet of ATOLL.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--pause", type=float, default=0.7, help="seconds between faults, mean")
    parser.add_argument("--keeper", action="store_true", help="kill the keeper once, too")
    return parser.parse_args()


async def chaos(options: argparse.Namespace, folder: Path) -> list[str]:
    """What did not hold."""
    print(f"seed {options.seed}: {options.agents} agents, {options.seconds:g} s, "
          f"{options.rate:g} requests/s", flush=True)  # fmt: skip
    fleet = made(folder, options.agents)
    try:
        await fleet.start()
        if not await client.until_all_healthy(ports_of(fleet.units)):
            return failed([f"the fleet did not come up; {log_of(fleet)}"])
        return failed(await judged(options, fleet))
    finally:
        await asyncio.shield(fleet.shut_down())


def made(folder: Path, count: int) -> Atoll:
    """A fleet; every second agent keeps a helper process of its own."""
    ports = units.ports()
    place = folder / "f"
    listed = [
        units.make(place / "agents", f"agent{n}", next(ports), tools=SLEEPER if n % 2 else "")
        for n in range(count)
    ]
    return Atoll(place, listed, next(ports), next(ports))


async def judged(options: argparse.Namespace, fleet: Atoll) -> list[str]:
    """Let it happen, wait for health, then look at everything."""
    ports = ports_of(fleet.units)
    watch = Watch(fleet.own).start()
    fresh = Load(ports, options.rate * (1 - KEPT_SHARE)).start()
    kept = KeptLoad(ports, options.rate * KEPT_SHARE).start()
    management = Load([fleet.api_port], API_RATE).start()
    happened = Faults(fleet, random.Random(options.seed), options.pause)
    await happened.go_on(options.seconds, kill_keeper=options.keeper)
    print(f"faults: {happened.told()}", flush=True)
    begin = time.monotonic()
    calm = await until_calm(fleet, HEALTHY_LIMIT)
    print(f"healthy again after {time.monotonic() - begin:.1f} s" if calm else "not healthy")
    shots = {"new connections": await fresh.stop(), "kept connections": await kept.stop()}
    asked = await management.stop()
    wrong = [] if calm else [f"not healthy within {HEALTHY_LIMIT:.0f} s: {await sick(fleet)}"]
    wrong += requests_judged(shots, asked, refusals_expected=options.keeper)
    wrong += await processes_judged(fleet)
    watch.stop()
    wrong += copies_judged(watch) + await history_judged(fleet)
    grown = growth_judged(watch)
    wrong += [] if options.keeper else grown  # a new keeper begins with nothing
    await fleet.shut_down()
    wrong += [f"left over after the end: {described(who)}" for who in strangers(set())]
    return wrong


async def until_calm(fleet: Atoll, limit: float) -> bool:
    """Until the daemon answers, lists every agent as running, and each answers itself."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        pids = await client.pids_of(ports_of(fleet.units))
        rows = {row.slug: row for row in await fleet.rows()}
        same = [rows.get(u.name) and rows[u.name].pid == pids.get(u.port) for u in fleet.units]
        alone = [unit for unit in rows.values() if unit.phase == "running"]
        if all(same) and len(alone) == len(fleet.units):
            return True
        await asyncio.sleep(0.1)
    return False


async def sick(fleet: Atoll) -> str:
    """Who is not healthy, and why."""
    pids = await client.pids_of(ports_of(fleet.units))
    rows = {row.slug: row for row in await fleet.rows()}
    if not rows:
        return f"the daemon does not answer; {log_of(fleet)}"
    parts = [
        f"{u.name} is {rows[u.name].phase} ({rows[u.name].reason}), answers as {pids.get(u.port)}"
        for u in fleet.units
        if u.name in rows
        and (rows[u.name].phase != "running" or rows[u.name].pid != pids.get(u.port))
    ]
    return "; ".join(parts)


def requests_judged(
    shots: dict[str, list[Shot]], management: list[Shot], *, refusals_expected: bool
) -> list[str]:
    """Show what became of the requests; refused ones are wrong."""
    wrong: list[str] = []
    for name, each in {**shots, "management API": management}.items():
        found = client.kinds(each)
        took = sorted(shot.took for shot in each if not shot.failed)
        p99 = 1000 * took[int(0.99 * len(took))] if took else 0
        refused = found.pop("refused", 0)
        others = ", ".join(f"{kind} {count}" for kind, count in found.items()) or "none"
        print(f"{name}: {len(each)} requests; refused {refused}; other failures: {others}; "
              f"answered: p99 {p99:.0f} ms, slowest {client.worst_ms(each):.0f} ms")  # fmt: skip
        if refused and not refusals_expected:
            wrong.append(f"{name}: {refused} connections were refused")
    return wrong


async def processes_judged(fleet: Atoll) -> list[str]:
    """Exactly the supervisor, one process for each agent, and its one helper.

    A predecessor that still drains is given the time that a drain may take.
    """
    until = time.monotonic() + DRAIN_LIMIT
    while (orphans := await unexpected(fleet)) and time.monotonic() < until:
        await asyncio.sleep(0.2)
    print(f"orphans: {len(orphans)}")
    return [f"orphan: {described(who)}" for who in orphans]


async def unexpected(fleet: Atoll) -> list[Identity]:
    """Processes that are neither the supervisor's, nor an agent that answers, nor its helper."""
    own = set(fleet.own().values())
    agents = set((await client.pids_of(ports_of(fleet.units))).values())
    helpers = {pid for agent in agents for pid in descendants(agent)}
    return strangers(own | agents | helpers)


def copies_judged(watch: Watch) -> list[str]:
    """Hand-overs are short, and between two."""
    print(f"hand-overs seen: {len(watch.overlaps)}, longest {watch.longest:.1f} s, "
          f"at most {watch.most} processes at one socket")  # fmt: skip
    return [
        f"two copies of an agent for {each.seconds:.1f} s: pids {sorted(each.pids)}"
        for each in watch.overlaps
        if each.seconds > HANDOVER_LIMIT
    ]


async def history_judged(fleet: Atoll) -> list[str]:
    """The recorded events contradict neither each other nor the list."""
    events = await fleet.events()
    wrong = contradictions(events)
    last = {event.unit: event for event in events if event.after}
    for row in await fleet.rows():
        event = last.get(row.slug)
        if event is None or (event.after, event.restarts) != (row.phase, row.restarts):
            wrong.append(f"{row.slug}: the list says {row.phase}, {row.restarts} restarts; "
                         f"the last event {event}")  # fmt: skip
    print(f"events: {len(events)}, contradictions: {len(wrong)}")
    return wrong


def growth_judged(watch: Watch) -> list[str]:
    """Memory and descriptors of the supervisor's processes: the keeper's are as at first."""
    wrong: list[str] = []
    for (role, pid), sizes in watch.sizes.items():
        first, last, slope = sizes[0], sizes[-1], growth(sizes)
        by_hour = f", {slope[0]:+.1f} MiB/h, {slope[1]:+.0f} descriptors/h" if slope else ""
        seconds = last.at - first.at
        told = (
            f"{role} {pid}: RSS {first.rss:.1f} -> {last.rss:.1f} MiB, "
            f"descriptors {first.files} -> {last.files} in {seconds:.0f} s{by_hour}"
        )
        if role == "keeper" or seconds > SHOWN_FROM:
            print(told)
        floor = min(size.files for size in sizes[-LATEST:])
        if role == "keeper" and floor > GROWN * first.files + 1:
            wrong.append(told)
    return wrong


def failed(wrong: list[str]) -> list[str]:
    """Print the verdict."""
    for line in wrong:
        print(f"WRONG: {line}")
    print("everything held" if not wrong else f"{len(wrong)} things did not hold", flush=True)
    return wrong


def log_of(fleet: Atoll) -> str:
    """The last lines of what the daemon said."""
    lines = (fleet.place / "supervisor.log").read_text(errors="replace").splitlines()
    return " | ".join(lines[-5:])


if __name__ == "__main__":
    sys.exit(main())
