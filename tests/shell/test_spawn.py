"""Real processes through the real launcher: what they get, and how their end is heard."""

import asyncio
import os
import signal
import socket
from contextlib import closing
from pathlib import Path

import pytest

from atoll.adapters.listening import listen, port_of
from atoll_supervisor.shell.environ import child_environment
from atoll_supervisor.shell.spawn import Exited, Launcher, Ready
from atoll_supervisor.shell.start import LaunchSpec
from tests.fakes.launching import LIMIT, Unit, is_dead, open_fds, seen_by_child

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    """Both loops: the tests run on one, the daemon on the other."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def unit(tmp_path):
    made = Unit(tmp_path, Launcher())
    yield made
    await made.end()


async def test_readiness_and_the_exit_status_are_reported_in_order(unit):
    """Ready comes before Exited even when the child exits at once, with its true code."""
    unit.start("--exit", "3")
    assert await unit.next() == Ready("unit", 1)
    assert await unit.next() == Exited("unit", 1, 3, None)


async def test_a_killing_signal_is_named(unit):
    """A child that dies by SIGKILL has no code but the signal's name."""
    unit.start("--crash-after", "0")
    assert await unit.exited() == Exited("unit", 1, None, "SIGKILL")


async def test_a_real_time_signal_has_a_number(unit):
    """A signal without a name does not break the report."""
    child = unit.start("--never-ready")
    child.send(signal.SIGRTMIN + 1)
    assert (await unit.exited()).signal == f"SIG{signal.SIGRTMIN + 1}"


async def test_terminate_is_obeyed_even_by_a_stopped_child(unit):
    """SIGTERM reaches a SIGSTOPped process, because it is continued (faults.md row 5)."""
    child = unit.start()
    await unit.ready()
    child.send(signal.SIGSTOP)
    child.terminate()
    assert await unit.exited() == Exited("unit", 1, 0, None)


async def test_a_child_that_ignores_sigterm_dies_of_kill_tree(unit):
    """kill_tree needs no cooperation (faults.md row 6)."""
    child = unit.start("--ignore-term")
    await unit.ready()
    child.terminate()
    child.kill_tree()
    assert await unit.exited() == Exited("unit", 1, None, "SIGKILL")


async def test_a_child_is_never_signalled_after_its_end(unit):
    """Late orders to a dead child do nothing, whoever has its pid now."""
    child = unit.start("--exit", "0")
    await unit.exited()
    child.terminate()
    child.kill_tree()
    assert not child.alive


async def test_a_child_that_never_says_ready_is_only_heard_at_its_end(unit):
    """No Ready is made up (faults.md row 3)."""
    unit.start("--never-ready", "--crash-after", "0")
    assert isinstance(await unit.next(), Exited)


async def test_a_child_holds_nothing_but_what_it_was_given(unit, tmp_path):
    """0-2, the socket at 3 and the ready pipe at 4: nothing of the daemon, not even by accident."""
    with Path(os.devnull).open() as careless, closing(listen("127.0.0.1", 0)) as held:
        os.set_inheritable(careless.fileno(), True)
        unit.start("--report", str(tmp_path / "seen"), listen=held)
        seen = await seen_by_child(tmp_path / "seen")
    assert sorted(seen["fds"]) == ["0", "1", "2", "3", "4"]
    assert seen["fds"]["0"] == "/dev/null"
    assert seen["fds"]["3"].startswith("socket:")
    assert {fd: seen["fds"][fd][:5] for fd in "124"} == {"1": "pipe:", "2": "pipe:", "4": "pipe:"}


async def test_a_child_without_a_socket_gets_none(unit, tmp_path):
    """LISTEN_FDS is only there when a socket is (sd_listen_fds(3))."""
    unit.start("--report", str(tmp_path / "seen"))
    seen = await seen_by_child(tmp_path / "seen")
    assert sorted(seen["fds"]) == ["0", "1", "2", "4"]
    assert "LISTEN_FDS" not in seen["env"]


