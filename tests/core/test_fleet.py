"""Many units: birth, order of start, start limit, shutdown."""

from itertools import pairwise

from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.fleet import (
    Fleet,
    Order,
    Orders,
    hold_again,
    shut_down,
    step,
    steps,
    unwanted,
)
from atoll_supervisor.core.order import start_order
from atoll_supervisor.core.phases import (
    Asleep,
    Invalid,
    Replacing,
    Running,
    Stopped,
    Stopping,
    Unit,
    Waiting,
)
from atoll_supervisor.core.spec import ANY_TIME, Policy, UnitSpec
from tests.fakes.invariants import is_down


def spec(slug: str, *depends_on: str) -> UnitSpec:
    return UnitSpec(slug=slug, name=slug, checksum="1", depends_on=depends_on)


class Driver:
    """Keeps the fleet between the steps of a test."""

    def __init__(self, fleet: Fleet | None = None) -> None:
        self.fleet = fleet or Fleet(start_limit=10)

    def find(self, *specs: UnitSpec) -> Orders:
        return sum((self.tell(s.slug, ev.SpecAccepted(s)) for s in specs), ())

    def tell(self, slug: str, event: ev.Event) -> Orders:
        self.fleet, orders = step(self.fleet, slug, event, 1.0, 0.0)
        return orders

    def run(self, *slugs: str) -> Orders:
        """Let what is being started become ready."""
        orders: Orders = ()
        for slug in slugs:
            generation = self.fleet.units[slug].generation
            orders += self.tell(slug, ev.Spawned(generation, 7))
            orders += self.tell(slug, ev.BecameReady(generation))
        return orders

    def shut_down(self) -> Orders:
        self.fleet, orders = shut_down(self.fleet, 2.0, 0.0)
        return orders

    def phase(self, slug: str) -> type:
        return type(self.fleet.units[slug].phase)


def spawned(orders: Orders) -> list[str]:
    return [order.slug for order in orders if isinstance(order.effect, do.Spawn)]


def terminated(orders: Orders) -> list[str]:
    return [order.slug for order in orders if isinstance(order.effect, do.Terminate)]


def test_a_good_manifest_gives_birth_to_a_unit_and_starts_it() -> None:
    orders = Driver().find(spec("a"))
    assert [order.effect for order in orders if not isinstance(order.effect, do.Arm)] == [
        do.Record(before="stopped", after="starting", cause="its manifest was read", generation=0),
        do.HoldSocket(),
        do.Spawn(1),
    ]


def test_a_broken_manifest_gives_birth_to_an_invalid_unit_which_starts_when_mended() -> None:
    driver = Driver()
    driver.tell("a", ev.SpecBroken("agent.toml:1:1: wrong", "a/agent.toml"))
    assert driver.phase("a") is Invalid
    assert spawned(driver.find(spec("a"))) == ["a"]


def test_any_other_event_of_an_unknown_unit_is_ignored() -> None:
    fleet = Fleet()
    assert step(fleet, "ghost", ev.StartAsked(), 1.0, 0.0) == (fleet, ())


def test_a_unit_that_was_stopped_before_the_daemon_began_stays_stopped() -> None:
    driver = Driver(Fleet(unwanted=frozenset({"a", "away"})))
    assert driver.find(spec("a")) == (Order("a", do.ReleaseSocket()),)
    assert driver.fleet.units["a"].phase == Stopped("stopped by an operator")
    assert unwanted(driver.fleet) == {"a", "away"}
    assert spawned(driver.tell("a", ev.StartAsked())) == ["a"]
    assert unwanted(driver.fleet) == {"away"}


def test_no_more_units_start_at_once_than_may() -> None:
    driver = Driver(Fleet(start_limit=2))
    assert spawned(driver.find(spec("a"), spec("b"), spec("c"), spec("d"))) == ["a", "b"]
    assert spawned(driver.run("a")) == ["c"]


def test_all_the_room_there_is_is_used_at_once() -> None:
    driver = Driver(Fleet(start_limit=3))
    dependants = (spec(slug, "host") for slug in "abcd")
    driver.find(spec("host"), *dependants)
    assert spawned(driver.run("host")) == ["a", "b", "c"]


def test_a_start_that_hangs_gives_its_place_up_after_a_while() -> None:
    driver = Driver(Fleet(start_limit=1))
    driver.find(spec("a"), spec("b"))
    assert spawned(driver.tell("a", ev.SlotTimeElapsed(1))) == ["b"]


def test_a_dependency_is_ready_before_its_dependant_starts() -> None:
    driver = Driver(Fleet(start_limit=1))
    driver.find(spec("z"), spec("a", "z"))
    assert driver.phase("a") is Waiting
    assert spawned(driver.run("z")) == ["a"]


def test_a_dependency_that_is_ready_late_still_lets_its_dependant_start() -> None:
    driver = Driver()
    driver.find(spec("z"), spec("a", "z"))
    driver.tell("z", ev.Spawned(1, 7))
    driver.tell("z", ev.SlotTimeElapsed(1))
    assert spawned(driver.tell("z", ev.BecameReady(1))) == ["a"]


