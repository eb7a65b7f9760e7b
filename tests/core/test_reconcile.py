"""What a look at the disk means for the fleet."""

from msgspec.structs import replace

from atoll_supervisor.core.events import Removed, SpecAccepted, SpecBroken
from atoll_supervisor.core.phases import Invalid, Running, Stopping, Unit
from atoll_supervisor.core.reconcile import Broken, reconcile
from atoll_supervisor.core.spec import UnitSpec

A = UnitSpec(slug="a", name="A", checksum="1", config_path="one/agent.toml")
B = UnitSpec(slug="b", name="B", checksum="1", config_path="two/agent.toml")
RUNS = Unit(slug="a", spec=A, phase=Running(1, 1, 0.0), generation=1)
WRONG = Broken("one", "one/agent.toml", "agent.toml:3:1: unknown key")
LEAVING = replace(RUNS, phase=Stopping(0.0, "forget", "its folder was removed"))


def test_what_is_new_is_accepted_in_the_order_of_slugs() -> None:
    assert reconcile([B, A], {}) == (("a", SpecAccepted(A)), ("b", SpecAccepted(B)))


def test_what_is_the_same_makes_no_event() -> None:
    assert reconcile([A], {"a": RUNS}) == ()


def test_what_changed_is_accepted_again() -> None:
    edited = replace(A, checksum="2")
    assert reconcile([edited], {"a": RUNS}) == (("a", SpecAccepted(edited)),)


def test_what_is_gone_is_removed_before_anything_new_is_born() -> None:
    renamed = replace(A, slug="0", name="0")
    assert reconcile([renamed], {"a": RUNS}) == (("a", Removed()), ("0", SpecAccepted(renamed)))


def test_a_file_that_broke_is_told_to_the_unit_it_was_once_good_for() -> None:
    news = reconcile([WRONG], {"a": RUNS})
    assert news == (("a", SpecBroken(WRONG.problem, WRONG.config_path)),)


def test_a_problem_that_is_known_makes_no_event() -> None:
    assert reconcile([WRONG], {"a": replace(RUNS, config_error=WRONG.problem)}) == ()


def test_a_file_that_was_mended_to_what_it_was_is_accepted() -> None:
    unit = replace(RUNS, config_error=WRONG.problem)
    assert reconcile([A], {"a": unit}) == (("a", SpecAccepted(A)),)


def test_a_file_that_never_was_good_is_known_by_its_folder() -> None:
    assert reconcile([WRONG], {}) == (("one", SpecBroken(WRONG.problem, WRONG.config_path)),)


def test_an_invalid_unit_is_told_when_its_problem_comes_from_another_file() -> None:
    phase = Invalid(WRONG.problem, "elsewhere/agent.toml")
    unit = Unit(slug="one", phase=phase, config_error=WRONG.problem)
    assert reconcile([WRONG], {"one": unit})
    known = replace(unit, phase=Invalid(WRONG.problem, WRONG.config_path))
    assert reconcile([WRONG], {"one": known}) == ()


def test_of_two_with_one_slug_the_first_counts_and_a_broken_one_never_does() -> None:
    second = replace(A, config_path="other/agent.toml")
    stray = Broken("a", "third/agent.toml", "agent.toml: broken")
    assert reconcile([stray, A, second], {}) == (("a", SpecAccepted(A)),)


def test_a_unit_on_its_way_out_is_not_removed_twice() -> None:
    assert reconcile([], {"a": LEAVING}) == ()


def test_a_folder_that_comes_back_while_its_unit_leaves_is_news() -> None:
    assert reconcile([A], {"a": LEAVING}) == (("a", SpecAccepted(A)),)
    assert reconcile([WRONG], {"a": LEAVING})[0][0] == "a"


def test_a_good_manifest_that_did_not_start_is_no_news_until_it_is_edited_again() -> None:
    edited = replace(A, checksum="2")
    note = "the new process did not start: exit code 1; the previous one goes on serving"
    old = Running(1, 1, 0.0, note=note, checksum="1")
    unit = replace(RUNS, spec=edited, phase=old, config_error=note)
    assert reconcile([edited], {"a": unit}) == ()
    assert reconcile([A], {"a": unit}) == (("a", SpecAccepted(A)),)
    assert reconcile([edited], {"a": replace(unit, config_error="agent.toml:1:1: wrong")})
