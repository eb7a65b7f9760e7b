"""The model host as a process: readiness, signals, sockets, refusals, and who may use it."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest

from tests.fakes.gguf import make_gguf
from tests.fakes.modelhost import end, running_host, start_host, wait_ready

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")


def get(path: Path, url: str, **headers: str) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=20) as client:
        return client.get(f"http://host{url}", headers=headers)


def test_it_serves_says_so_and_ends_with_0_at_sigterm(gguf: Path, tmp_path: Path):
    path = tmp_path / "run" / "m.sock"
    with running_host(gguf, path) as process:
        assert get(path, "/v1/models").json()["data"][0]["id"] == "tiny"
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o077 == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert not path.exists()


def test_nothing_is_open_to_browsers(gguf: Path, tmp_path: Path):
    path = tmp_path / "m.sock"
    with running_host(gguf, path):
        answer = get(path, "/v1/models", Origin="http://evil.example")
        assert not answer.headers.get("access-control-allow-origin")
        assert get(path, "/slots").status_code != 200
        assert get(path, "/metrics").status_code != 200
        assert get(path, "/").status_code == 404


def test_it_listens_on_no_port(gguf: Path, tmp_path: Path):
    with running_host(gguf, tmp_path / "m.sock") as process:
        links = [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
        inodes = {link for link in links if link.startswith("socket:")}
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
        assert inodes
        assert not inodes & listening


def test_it_leaves_a_core_to_others():
    from atoll.modelhost.engine import threads

    assert threads() == max(1, len(os.sched_getaffinity(0)) - 1)


def test_a_stale_socket_is_replaced(gguf: Path, tmp_path: Path):
    path = tmp_path / "m.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with running_host(gguf, path):
        assert get(path, "/health").status_code == 200


def test_a_socket_that_somebody_serves_is_left_alone(gguf: Path, tmp_path: Path):
    path = tmp_path / "m.sock"
    with running_host(gguf, path):
        second, channel = start_host(gguf, path)
        assert wait_ready(channel) == b""
        assert "already serves there" in second.communicate(timeout=10)[1]
        assert second.returncode == 5
        assert get(path, "/health").status_code == 200


def test_a_file_that_is_no_socket_is_never_deleted(gguf: Path, tmp_path: Path):
    path = tmp_path / "precious"
    path.write_text("mine")
    process, channel = start_host(gguf, path)
    assert wait_ready(channel) == b""
    assert "no socket" in process.communicate(timeout=10)[1]
    assert (process.returncode, path.read_text()) == (5, "mine")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file; `atoll pull smollm2:135m` fetches the small demo model"),
        (b"", "it ends inside its header"),
        (b"not a model at all", "it does not begin with GGUF"),
        (b"GGUF\x03\x00\x00\x00" + b"\xff" * 64, "it claims"),
    ],
)
def test_a_file_that_is_no_model_gives_one_clear_line(tmp_path: Path, content, said: str):
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    process, channel = start_host(path, tmp_path / "m.sock")
    assert wait_ready(channel) == b""
    [line] = process.communicate(timeout=10)[1].splitlines()
    assert process.returncode == 5
    assert line.startswith(f"cannot load {path}: ")
    assert said in line


def test_a_header_without_weights_is_refused_by_the_engine_with_5(gguf: Path, tmp_path: Path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(gguf.read_bytes()[:-100_000])
    process, channel = start_host(path, tmp_path / "m.sock")
    assert wait_ready(channel) == b""
    lines = process.communicate(timeout=10)[1].splitlines()
    assert process.returncode == 5
    assert lines[-1].startswith(f"cannot load {path}: ")


def test_without_the_engine_the_extra_is_named(gguf: Path, tmp_path: Path):
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('not here')")
    process, channel = start_host(gguf, tmp_path / "m.sock", PYTHONPATH=str(tmp_path))
    assert wait_ready(channel) == b""
    assert "pip install 'atoll[local]'" in process.communicate(timeout=10)[1]
    assert process.returncode == 5


def test_sigterm_while_loading_ends_it_too(gguf: Path, tmp_path: Path):
    (tmp_path / "xllamacpp.py").write_text(
        "import threading, types\n"
        "class CommonParams:\n"
        "    def __init__(self):\n"
        "        self.model, self.cpuparams, self.cpuparams_batch = (\n"
        "            types.SimpleNamespace() for _ in range(3))\n"
        "def Server(params):\n"
        "    print('loading', flush=True)\n"
        "    threading.Event().wait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "atoll.modelhost", "--model", gguf, "--socket", tmp_path / "m.sock"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.terminate()
        assert process.wait(5) == 0
    finally:
        end(process)


def test_a_supervised_host_dies_with_its_parent(gguf: Path, tmp_path: Path):
    path = tmp_path / "m.sock"
    parent = textwrap.dedent(
        f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-m", "atoll.modelhost",
                                  "--model", {str(gguf)!r}, "--socket", {str(path)!r}])
        print(child.pid, flush=True)
        child.wait()
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent],
        env={**os.environ, "ATOLL_SUPERVISED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=10)
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_port_is_not_opened_without_a_key(gguf: Path):
    """Every program of this machine could use it, and any web page by a plain form."""
    words = ["-m", "atoll.modelhost", "--model", str(gguf), "--port", "1"]
    environ = {name: value for name, value in os.environ.items() if name != "LLAMA_API_KEY"}
    done = subprocess.run(
        [sys.executable, *words], env=environ, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 2
    assert "set LLAMA_API_KEY" in done.stderr


def test_its_log_says_what_is_loaded_and_where_it_is_served(gguf: Path, tmp_path: Path):
    place = tmp_path / "host.sock"
    with running_host(gguf, place) as host:
        host.terminate()
        lines = host.communicate(timeout=10)[1].splitlines()
    assert lines[0] == f"loading {gguf}"
    assert f"is served on {place}, loaded in" in lines[-1]
