"""Tables and bars as a terminal gets them."""

import pytest

from atoll_supervisor.cli.screen import draw_progress


def test_a_step_that_was_over_at_once_is_shown_complete_and_one_without_size_as_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    draw_progress([("pulling manifest", 0, 0), ("pulling abc", 0, 2048), ("success", 0, 0)])
    shown = capsys.readouterr().err
    assert "pulling manifest" in shown
    assert "2.0/2.0 KiB" in shown
    assert "0/? bytes" not in shown
