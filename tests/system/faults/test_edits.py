"""Manifests that are edited badly or without end while the daemon watches: rows 31 and 32."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.holds import watching

MOST_RELOADS = 3
"""Of a storm of one second: one at once, one at its end, and one that may fall between."""


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Edited")
    add_agent(daemon.agents, "Other")
    return daemon


def manifest_of(daemon: Daemon) -> Path:
    return daemon.agents / "edited" / "agent.toml"


def half_written(manifest: Path, good: str) -> None:
    manifest.write_text(good[: good.index("[llm]") + 3])


def wrong_value(manifest: Path, good: str) -> None:
    manifest.write_text(good.replace("[llm]", "[llm]\ntemperature = 99"))


def a_directory(manifest: Path, good: str) -> None:
    manifest.unlink()
    manifest.mkdir()


def a_symlink_loop(manifest: Path, good: str) -> None:
    manifest.unlink()
    manifest.symlink_to(manifest.name)


def not_text(manifest: Path, good: str) -> None:
    manifest.write_bytes(b"\xff\xfe\x00")


BAD: dict[Callable[[Path, str], None], str] = {
    half_written: "agent.toml:5:",
    wrong_value: "agent.toml:6:",
    a_directory: "agent.toml: ",
    a_symlink_loop: "agent.toml: ",
    not_text: "agent.toml",
}


@pytest.mark.timeout(120)
def test_row_31_while_the_manifest_is_bad_the_last_good_one_runs_and_the_fault_is_shown(
    daemon: Daemon,
) -> None:
    manifest = manifest_of(daemon)
    with running(daemon), watching(daemon):
        good, port = manifest.read_text(), daemon.row("edited")["port"]
        for spoil, place in BAD.items():
            spoil(manifest, good)
            _shows(daemon, place)
            assert daemon.row("edited")["status"] == "running"
            assert daemon.chat(port) == "Hello from Edited"
            _mend(manifest, good)
            eventually(lambda: daemon.row("edited")["config_error"] is None)
        for gap in (0, 0.002, 0.01, 0.03):  # as an editor that saves by a rename
            manifest.rename(manifest.with_name("agent.toml~"))
            time.sleep(gap)
            _mend(manifest, good)
            assert daemon.post("/api/v1/reload").is_success
    with running(daemon), watching(daemon, touched={"edited"}, broken={"edited"}):
        manifest.rename(manifest.with_name("agent.toml.away"))
        eventually(lambda: daemon.get("/api/v1/agents/edited").status_code == 404)
        manifest.with_name("agent.toml.away").rename(manifest)
        eventually(lambda: daemon.get("/api/v1/agents/edited").is_success)
        assert daemon.wait_for("edited", phase="running")["port"] == port
        assert daemon.chat(port) == "Hello from Edited"


def _shows(daemon: Daemon, place: str) -> None:
    eventually(lambda: place in str(daemon.row("edited")["config_error"]), why=place)


def _mend(manifest: Path, good: str) -> None:
    """Put the good one in its place at once, whatever is there."""
    fresh = manifest.with_name(".agent.toml.new")
    fresh.write_text(good)
    if manifest.is_dir() and not manifest.is_symlink():
        manifest.rmdir()
    fresh.replace(manifest)


def test_row_32_a_storm_of_edits_is_few_reloads_and_none_is_lost_when_the_queue_overflows(
    daemon: Daemon,
) -> None:
    manifest = manifest_of(daemon)
    with running(daemon), watching(daemon, touched={"edited"}, handed_over={"edited"}) as watch:
        good, port = manifest.read_text(), daemon.row("edited")["port"]
        began = time.monotonic()
        for number in range(999):
            manifest.write_text(_edit(good, f"top_p = {number / 1000}"))
            time.sleep(max(0.0, began + number / 1000 - time.monotonic()))
        _save(manifest, good, "the storm")
        eventually(lambda: daemon.chat(port) == "the storm")
        generation = int(str(daemon.wait_for("edited", phase="running")["generation"]))
        print(f"{generation - 1} reloads, {time.monotonic() - began:.1f} s")
        assert generation - 1 <= MOST_RELOADS
        assert daemon.process is not None
        with watch.daemon_away():
            daemon.process.send_signal(signal.SIGSTOP)
            _overflow(daemon)
            _save(manifest, good, "the overflow")
            add_agent(daemon.agents, "Newcomer")
            daemon.process.send_signal(signal.SIGCONT)
        eventually(lambda: daemon.chat(port) == "the overflow")
        eventually(lambda: daemon.get("/api/v1/agents/newcomer").is_success)
        newcomer = daemon.wait_for("newcomer", phase="running")
        assert daemon.chat(newcomer["port"]) == "Hello from Newcomer"
        daemon.wait_for("edited", phase="running", restarts=0)


def _edit(good: str, more: str) -> str:
    return good.replace("[llm]", f"[llm]\n{more}")


def _save(manifest: Path, good: str, answer: str) -> None:
    """An edit after which the agent says this."""
    name = f"{answer.replace(' ', '-')}.toml"
    manifest.with_name(name).write_text(f'[[turn]]\nchunks = ["{answer}"]\n')
    manifest.write_text(good.replace("script.toml", name))


def _overflow(daemon: Daemon) -> None:
    """More changes than the kernel keeps for one reader; equal ones in a row would be merged."""
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    names = [daemon.agents / "other" / name for name in ("a.txt", "b.txt")]
    for number in range(most // 2 + 100):
        names[number % 2].touch()
        names[number % 2].unlink()
