"""Row 44: a release goes on with what every older one left, and leaves alone what is newer."""

import hashlib
import json
import signal
import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from atoll_supervisor.cli.codes import Exit
from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.holds import rows_of, state_file_is_true, watching

OLDER = {
    "of a daemon without keeper": ("", {}),
    "that says the back end": ('default_llm = "demo"\n', {"default_llm": "demo"}),
}
"""The forms of fleet.toml so far: more lines, and more that the checksum is of.

Add one with each new form.
"""
FROZEN = """\
version = 1
checksum = "sha256:0495a5f710df16c217b14ca3d7ba02bbfb602da954d0a2f05c93d9e4ffd41233"

[units.alpha]
port = 18471
desired = "running"

[units.beta]
port = 18472
desired = "stopped"
"""
"""One that a released form has really written, byte for byte."""


def state(form: str, ports: dict[str, int]) -> str:
    """As that form was written; the checksum is over JSON with sorted keys."""
    lines, more = OLDER[form]
    desired = {"alpha": "running", "beta": "stopped"}
    units = {slug: {"desired": desired[slug], "port": port} for slug, port in ports.items()}
    meant = json.dumps({**more, "units": units}, separators=(",", ":"), sort_keys=True)
    checksum = f"sha256:{hashlib.sha256(meant.encode()).hexdigest()}"
    tables = (
        f'[units.{slug}]\nport = {unit["port"]}\ndesired = "{unit["desired"]}"\n'
        for slug, unit in units.items()
    )
    return f'version = 1\nchecksum = "{checksum}"\n{lines}\n' + "\n".join(tables)


def test_the_fixtures_are_what_a_release_wrote() -> None:
    assert state("of a daemon without keeper", {"alpha": 18471, "beta": 18472}) == FROZEN


RUN = "123e4567-e89b-12d3-a456-426614174000"
VERSION_1 = """
create table event (
    id integer primary key,
    unit text not null,
    happening text not null
);
create index event_unit on event (unit, id);
insert into event values (1795247000000000, 'alpha', '{"id":1795247000000000,
"at":"2026-11-21T07:43:20.000Z","unit":"alpha","before":"running","after":"backoff",
"cause":"told by an older release","generation":3,"pid":null,"restarts":2,
"exit":{"code":7,"signal":null,"reason":"ended with exit code 7",
"at":"2026-11-21T07:43:20.000Z"}}');
pragma user_version = 1;
"""
VERSION_2 = (
    VERSION_1
    + """
create table run (
    seq integer primary key autoincrement,
    id text not null unique,
    agent text not null,
    status text not null,
    batch text not null,
    item integer not null,
    ended real,
    row text not null
);
create index run_open on run (seq) where ended is null;
create index run_ended on run (ended) where ended is not null;
create index run_status on run (status, seq);
create index run_agent on run (agent, seq);
create index run_of_batch on run (batch, item) where batch <> '';
create table run_plan (seq integer primary key, plan text not null);
create table run_progress (seq integer primary key, progress text not null);
create table run_step (
    seq integer not null, position integer not null, step text not null,
    primary key (seq, position)
) without rowid;
create table run_event (
    seq integer not null, id integer not null, event text not null,
    primary key (seq, id)
) without rowid;
create table run_key (
    key text primary key, digest text not null, target text not null
) without rowid;
create index run_key_target on run_key (target);
create table run_batch (id text primary key, batch text not null) without rowid;
create table run_webhook (seq integer primary key);
insert into run values (1, '123e4567-e89b-12d3-a456-426614174000', 'alpha', 'running', '', 0,
null, '{"run_id":"123e4567-e89b-12d3-a456-426614174000","status":"running",
"started_at":"2026-11-21T07:43:20.000Z","completed_at":null,"error":null,"reason":null,
"agent_name":"alpha","kind":"agent","steps":0,"batch_id":null}');
insert into run_plan values (1, '{"kind":"agent","agent":"alpha","inputs":{"query":"hi"},
"on_interrupt":"fail","max_steps":25,"webhook":null,
"run_id":"123e4567-e89b-12d3-a456-426614174000","accepted":1795247000.0,"batch":"","item":0,
"workers":0}');
insert into run_progress values (1, '{"phase":{"type":"asking","key":{"position":1,"attempt":0,
"tries":0,"chooses":false},"agent":"alpha","inputs":{"query":"hi"},"began":1795247000.0,
"answer":"","fault":""},"told":1}');
insert into run_event values (1, 1, '{"id":1,"type":"run_accepted",
"at":"2026-11-21T07:43:20.000Z","run_id":"123e4567-e89b-12d3-a456-426614174000",
"status":"starting"}');
create table service (id text primary key, record blob not null);
insert into service values ('ab12cd34', '{"id":"ab12cd34"
,"uuid":"0123456789abcdef0123456789abcdef","name":"vllm-ab12cd34"
,"recipe_name":"inference/vllm","engine":"local","order":{"command":["vllm","serve"],"values":{}
,"environment":{},"given":{},"resources":{"nodes":1,"cpu":0,"memory":0,"gpu":0,"time_limit":0}
,"health":{"path":"/health","interval":5.0,"timeout":5.0,"retries":3},"api":"","metrics":""
,"start_limit":600.0,"stop_timeout":10.0,"partition":"","account":"","qos":""},"config":{}
,"created_at":"2026-11-21T07:43:20.000+00:00","key":"k","group_id":null,"status":"failed"
,"reason":"told by an older release","state":"","node":"","host":"","port":null,"restarts":0
,"starting_since":null,"up_since":null,"ended_at":"2026-11-21T07:44:20.000+00:00"
,"job":{"cluster":"","job_id":"","submitted":0.0}}');
pragma user_version = 2;
"""
)
EVENTS = {"none": "", "version 1": VERSION_1, "version 2": VERSION_2}
"""atoll.db likewise, as the statements that make it."""


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    daemon.state.mkdir(mode=0o700)
    for name in ("Alpha", "Beta"):
        add_agent(daemon.agents, name)
    return daemon


