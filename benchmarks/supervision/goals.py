"""The lines of the table: DESIGN section 13 and supervision.md section 4, as checks.

A goal that is a ratio is held against the best peer of the same run, whichever
child it had; an absolute one (a count, a limit of its own) against the figure.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from benchmarks.supervision.bench import Results

Of = Callable[[Sequence[float]], float]
PEER_NAMES = ("supervisord", "circus", "pm2", "httpx pool")


class Line(NamedTuple):
    """One line; `who` of ours it is about, `headline` when the README shows it.

    `ratio` is of the best peer, `limit` absolute; `least` turns the comparison
    round. `same` compares with peers that run the same program only, `holders` with
    those that hold the socket: the others refuse what they cannot answer at once.
    `peers` is what stands where no peer has a figure.
    """

    title: str
    metric: str
    unit: Literal["s", "ms", "MiB", "%", "% of a core", ""]
    of: Of = statistics.median
    ratio: float | None = None
    limit: float | None = None
    least: bool = False
    who: str = "atoll"
    same: bool = False
    holders: bool = False
    headline: bool = False
    peers: str = "-"


LINES = (
    Line("kill -9 of an agent → serving", "kill_to_serving_s", "s", ratio=0.20, headline=True),
    Line("the same with its own interpreter", "kill_to_serving_s", "s", ratio=1.1, same=True,
         who="atoll-exec"),
    Line("failed of 500 requests at kill -9, 200/s", "kill_failed", "", max, limit=1,
         headline=True),
    Line("slowest answered request at kill -9", "kill_worst_ms", "ms", max, limit=75,
         holders=True, headline=True),
    Line("failed requests in all restarts, 200/s", "restarts_failed", "", sum, limit=0,
         headline=True),
    Line("of so many requests", "restarts_requests", "", sum),
    Line("slowest answered request in a restart", "restarts_worst_ms", "ms", max, limit=50,
         headline=True),
    Line("start all of the fleet → all healthy", "fleet_start_s", "s", ratio=0.25, headline=True),
    Line("supervisor's own start → all healthy", "fleet_cold_s", "s", ratio=0.25),
    Line("the same with interpreters of their own", "fleet_cold_s", "s", ratio=1.0, same=True,
         who="atoll-exec"),
    Line("memory (PSS) of the idle fleet", "fleet_pss_mib", "MiB", ratio=0.45, headline=True),
    Line("stop all of the fleet → really gone", "stop_gone_s", "s", ratio=2.0),
    Line("supervisor killed: units known again", "adopt_known_percent", "%", min, limit=100,
         least=True, headline=True),
    Line("… within", "adopt_s", "s", max, limit=1, headline=True, peers="never"),
    Line("… with the same process", "adopt_kept_percent", "%", min, limit=100, least=True),
    Line("… failed requests meanwhile", "adopt_failed", "", sum, limit=0, headline=True),
    Line("… second copies started", "adopt_duplicates", "", sum, limit=0, headline=True),
    Line("grandchildren cleaned, of 9", "trees_cleaned_of_9", "", min, limit=9, least=True,
         headline=True),
    Line("hung agent (SIGSTOP) → serving", "hang_to_serving_s", "s", max, limit=5,
         headline=True),
    Line("instant crasher: tries in the first minute", "crasher_tries", "", max, limit=10),
    Line("… heals by itself when the cause goes", "crasher_heals_s", "s", max, limit=30),
    Line("first request to a sleeping agent", "wake_first_ms", "ms", limit=60, peers="none can"),
    Line("the same with its own interpreter", "wake_first_ms", "ms", limit=400,
         who="atoll-exec", peers="none can"),
    Line("… failed", "wake_failed", "", sum, limit=0, peers="none can"),
    Line("500 agents supervised each second", "big_cpu_percent", "% of a core", max, limit=1,
         headline=True),
    Line("supervisor's idle CPU at 100 agents", "own_cpu_percent", "% of a core", limit=0.5),
    Line("memory of the supervisor at 100 agents", "own_pss_mib", "MiB"),
    Line("… of the daemon", "own_pss_mib/daemon", "MiB", limit=50),
    Line("… of the keeper", "own_pss_mib/keeper", "MiB", limit=15),
    Line("management list of 200 agents, beyond an empty answer", "list_build_ms", "ms", limit=1),
    Line("manifest saved → live", "edit_to_live_ms", "ms", limit=100),
    Line("10,000 sleeping agents: daemon and keeper", "sleepers_pss_mib", "MiB", limit=477),
    Line("… registered within", "sleepers_register_s", "s"),
)  # fmt: skip


class Verdict(NamedTuple):
    """A line with its figures; `held` is None where there is no goal or nothing measured."""

    line: Line
    best: tuple[str, float] | None
    floor: tuple[str, float] | None
    ours: float | None
    goal: float | None
    held: bool | None


def verdicts(results: Results) -> list[Verdict]:
    """Every line of which something was measured."""
    return [_verdict(line, results[line.metric]) for line in LINES if line.metric in results]


def _verdict(line: Line, by_label: dict[str, list[float]]) -> Verdict:
    figures = {label: line.of(values) for label, values in by_label.items() if values}
    best = _best(line, {k: v for k, v in figures.items() if k.startswith(PEER_NAMES)})
    floor = _best(line, {k: v for k, v in figures.items() if k.startswith("floor")})
    ours = figures.get(line.who)
    goal = line.limit
    if line.ratio is not None:
        goal = line.ratio * best[1] if best else None
    held = None if goal is None or ours is None else _reached(ours, goal, line.least)
    return Verdict(line, best, floor, ours, goal, held)


def _best(line: Line, figures: dict[str, float]) -> tuple[str, float] | None:
    fair = {
        label: value
        for label, value in figures.items()
        if not (line.same and label.endswith("(bare)")) and (not line.holders or "-sock" in label)
    }
    if not fair:
        return None
    label = (max if line.least else min)(fair, key=lambda name: fair[name])
    return label, fair[label]


def _reached(value: float, goal: float, least: bool) -> bool:
    return value >= goal if least else value <= goal