async def test_a_child_leads_its_own_session_in_its_own_folder(unit, tmp_path):
    """Session, working directory, marks and default signals are as documented."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    child = unit.start("--report", str(tmp_path / "seen"))
    signal.signal(signal.SIGHUP, before)
    seen = await seen_by_child(tmp_path / "seen")
    assert seen["pid"] == seen["sid"] == child.pid
    assert seen["cwd"] == str(tmp_path)
    assert seen["ignored"] == []
    assert seen["env"]["ATOLL_UNIT"] == "unit"
    assert seen["env"]["ATOLL_INSTANCE"] == child.instance
    assert seen["env"]["ATOLL_SUPERVISED"] == "1"


async def test_the_held_socket_answers_through_the_child(unit):
    """A connection made before the child serves waits, and is then answered."""
    with closing(listen("127.0.0.1", 0)) as held:
        waiting = socket.create_connection(("127.0.0.1", port_of(held)), timeout=LIMIT)
        child = unit.start("--slow-start", "0.2", "--serve", listen=held)
        with waiting:
            waiting.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            answer = await asyncio.to_thread(waiting.recv, 4096)
    assert child.instance.encode() in answer
    child.kill_tree()
    await unit.exited()


@pytest.mark.parametrize(
    ("argv", "cwd", "error"),
    [
        (("no-such-program",), ".", FileNotFoundError),
        (("./missing",), ".", FileNotFoundError),
        (("true",), "nowhere", NotADirectoryError),
        (("true", "a\0b"), ".", ValueError),
    ],
)
async def test_an_impossible_launch_says_so_and_leaves_nothing(unit, tmp_path, argv, cwd, error):
    """The error comes at once, and every descriptor is given back."""
    spec = LaunchSpec(
        unit="u", generation=1, argv=argv, env={"PATH": os.environ["PATH"]}, cwd=str(tmp_path / cwd)
    )
    before = open_fds()
    with pytest.raises(error):
        unit.launcher.launch(spec, None, unit.pump, unit.notices.put_nowait)
    assert open_fds() <= before
    assert unit.launcher.pids == frozenset()


async def test_a_hundred_children_at_once_each_with_its_own_status(tmp_path):
    """No exit is lost or mixed up, and no descriptor leaks."""
    launcher = Launcher()
    units = [Unit(tmp_path, launcher, f"u{number}") for number in range(100)]
    before = open_fds()
    for number, unit in enumerate(units):
        unit.run("/bin/sh", "-c", f"exit {number}")
    codes = [(await unit.exited()).code for unit in units]
    for unit in units:
        unit.pump.close()
    assert codes == list(range(100))
    assert open_fds() <= before


async def test_exits_are_not_stolen_by_burying_orphans(unit):
    """reap_orphans leaves the status of a known child alone, even when it is a zombie already."""
    child = unit.run("/bin/sh", "-c", "exit 7")
    while not is_dead(child.pid):  # without giving the loop a chance to hear of it
        pass
    assert unit.launcher.reap_orphans() == 0
    assert (await unit.exited()).code == 7


async def test_the_ready_pipe_cannot_be_flooded(unit):
    """A child that writes anything else there is cut off, not read for ever."""
    unit.run("/bin/sh", "-c", "trap '' PIPE; while echo x >&4; do :; done 2>/dev/null; exit 5")
    assert await unit.next() == Exited("unit", 1, 5, None)


def test_the_environment_is_an_allow_list():
    """What is not on the list or asked for stays with the daemon (attacks.md S25)."""
    environ = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "XDG_RUNTIME_DIR": "/run/user/1",
        "AWS_SECRET_ACCESS_KEY": "x",
        "ATOLL_TOKEN": "x",
        "NOTIFY_SOCKET": "@x",
        "LISTEN_PID": "1",
        "MY_KEY": "k",
        "OTHER_KEY": "x",
    }
    wanted = ["MY_KEY", "NOT_SET", "NOTIFY_SOCKET", "ATOLL_TOKEN"]
    seen = child_environment(environ, wanted, {"ATOLL_X": "1"})
    assert seen == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "XDG_RUNTIME_DIR": "/run/user/1",
        "MY_KEY": "k",
        "ATOLL_X": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }
