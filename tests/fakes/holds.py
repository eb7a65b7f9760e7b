"""What holds whatever is done to a fleet: the invariants I1 to I8 of faults.md section 1.

    with running(daemon), watching(daemon, touched=["ghidraagent"]) as watch:
        ...  # the fault

While inside, the daemon's /health and the number of processes of each agent are
watched; at the end the fleet is given its time to be well again, and everything is
checked. `watch.daemon_away()` is for the time in which nobody answers the API.
"""

import threading
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

import httpx

from tests.fakes.census import Size, leftovers, size_of, units, waited
from tests.fakes.daemon import PLAIN, Daemon, eventually

HEALTHY_WITHIN = 30.0
SAVED_WITHIN = 5.0
BURIED_WITHIN = 5.0
BACK_WITHIN = 10.0
ANSWERS_WITHIN = 1.0
MOST_AT_ONCE = 4
"""Processes of one agent during hand-overs: three that leave, one that starts (core/moves.py)."""
OF_A_UNIT = 7
"""Descriptors of the keeper for an agent: socket, pidfd, two pipes, channel, log, and one more."""
RSS_SHARE, RSS_MORE = 1.2, 5 << 20
_EVERY = 0.1
_PATIENCE = 30.0

Row = dict[str, object]


class Watch:
    """One fleet under a fault.

    `touched` are the slugs of agents that may be restarted, `broken` of those that
    need not be healthy at the end, `handed_over` of those of which two processes may
    live side by side for a while.
    """

    def __init__(
        self,
        daemon: Daemon,
        touched: Collection[str] = (),
        broken: Collection[str] = (),
        handed_over: Collection[str] = (),
    ) -> None:
        self.daemon = daemon
        self.touched = set(touched)
        self.broken = set(broken)
        self.slowest = 0.0
        self.problems: list[str] = []
        self._before = rows_of(daemon)
        self._sizes = _sizes(daemon)
        self._many = {str(self._before[slug]["config_path"]) for slug in handed_over}
        self._away = 0
        self._over = threading.Event()
        looks = (self._ask_health, self._count)
        self._threads = [threading.Thread(target=self._repeat, args=(look,)) for look in looks]

    def begin(self) -> None:
        """Look again and again from now on."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        for thread in self._threads:
            thread.join(_PATIENCE)

    @contextmanager
    def daemon_away(self) -> Iterator[None]:
        """The daemon is dead or stopped while inside: that it does not answer is no fault."""
        self._away += 1
        try:
            yield
        finally:
            self._away += 1

    def check(self) -> None:
        """The fleet is well again in time, and nothing was wrong meanwhile."""
        all_healthy(self.daemon, self.broken)
        self.end()
        no_leftovers(self.daemon)
        state_file_is_true(self.daemon)
        self._untouched()
        self._back_to_size()
        assert not self.problems, self.problems

    def _untouched(self) -> None:
        """I5."""
        after = rows_of(self.daemon)
        for slug in self._before.keys() - self.touched:
            for field in ("pid", "restarts", "generation", "instance_id"):
                was, now = self._before[slug][field], after.get(slug, {}).get(field)
                assert was == now, f"I5: {field} of {slug} was {was} and is {now}"

    def _back_to_size(self) -> None:
        """I7."""
        with suppress(AssertionError):
            eventually(lambda: not self._too_big(), BACK_WITHIN)
        found = self._too_big()
        assert not found, found

    def _too_big(self) -> list[str]:
        """With room for a kept connection of a probe per agent, and for a noisy allocator."""
        found: list[str] = []
        units = len(rows_of(self.daemon))
        per_unit = OF_A_UNIT * max(0, units - len(self._before))
        for name, now in _sizes(self.daemon).items():
            was = self._sizes[name]
            room = max(2, was.descriptors // 20) + (units if name == "daemon" else per_unit)
            if now.descriptors > was.descriptors + room or now.rss > was.rss * RSS_SHARE + RSS_MORE:
                found.append(f"I7: {name} was {was} and is {now}")
        return found

    def _repeat(self, look: Callable[[], None]) -> None:
        while not self._over.wait(_EVERY):
            look()

    def _ask_health(self) -> None:
        """I4; that daemon and client had to wait for a processor is the machine's doing."""
        away, idle, began = self._away, self._waited(), time.monotonic()
        try:
            url = f"{self.daemon.url}/health"
            said = str(httpx.get(url, timeout=_PATIENCE, verify=PLAIN).status_code)
        except httpx.TransportError as error:
            said = repr(error)
        took = time.monotonic() - began - (self._waited() - idle)
        if self._over.is_set() or away % 2 or away != self._away:
            return
        self.slowest = max(self.slowest, took)
        if said != "200" or took > ANSWERS_WITHIN:
            self.problems.append(f"I4: /health: {said} after {took:.2f} s")

    def _waited(self) -> float:
        daemon, own = self.daemon.process, threading.get_native_id()
        ours = waited(f"/proc/self/task/{own}/schedstat")
        return ours + (waited(f"/proc/{daemon.pid}/schedstat") if daemon else 0.0)

    def _count(self) -> None:
        """I1; one that was just killed is there a moment longer, so it must be seen twice."""
        first = units(self.daemon)
        if not self._crowded(first):
            return
        self._over.wait(_EVERY)
        stay = {pid: path for pid, path in units(self.daemon).items() if first.get(pid) == path}
        self.problems += [f"I1: {path}: {stay}" for path in self._crowded(stay)]

    def _crowded(self, found: dict[int, str]) -> list[str]:
        counts = Counter(found.values()).items()
        return [path for path, n in counts if n > (MOST_AT_ONCE if path in self._many else 1)]


@contextmanager
def watching(
    daemon: Daemon,
    touched: Collection[str] = (),
    broken: Collection[str] = (),
    handed_over: Collection[str] = (),
) -> Iterator[Watch]:
    """Watch the fleet while inside and check it at the end, unless the test has failed already."""
    all_healthy(daemon, broken)  # else what was there before would be another thing each time
    watch = Watch(daemon, touched, broken, handed_over)
    watch.begin()
    try:
        yield watch
        watch.check()
    finally:
        watch.end()


def rows_of(daemon: Daemon) -> dict[str, Row]:
    """The fleet as the daemon tells it, by slug; every look checks I6."""
    rows = daemon.get("/api/v1/agents").raise_for_status().json()["agents"]
    ports = Counter(row["port"] for row in rows if row["port"])
    assert [port for port, count in ports.items() if count > 1] == [], f"I6: {ports}"
    return {row["slug"]: row for row in rows}


def all_healthy(
    daemon: Daemon, broken: Collection[str] = (), limit: float = HEALTHY_WITHIN
) -> None:
    """I8: what is to run answers, as the very process that the daemon believes it to be."""
    ill: list[object] = ["nobody was seen"]

    def well() -> bool:
        with suppress(httpx.TransportError):
            rows = rows_of(daemon).items()
            ill[:] = [row for slug, row in rows if slug not in broken and not is_well(row)]
        return not ill

    _in_time("I8", well, ill, limit)


def is_well(row: Row) -> bool:
    """Whether an agent is as it is meant to be: at rest, or answering as itself."""
    if row["phase"] in ("stopped", "asleep"):
        return True
    if row["phase"] != "running":
        return False
    if row["url"] is None:  # a model host, which listens on a unix socket
        return True
    try:
        health = httpx.get(f"{row['url']}/health", timeout=5, verify=PLAIN).json()
    except (httpx.TransportError, ValueError):
        return False
    return bool(health.get("instance_id") == row["instance_id"])


def state_file_is_true(daemon: Daemon) -> None:
    """I3: `fleet.toml` can be read and says what is; units without a port are not in it."""
    seen: list[object] = []

    def true() -> bool:
        rows = rows_of(daemon)
        try:
            saved = tomllib.loads((daemon.state / "fleet.toml").read_text())["units"]
        except (OSError, ValueError, KeyError) as error:
            seen[:] = [error]
            return False
        seen[:] = [saved, rows]
        return all(_is_told(saved.get(slug), row) for slug, row in rows.items() if row["port"])

    _in_time("I3", true, seen, SAVED_WITHIN)


def _is_told(saved: dict[str, object] | None, row: Row) -> bool:
    if saved is None or saved["port"] != row["port"]:
        return False
    return saved["desired"] == "running" or row["phase"] in ("stopped", "draining", "stopping")


def no_leftovers(daemon: Daemon) -> None:
    """I2: there is each agent's process with what lives below it, and nothing else of ours."""
    left: list[object] = []

    def clean() -> bool:
        left[:] = leftovers(daemon)
        return not left

    _in_time("I2", clean, left, BURIED_WITHIN)


def _in_time(name: str, true: Callable[[], bool], seen: list[object], limit: float) -> None:
    try:
        eventually(true, limit)
    except AssertionError:
        raise AssertionError(f"{name} did not hold within {limit:g} s: {seen}") from None


def _sizes(daemon: Daemon) -> dict[str, Size]:
    assert daemon.process is not None
    return {"daemon": size_of(daemon.process.pid), "keeper": size_of(daemon.keeper)}
