"""What the benchmarks conclude from their figures."""

from pathlib import Path

import pytest
from benchmarks.supervision.bench import Results
from benchmarks.supervision.goals import LINES, Verdict, verdicts
from benchmarks.supervision.history import Event, faults
from benchmarks.supervision.report import (
    BEGIN,
    END,
    NoMarkers,
    cells,
    figure,
    markdown,
    write_between_markers,
)

INFINITE = float("inf")


def verdict(results: Results, title: str) -> Verdict:
    return next(each for each in verdicts(results) if each.line.title.startswith(title))


def test_a_ratio_is_held_against_the_best_peer_whatever_its_child() -> None:
    results = {
        "kill_to_serving_s": {
            "pm2": [1.0],
            "pm2 (bare)": [0.3, 0.2, 0.25],
            "floor-plain (bare)": [0.01],
            "atoll": [0.04, 0.05, 0.06],
        }
    }
    found = verdict(results, "kill -9")
    assert found.best == ("pm2 (bare)", 0.25)
    assert found.goal == pytest.approx(0.05)
    assert found.held is True
    results["kill_to_serving_s"]["atoll"] = [0.051]
    assert verdict(results, "kill -9").held is False


def test_an_agent_with_its_own_interpreter_is_compared_with_the_same_program() -> None:
    results = {"kill_to_serving_s": {"pm2": [1.0], "pm2 (bare)": [0.2], "atoll-exec": [1.05]}}
    found = verdict(results, "the same with its own interpreter")
    assert found.best == ("pm2", 1.0)
    assert found.held is True


def test_only_peers_that_hold_the_socket_have_a_slowest_answer_worth_comparing() -> None:
    results = {"kill_worst_ms": {"pm2": [6.0], "circus-sock": [3732.0], "atoll": [76.0, 20.0]}}
    found = verdict(results, "slowest answered request at kill")
    assert found.best == ("circus-sock", 3732.0)
    assert found.held is False  # the worst round counts


def test_counts_are_summed_over_all_restarts_and_one_is_too_many() -> None:
    results = {"restarts_failed": {"circus-sock": [3.0], "atoll": [0.0, 1.0]}}
    found = verdict(results, "failed requests in all restarts")
    assert (found.ours, found.held) == (1.0, False)


def test_a_share_must_be_reached_and_not_undercut() -> None:
    results = {"adopt_known_percent": {"pm2": [0.0], "atoll": [100.0, 100.0]}}
    assert verdict(results, "supervisor killed").held is True
    results["adopt_known_percent"]["atoll"].append(99.0)
    assert verdict(results, "supervisor killed").held is False


def test_what_was_not_measured_is_neither_held_nor_missed() -> None:
    found = verdict({"hang_to_serving_s": {"pm2": [INFINITE]}}, "hung agent")
    assert found.held is None
    assert cells(found)[1:] == ("never", "-", "not measured", "≤ 5.00 s", "-")


def test_a_goal_that_is_missed_is_shown_with_its_figure() -> None:
    row = cells(verdict({"crasher_tries": {"pm2": [16.0], "atoll": [12.0]}}, "instant crasher"))
    assert row[1:] == ("16 (pm2)", "-", "12", "≤ 10", "**no**")


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.034, "s", "34 ms"),
        (4.057, "s", "4.06 s"),
        (INFINITE, "s", "never"),
        (464.6, "MiB", "465 MiB"),
        (0.4, "% of a core", "0.40 % of a core"),
        (0.0, "", "0"),
    ],
)
def test_figures_are_written_for_people(value: float, unit: str, shown: str) -> None:
    assert figure(value, unit) == shown


def test_the_table_stands_between_its_markers_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        write_between_markers(page, markdown([]))
    assert page.read_text().startswith(f"before\n{BEGIN}\n| what |")
    assert page.read_text().endswith(f"|\n{END}\nafter\n")
    page.write_text("no markers")
    with pytest.raises(NoMarkers):
        write_between_markers(page, "")


def test_every_line_of_the_scoreboard_has_a_title_of_its_own_for_its_metric() -> None:
    assert len({(line.title, line.metric) for line in LINES}) == len(LINES)


def event(id: int, before: str, after: str, cause: str = "because", **more: int) -> Event:
    return Event(id=id, unit="a", before=before, after=after, cause=cause, **more)


def test_a_history_without_contradiction_has_no_faults() -> None:
    assert not faults(
        [
            event(1, "stopped", "starting"),
            Event(id=2, unit="", cause="a note"),
            event(3, "starting", "running", generation=1),
            event(9, "running", "running", "taken over from the daemon before", generation=1),
        ]
    )


@pytest.mark.parametrize(
    "second",
    [
        event(1, "running", "backoff"),
        event(2, "starting", "running"),
        event(2, "running", "backoff", cause=""),
        event(2, "running", "backoff", generation=-1),
        event(2, "running", "backoff", restarts=-1),
    ],
)
def test_each_contradiction_in_a_history_is_found(second: Event) -> None:
    assert len(faults([event(1, "starting", "running"), second])) == 1