def fill(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(statements)


def newer_state(daemon: Daemon) -> Path:
    """What a later release may write: more, and otherwise."""
    path = daemon.state / "fleet.toml"
    path.write_text('version = 2\nshape = "unheard of"\n[fleet.alpha]\nports = [18471]\n')
    return path


def newer_events(daemon: Daemon) -> Path:
    path = daemon.state / "atoll.db"
    fill(path, "create table occurrence (id integer primary key); pragma user_version = 99;")
    return path


@pytest.mark.timeout(120)
@pytest.mark.parametrize("events", EVENTS)
@pytest.mark.parametrize("form", OLDER)
def test_row_44_the_state_of_older_releases_is_read_and_that_of_newer_ones_refused(
    daemon: Daemon, form: str, events: str
) -> None:
    saved = daemon.state / "fleet.toml"
    ports = {"alpha": daemon.base_port + 7, "beta": daemon.base_port + 3}
    saved.write_text(state(form, ports))
    if EVENTS[events]:
        fill(daemon.state / "atoll.db", EVENTS[events])
    with running(daemon):
        with watching(daemon) as watch:
            rows = rows_of(daemon)
            assert {slug: row["port"] for slug, row in rows.items()} == ports
            assert [row["status"] for row in rows.values()] == ["running", "stopped"]
            told = daemon.run("events").stdout
            assert ("told by an older release" in told) == bool(EVENTS[events])
            assert "cannot be trusted" not in daemon.log.read_text()
            if events == "version 2":
                (service,) = daemon.get("/api/v1/services").json()
                assert (service["id"], service["reason"]) == (
                    "ab12cd34",
                    "told by an older release",
                )
                eventually(lambda: daemon.get(f"/run/{RUN}").json()["reason"] == "interrupted")
            state_file_is_true(daemon)
            with watch.daemon_away():
                daemon.stop(signal.SIGKILL)
                for newer, sentence in NEWER.items():
                    refused(daemon, newer, sentence)
                daemon.start()
        assert not list(daemon.state.glob("*.broken-*"))
        add_agent(daemon.agents, "Gamma")
        daemon.post("/api/v1/reload").raise_for_status()
        daemon.wait_for("gamma", phase="running")
        eventually(lambda: "gamma" in tomllib.loads(saved.read_text())["units"])
        assert "[units.alpha]" in (daemon.state / "fleet.toml.1").read_text(), "the one before"


def refused(daemon: Daemon, newer: Callable[[Daemon], Path], sentence: str) -> None:
    """A daemon over that file says so and goes, and touches neither file nor agents."""
    names = ("fleet.toml", "fleet.toml.1", "atoll.db", "atoll.db-wal", "atoll.db-shm")
    before = {name: (daemon.state / name).read_bytes() for name in names if _is(daemon, name)}
    for name in ("atoll.db-wal", "atoll.db-shm", "atoll.db"):
        (daemon.state / name).unlink(missing_ok=True)
    path = newer(daemon)
    written = path.read_bytes()
    done = daemon.run("up")
    assert (done.returncode, "Traceback" in done.stderr) == (Exit.CONFIG, False), done.stderr
    assert "was written by a newer ATOLL" in done.stderr
    assert sentence in done.stderr
    assert "upgrade ATOLL" in done.stderr
    assert path.read_bytes() == written
    assert daemon.chat(daemon.base_port + 7) == "Hello from Alpha"
    for name in names:
        (daemon.state / name).unlink(missing_ok=True)
    for name, data in before.items():
        (daemon.state / name).write_bytes(data)


def _is(daemon: Daemon, name: str) -> bool:
    return (daemon.state / name).exists()


NEWER = {
    newer_state: "state version 2, this one knows 1",
    newer_events: "schema 99, this one knows 3",
}