def test_a_dependency_in_a_clusters_queue_keeps_nobody_waiting() -> None:
    queued = replace(spec("a"), policy=Policy(start_timeout=ANY_TIME))
    assert spawned(Driver().find(queued, spec("b", "a"))) == ["a", "b"]


def test_a_dependency_that_failed_once_keeps_nobody_waiting() -> None:
    driver = Driver()
    driver.find(spec("z"), spec("a", "z"))
    orders = driver.tell("z", ev.SpawnFailed(1, "no such file"))
    assert spawned(orders) == ["a", "z"]


def test_a_dependency_that_is_unknown_or_at_rest_keeps_nobody_waiting() -> None:
    driver = Driver(Fleet(unwanted=frozenset({"z"}), start_limit=10))
    assert spawned(driver.find(spec("z"), spec("a", "z", "ghost"))) == ["a"]


def test_units_that_depend_on_each_other_start_all_the_same() -> None:
    driver = Driver(Fleet(start_limit=1))
    driver.find(spec("c"), spec("a", "b"), spec("b", "a"))
    assert spawned(driver.run("c")) == ["b"]
    assert spawned(driver.run("b")) == ["a"]


def test_the_start_order_is_dependencies_first_else_by_slug() -> None:
    specs = (spec("a", "c"), spec("b"), spec("c", "d"), spec("d", "a"))
    units = {s.slug: Unit(slug=s.slug, spec=s) for s in specs}
    assert start_order(units) == ("d", "c", "a", "b")


def test_one_unit_that_crashes_is_started_again_in_the_same_step() -> None:
    driver = Driver()
    driver.find(spec("a"), spec("b"))
    driver.run("a", "b")
    before = driver.fleet.units["b"]
    assert spawned(driver.tell("a", ev.Exited(1, signal="SIGKILL"))) == ["a"]
    assert driver.fleet.units["a"].restarts == 1
    assert driver.fleet.units["b"] is before


def test_a_removed_unit_is_forgotten_and_a_new_life_has_younger_generations() -> None:
    driver = Driver()
    driver.find(spec("a"))
    driver.run("a")
    driver.tell("a", ev.Removed())
    assert driver.tell("a", ev.Exited(1, code=0))[-1] == Order("a", do.Forget())
    assert driver.fleet.units == {}
    driver.find(spec("a"))
    assert driver.fleet.units["a"].generation == 2
    assert driver.tell("a", ev.Spawned(1, 7)) == ()


def test_a_shutdown_stops_dependants_before_what_they_depend_on() -> None:
    driver = Driver()
    driver.find(spec("host"), spec("a", "host"), spec("b", "host"))
    driver.run("host", "a", "b")
    assert terminated(driver.shut_down()) == ["b", "a"]
    assert terminated(driver.tell("a", ev.Exited(1, code=0))) == []
    assert terminated(driver.tell("b", ev.Exited(1, code=0))) == ["host"]
    assert not is_down(driver.fleet)
    driver.tell("host", ev.Exited(1, code=0))
    assert is_down(driver.fleet)
    assert unwanted(driver.fleet) == frozenset()


def test_a_shutdown_begins_nothing_new() -> None:
    driver = Driver(Fleet(start_limit=1))
    driver.find(spec("a"), spec("b"))
    driver.shut_down()
    assert (driver.phase("a"), driver.phase("b")) == (Stopping, Stopped)
    for event in (ev.StartAsked(), ev.RestartAsked(), ev.SpecAccepted(spec("b"))):
        assert driver.tell("b", event) == ()
    assert driver.find(spec("new")) == ()
    assert spawned(driver.tell("a", ev.SpawnFailed(1, "no such file"))) == []
    assert is_down(driver.fleet)


def test_a_shutdown_ends_a_restart_and_a_pause() -> None:
    driver = Driver()
    driver.find(spec("a"), spec("b"))
    driver.run("a", "b")
    driver.tell("a", ev.RestartAsked())
    for generation in (1, 2):
        driver.tell("b", ev.Exited(generation, code=1))
    orders = driver.shut_down()
    assert Order("b", do.ReleaseSocket()) in orders
    assert driver.phase("b") is Stopped
    driver.tell("a", ev.Exited(1, code=0))
    driver.tell("a", ev.SpawnFailed(2, "no such file"))
    assert driver.phase("a") is Stopped


def test_a_shutdown_leaves_invalid_and_stopped_units_as_they_are() -> None:
    driver = Driver()
    driver.tell("a", ev.SpecBroken("agent.toml:1:1: wrong", "a/agent.toml"))
    driver.find(spec("b"))
    driver.tell("b", ev.StopAsked())
    driver.tell("b", ev.SpawnFailed(1, "no such file"))
    before = driver.fleet
    assert driver.shut_down() == ()
    assert driver.fleet.units == before.units


def test_a_restart_of_all_is_done_dependencies_first_and_only_so_many_at_once() -> None:
    driver = Driver(Fleet(start_limit=2))
    driver.find(spec("host"), spec("a", "host"), spec("b", "host"), spec("c", "host"))
    driver.run("host", "a", "b", "c")
    news = [(slug, ev.RestartAsked()) for slug in ("a", "b", "c", "host")]
    driver.fleet, orders = steps(driver.fleet, news, 2.0, lambda: 0.0)
    assert spawned(orders) == ["host"]
    assert driver.phase("a") is Running
    assert spawned(driver.run("host")) == ["a", "b"]
    assert driver.phase("a") is Replacing
    assert spawned(driver.run("a")) == ["c"]


def test_a_unit_that_starts_does_not_wait_for_a_dependency_that_is_replaced() -> None:
    driver = Driver()
    driver.find(spec("host"))
    driver.run("host")
    driver.tell("host", ev.RestartAsked())
    assert spawned(driver.find(spec("a", "host"))) == ["a"]


def test_the_start_limit_is_kept_by_replacements_too() -> None:
    driver = Driver(Fleet(start_limit=1))
    driver.find(spec("a"))
    driver.run("a")
    driver.tell("a", ev.RestartAsked())
    assert spawned(driver.find(spec("b"))) == []
    assert spawned(driver.run("a")) == ["b"]


def test_many_events_at_one_time_let_others_start_only_after_the_last() -> None:
    above = {"z": ("a",), "a": ("b",), "b": ()}
    news = [(slug, ev.SpecAccepted(spec(slug, *needs))) for slug, needs in above.items()]
    fleet, orders = steps(Fleet(start_limit=1), news, 1.0, lambda: 0.0)
    assert spawned(orders) == ["b"]
    assert list(fleet.queue) == ["z", "a"]


def test_ten_thousand_sleepers_are_taken_in_by_one_step() -> None:
    policy = Policy(idle_timeout=60.0)
    found = [replace(spec(f"a{i}", "a0"), policy=policy) for i in range(10_000)]
    fleet, orders = steps(Fleet(), ((s.slug, ev.SpecAccepted(s)) for s in found), 1.0, lambda: 0.0)
    assert {type(unit.phase) for unit in fleet.units.values()} == {Asleep}
    assert spawned(orders) == []
    assert len(hold_again(fleet)) == 20_000


def test_a_chain_of_a_thousand_dependencies_starts_and_stops() -> None:
    driver = Driver(Fleet(start_limit=2000))
    slugs = [f"{i:04}" for i in range(1200)]
    chain = [spec(slug, above) for slug, above in pairwise(slugs)]
    news = [(s.slug, ev.SpecAccepted(s)) for s in (*chain, spec(slugs[-1]))]
    driver.fleet, orders = steps(driver.fleet, news, 1.0, lambda: 0.0)
    assert spawned(orders) == [slugs[-1]]
    assert spawned(driver.run(slugs[-1])) == [slugs[-2]]
    driver.tell(slugs[-2], ev.Spawned(1, 8))
    assert terminated(driver.shut_down()) == [slugs[-2]]
    assert terminated(driver.tell(slugs[-2], ev.Exited(1, code=0))) == [slugs[-1]]


def test_a_shutdown_of_units_that_depend_on_each_other_ends() -> None:
    driver = Driver()
    driver.find(spec("c"), spec("a", "b"), spec("b", "a"))
    driver.run("c", "b", "a")
    driver.shut_down()
    for slug in ("c", "a", "b"):
        driver.tell(slug, ev.Exited(1, code=0))
    assert is_down(driver.fleet)


def test_what_is_needed_and_crashes_during_a_shutdown_is_not_started_again() -> None:
    driver = Driver()
    driver.find(spec("host"), spec("a", "host"))
    driver.run("host", "a")
    driver.shut_down()
    assert spawned(driver.tell("host", ev.Exited(1, signal="SIGKILL"))) == []
    assert driver.phase("host") is Stopped


def test_a_client_wakes_nobody_during_a_shutdown() -> None:
    driver = Driver()
    driver.find(replace(spec("a"), policy=Policy(idle_timeout=9.0)), spec("b"))
    driver.run("b")
    assert driver.phase("a") is Asleep
    driver.shut_down()
    assert driver.tell("a", ev.ClientWaits()) == ()
    assert driver.phase("a") is Stopped


def test_every_socket_can_be_asked_for_again() -> None:
    driver = Driver()
    driver.find(replace(spec("a"), policy=Policy(idle_timeout=9.0)), spec("b"), spec("c"))
    driver.run("b", "c")
    driver.tell("c", ev.StopAsked())
    assert hold_again(driver.fleet) == (
        Order("a", do.HoldSocket()),
        Order("a", do.WatchSocket()),
        Order("b", do.HoldSocket()),
        Order("c", do.ReleaseSocket()),
    )


def test_what_an_operator_wants_is_known_without_a_look_at_every_unit() -> None:
    driver = Driver(Fleet(unwanted=frozenset({"a", "away"})))
    driver.find(spec("a"), spec("b"))
    driver.tell("a", ev.StartAsked())
    driver.tell("b", ev.StopAsked())
    assert unwanted(driver.fleet) == {"b", "away"}
    driver.tell("b", ev.Removed())
    driver.tell("b", ev.Spawned(1, 7))
    driver.tell("b", ev.Exited(1, code=0))
    assert unwanted(driver.fleet) == {"away"}
