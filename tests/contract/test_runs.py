"""The routes of runs: what is wrong is said, what is asked twice is done once, all is told."""

import concurrent.futures
import contextlib
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.fakes.daemon import PLAIN, Daemon, eventually, running
from tests.fakes.workers import add_worker

LIMIT = 30


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("runs"))
    agents = daemon.agents
    good = {"result": "fine"}
    add_worker(agents, "worker", good)
    add_worker(agents, "Typed", {"n": 1}, takes="a: int, b: list[str], c: Literal['x', 'y']?",
               gives="n: int")  # fmt: skip
    add_worker(agents, "one string", {"n": 1}, takes="", gives="",
               io='signature = "a: int | One -> n: int | As many"')  # fmt: skip
    add_worker(agents, "free", "any text", takes="", gives="")
    add_worker(agents, "mends", "no json", good)
    add_worker(agents, "babbles", "blah", "blah blah", '{"result": 3}', '{"other": "x"}')
    add_worker(agents, "slow", good, delay=60)
    add_worker(agents, "ring", {"query": "x"}, gives="query: str", io='hand_off = "back"')
    add_worker(agents, "back", {"query": "x"}, gives="query: str", io='hand_off = "ring"')
    chooser = 'hand_off_choices = ["worker", "chooser"]'
    add_worker(agents, "chooser", {"query": "q"}, '{"agent": "worker", "confidence": 0.8}',
               gives="query: str", io=chooser)  # fmt: skip
    loop = '{"agent": "loops", "confidence": 1}'
    add_worker(agents, "loops", {"query": "q"}, loop, gives="query: str",
               io='hand_off_choices = ["loops"]')  # fmt: skip
    add_worker(agents, "dangling", good, io='hand_off = "ghost"')
    broken = add_worker(agents, "broken", good, takes="a: list[str")
    assert broken.exists()
    script = '[[turn]]\nchunks = ["x"]\nerror = "the model fell over"\n'
    (add_worker(agents, "dies", good).parent / "script.toml").write_text(script)
    narrow = "[resources]\nmax_concurrent_requests = 1\nmax_queue = 0"
    add_worker(agents, "narrow", good, delay=0.1, more=narrow)
    add_worker(agents, "sleeper", good, more="[deployment]\nidle_timeout = 0.5")
    with running(daemon):
        yield daemon


def post(fleet: Daemon, path: str, body: object, **headers: str) -> httpx.Response:
    return httpx.post(fleet.url + path, json=body, headers=headers, timeout=LIMIT, verify=PLAIN)


def run(fleet: Daemon, agent: str, path: str = "/run/agent", **more: object) -> dict:
    body = {"agent_name": agent, "inputs": {"query": "hi"}, **more}
    answer = post(fleet, path, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(fleet: Daemon, run_id: str, **headers: str) -> list[tuple[int, str, dict]]:
    """Id, type and data of each event of a stream, read to its end."""
    url = f"{fleet.url}/run/{run_id}/events"
    answer = httpx.get(url, headers=headers, timeout=LIMIT, verify=PLAIN)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    found = []
    for part in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line)
        if "id" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


# what is wrong with a request: 400, in our error shape


@pytest.mark.parametrize("path", ["/run/agent", "/run/flock"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"agent_name": 3}',
        b'{"agent_name": "worker", "inputs": []}',
        b'{"agent_name": "worker", "inputs": {}, "async_run": "yes"}',
        b'{"agent_name": "worker", "inputs": {}, "max_steps": 0}',
        b'{"agent_name": "worker", "inputs": {}, "on_interrupt": "panic"}',
        b'{"agent_name": "worker", "inputs": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
        b'{"agent_name": "\xff"}',
        json.dumps({"agent_name": "x" * 201}).encode(),
    ],
)
def test_a_malformed_request_is_400_and_leaves_no_run(
    fleet: Daemon, path: str, body: bytes
) -> None:
    before = len(fleet.get("/run?limit=10000").json()["runs"])
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(fleet.url + path, content=body, headers=headers, verify=PLAIN)
    assert answer.status_code == 400, answer.text
    told = answer.json()
    assert set(told) == {"detail", "code", "who"}
    assert (told["code"], told["who"]) == ("bad_request", "client")
    assert len(fleet.get("/run?limit=10000").json()["runs"]) == before


@pytest.mark.parametrize("path", ["/run/agent", "/run/batch"])
def test_whatever_the_depth_of_inputs_it_is_a_run_or_400(fleet: Daemon, path: str) -> None:
    """Reading and writing have limits that are not the same: neither is met by accident."""
    before = len(fleet.get("/run?limit=10000").json()["runs"])
    field = "batch_inputs" if "batch" in path else "inputs"
    taken = 0
    for depth in (900, *range(960, 976), 1000):
        inputs: str = '{"a": ' + "[" * depth + "]" * depth + "}"
        inputs = f"[{inputs}]" if "batch" in path else inputs
        body = f'{{"agent_name": "free", "async_run": true, "{field}": {inputs}}}'
        headers = {"Content-Type": "application/json"}
        answer = httpx.post(fleet.url + path, content=body, headers=headers, verify=PLAIN)
        assert answer.status_code in (200, 400), (depth, answer.text)
        taken += answer.status_code == 200
    assert len(fleet.get("/run?limit=10000").json()["runs"]) == before + taken
    eventually(lambda: not fleet.get("/run?agent=free&status=running").json()["runs"])
    eventually(lambda: not fleet.get("/run?agent=free&status=starting").json()["runs"])


def test_a_body_that_is_not_declared_json_is_415(fleet: Daemon) -> None:
    url = fleet.url + "/run/agent"
    answer = httpx.post(url, data={"agent_name": "worker"}, verify=PLAIN)
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "gopher://h", "http://", "http://u:p@h/", "//h", "x"]
)
def test_a_webhook_is_http_and_names_a_host(fleet: Daemon, url: str) -> None:
    body = {"agent_name": "worker", "inputs": {"query": "x"}, "webhook": {"url": url}}
    answer = post(fleet, "/run/agent", body)
    assert answer.status_code == 400
    assert "webhook.url" in answer.json()["detail"]
    assert "u:p" not in answer.text


@pytest.mark.parametrize("run_id", ["nope", "%2e%2e", "x" * 500, "123e4567%00", "a;b"])
@pytest.mark.parametrize(
    ("method", "end"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events")]
)
def test_an_unknown_run_is_404_everywhere(
    fleet: Daemon, run_id: str, method: str, end: str
) -> None:
    answer = httpx.request(method, f"{fleet.url}/run/{run_id}{end}", verify=PLAIN)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Run not found", "code": "not_found", "who": "client"}


# what is wrong with the work: a run that has failed


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "input `a` (int) is missing; input `b` (list[str]) is missing"),
        ({"a": "1", "b": []}, "input `a` must be int, not str"),
        ({"a": 1, "b": ["x", 2]}, "input `b`[1] must be str, not int"),
        ({"a": 1, "b": [], "c": "z"}, "input `c` must be 'x' or 'y'"),
        ({"a": 1, "b": [], "d": 1}, "input `d` is not known"),
    ],
)
def test_inputs_that_break_the_signature_fail_the_run(
    fleet: Daemon, inputs: dict, words: str
) -> None:
    told = run(fleet, "typed", inputs=inputs)
    assert (told["status"], told["reason"]) == ("failed", "invalid_inputs")
    assert words in told["error"]


def test_good_inputs_of_every_type_pass(fleet: Daemon) -> None:
    told = run(fleet, "TYPED:latest", inputs={"a": 1, "b": ["x"], "c": "y"})
    assert (told["status"], told["result"]) == ("completed", {"n": 1})


def test_input_and_output_in_one_string_are_two_signatures(fleet: Daemon) -> None:
    rows = {row["name"]: row for row in fleet.get("/agents").json()["agents"]}
    row = rows["one string"]
    assert (row["input_schema"], row["output_schema"]) == ("a: int | One", "n: int | As many")
    assert run(fleet, "one string", inputs={"a": 1})["result"] == {"n": 1}
    assert run(fleet, "one string", inputs={"a": "x"})["reason"] == "invalid_inputs"


def test_an_agent_with_a_hostile_signature_fails_its_runs_and_says_where(fleet: Daemon) -> None:
    told = run(fleet, "broken")
    assert told["status"] == "failed"
    assert "at character 12 of the signature: expected `]`" in told["error"]


def test_an_agent_without_signatures_answers_in_text(fleet: Daemon) -> None:
    assert run(fleet, "free", inputs={"x": 1})["result"] == {"result": "any text"}


def test_an_answer_is_mended_once(fleet: Daemon) -> None:
    told = run(fleet, "mends")
    assert told["result"] == {"result": "fine"}
    assert "answer_refused" in [kind for _, kind, _ in events(fleet, told["run_id"])]


def test_an_answer_that_never_fits_fails_the_run_and_says_why(fleet: Daemon) -> None:
    words = [run(fleet, "babbles") for _ in range(2)]
    assert {one["reason"] for one in words} == {"invalid_output"}
    assert "no JSON" in words[0]["error"]
    assert "output `result` (str) is missing" in words[1]["error"]


def test_a_model_that_fails_is_named(fleet: Daemon) -> None:
    told = run(fleet, "dies")
    assert (told["status"], told["reason"]) == ("failed", "upstream_failed")
    assert "the model fell over" in told["error"]


def test_a_workflow_of_fixed_hand_offs_in_a_circle_is_refused(fleet: Daemon) -> None:
    told = run(fleet, "ring", "/run/flock")
    assert (told["reason"], told["path"]) == ("cycle", [])
    assert "ring -> back -> ring" in told["error"]


def test_a_workflow_that_loops_by_choice_ends_at_its_limit(fleet: Daemon) -> None:
    told = run(fleet, "loops", "/run/flock", max_steps=3)
    assert (told["status"], told["reason"]) == ("failed", "loop_limit")
    assert told["error"] == "the limit of 3 steps is reached: loops -> loops -> loops -> loops"


def test_a_hand_off_to_nobody_is_told_before_anything_is_done(fleet: Daemon) -> None:
    told = run(fleet, "dangling", "/run/flock")
    assert told["error"] == "Agent 'ghost' not found: dangling hands off to it"


def test_a_model_chooses_who_goes_on(fleet: Daemon) -> None:
    told = run(fleet, "chooser", "/run/flock")
    assert (told["result"], told["path"]) == ({"result": "fine"}, ["chooser", "worker"])


def test_a_sleeping_agent_is_woken(fleet: Daemon) -> None:
    fleet.wait_for("sleeper", phase="asleep")
    assert run(fleet, "sleeper")["status"] == "completed"


def test_an_agent_that_has_no_room_is_asked_again(fleet: Daemon) -> None:
    ids = [run(fleet, "narrow", async_run=True)["run_id"] for _ in range(5)]

    def all_done() -> bool:
        return all(fleet.get(f"/run/{one}").json()["status"] == "completed" for one in ids)

    eventually(all_done)


# background, cancel, delete


def test_a_run_in_the_background_goes_on_and_is_cancelled(fleet: Daemon) -> None:
    told = run(fleet, "slow", async_run=True)
    path = f"/run/{told['run_id']}"
    eventually(lambda: fleet.get(path).json()["status"] == "running")
    refused = httpx.delete(fleet.url + path, verify=PLAIN)
    assert (refused.status_code, refused.json()["code"]) == (409, "still_runs")
    ended = fleet.post(f"{path}/cancel").json()
    assert (ended["status"], ended["error"]) == ("cancelled", "the run was cancelled")
    assert fleet.post(f"{path}/cancel").json() == ended
    assert httpx.delete(fleet.url + path, verify=PLAIN).json() == {
        "run_id": told["run_id"],
        "deleted": True,
    }
    assert fleet.get(path).status_code == 404
    eventually(lambda: fleet.row("slow")["in_flight"] == 0, why="the agent works on")


def test_a_client_that_hangs_up_does_not_end_its_run(fleet: Daemon) -> None:
    body = {"agent_name": "Slow", "inputs": {"query": "hi"}}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{fleet.url}/run/agent", json=body, timeout=0.5, verify=PLAIN)
    (row,) = fleet.get("/run?agent=slow&status=running").json()["runs"]
    assert fleet.get(f"/run/{row['run_id']}").json()["status"] == "running"
    assert fleet.post(f"/run/{row['run_id']}/cancel").json()["status"] == "cancelled"


def test_a_cancel_of_a_run_that_has_ended_leaves_it(fleet: Daemon) -> None:
    told = run(fleet, "worker")
    assert fleet.post(f"/run/{told['run_id']}/cancel").json() == told


# events


def test_the_events_of_a_run_end_with_it_and_are_resumed_after_an_id(fleet: Daemon) -> None:
    told = run(fleet, "chooser", "/run/flock")
    found = events(fleet, told["run_id"])
    kinds = [kind for _, kind, _ in found]
    assert kinds == [
        "run_accepted", "step_started", "step_completed", "chosen", "handed_off",
        "step_started", "step_completed", "run_completed",
    ]  # fmt: skip
    assert [number for number, _, _ in found] == list(range(1, 9))
    assert found[-1][2]["result"] == {"result": "fine"}
    assert found[3][2]["detail"] == "worker, confidence 0.8"
    resumed = events(fleet, told["run_id"], **{"Last-Event-ID": "5"})
    assert resumed == found[5:]
    listed = httpx.get(
        f"{fleet.url}/run/{told['run_id']}/events?after=7",
        headers={"Accept": "application/json"},
        verify=PLAIN,
    ).json()
    assert (listed["count"], listed["events"]) == (1, [found[-1][2]])


def test_a_browser_that_comes_back_after_the_end_is_told_to_stop(fleet: Daemon) -> None:
    """It reconnects after every end; a 204 is what ends that (HTML, 9.2.3)."""
    told = run(fleet, "worker")
    url = f"{fleet.url}/run/{told['run_id']}/events"
    last = str(events(fleet, told["run_id"])[-1][0])
    again = httpx.get(url, headers={"Last-Event-ID": last}, timeout=LIMIT, verify=PLAIN)
    assert (again.status_code, again.content) == (204, b"")
    assert httpx.get(f"{url}?after={last}", timeout=LIMIT, verify=PLAIN).status_code == 200
    missed = httpx.get(url, headers={"Last-Event-ID": "1"}, timeout=LIMIT, verify=PLAIN)
    assert "run_completed" in missed.text


def test_the_events_of_a_run_under_way_come_as_they_happen(fleet: Daemon) -> None:
    told = run(fleet, "slow", async_run=True)
    url = f"{fleet.url}/run/{told['run_id']}/events"
    kinds = []
    with httpx.stream("GET", url, timeout=LIMIT, verify=PLAIN) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kinds.append(line.removeprefix("event: "))
                if kinds[-1] == "step_started":
                    fleet.post(f"/run/{told['run_id']}/cancel").raise_for_status()
    assert kinds == ["run_accepted", "step_started", "run_cancelled"]


# Idempotency-Key


def test_the_same_key_and_request_are_one_run(fleet: Daemon) -> None:
    body = {"agent_name": "worker", "inputs": {"query": "once"}}
    headers = {"Idempotency-Key": "order-1"}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: post(fleet, "/run/agent", body, **headers).json(), range(8))
        )
    assert len({answer["run_id"] for answer in answers}) == 1
    assert {answer["status"] for answer in answers} == {"completed"}


@pytest.mark.parametrize(("path", "query"), [("/run/agent", "other"), ("/run/flock", "first")])
def test_the_same_key_with_another_request_is_422(fleet: Daemon, path: str, query: str) -> None:
    headers = {"Idempotency-Key": f"order-2-{query}"}
    first = {"agent_name": "worker", "inputs": {"query": "first"}}
    assert post(fleet, "/run/agent", first, **headers).status_code == 200
    other = {"agent_name": "worker", "inputs": {"query": query}}
    answer = post(fleet, path, other, **headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_400(fleet: Daemon, key: str) -> None:
    body = {"agent_name": "worker", "inputs": {"query": "x"}}
    assert post(fleet, "/run/agent", body, **{"Idempotency-Key": key}).status_code == 400


# lists


def test_the_list_is_newest_first_by_agent_and_status_and_in_pages(fleet: Daemon) -> None:
    ids = [run(fleet, "free", inputs={"n": n})["run_id"] for n in range(3)]
    first = fleet.get("/run?agent=FREE&limit=2").json()
    assert [one["run_id"] for one in first["runs"]] == [ids[2], ids[1]]
    assert first["count"] == 2
    rest = fleet.get(f"/run?agent=free&limit=2&before={first['next']}").json()
    assert rest["runs"][0]["run_id"] == ids[0]
    assert set(rest["runs"][0]) >= {"run_id", "status", "started_at", "completed_at", "error"}
    assert "result" not in rest["runs"][0]
    assert all(one["status"] == "failed" for one in fleet.get("/run?status=failed").json()["runs"])


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=10001",
        "limit=x",
        "status=odd",
        "before=-1",
        "status=failed&status=completed",
        "limit=1&limit=2",
    ],
)
def test_a_wrong_wish_for_a_list_is_400_and_named(fleet: Daemon, query: str) -> None:
    answer = fleet.get(f"/run?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["detail"]


# batches


def finished(fleet: Daemon, batch_id: str) -> dict:
    body: dict = {}

    def is_over() -> bool:
        nonlocal body
        body = fleet.get(f"/batch/{batch_id}").raise_for_status().json()
        return body["completed_items"] == body["total_items"]

    eventually(is_over)
    return body


def test_a_batch_runs_each_row_and_keeps_the_order(fleet: Daemon) -> None:
    rows = [{"text": f"q{n}", "junk": n} for n in range(12)]
    body = {
        "agent_name": "worker",
        "batch_inputs": rows,
        "input_mapping": {"text": "query"},
        "max_workers": 3,
    }
    begun = post(fleet, "/run/batch", body).json()
    assert begun["total_items"] == 12
    done = finished(fleet, begun["batch_id"])
    assert (done["status"], done["progress_percentage"], done["error"]) == ("completed", 100, None)
    assert done["results"] == [{"result": "fine"}] * 12
    assert len(set(done["run_ids"])) == 12


@pytest.mark.parametrize(("errors", "status"), [(False, "failed"), (True, "completed")])
def test_a_row_that_fails_is_told_as_the_request_wants(
    fleet: Daemon, errors: bool, status: str
) -> None:
    body = {
        "agent_name": "worker",
        "batch_inputs": [{"query": "x"}, {"wrong": 1}],
        "return_errors": errors,
    }
    done = finished(fleet, post(fleet, "/run/batch", body).json()["batch_id"])
    assert (done["status"], done["failed_items"]) == (status, 1)
    assert done["results"][0] == {"result": "fine"}
    assert (done["results"][1] is not None) == errors
    assert (done["error"] is None) == errors


@pytest.mark.parametrize(
    "change",
    [
        {"batch_inputs": "/etc/passwd"},
        {"batch_inputs": []},
        {"batch_inputs": [1]},
        {"write_to_csv": "out.csv"},
        {"max_workers": 0},
        {"batch_inputs": [{}] * 100, "static_inputs": {"query": "x" * 1_000_000}},
        {"batch_inputs": [{"a": 1}] * 100, "input_mapping": {"a": "x" * 1_000_000}},
    ],
)
def test_a_batch_reads_and_writes_no_file_of_ours(fleet: Daemon, change: dict) -> None:
    body = {"agent_name": "worker", "batch_inputs": [{"query": "x"}], **change}
    answer = post(fleet, "/run/batch", body)
    assert answer.status_code == 400
    assert "root:" not in answer.text


def test_a_batch_is_not_begun_twice_with_one_key(fleet: Daemon) -> None:
    body = {"agent_name": "worker", "batch_inputs": [{"query": "x"}]}
    headers = {"Idempotency-Key": "batch-1"}
    first, second = (post(fleet, "/run/batch", body, **headers).json() for _ in range(2))
    assert first["batch_id"] == second["batch_id"]
    assert finished(fleet, first["batch_id"])["total_items"] == 1


def test_an_unknown_batch_is_404(fleet: Daemon) -> None:
    assert fleet.get("/batch/nope").json()["detail"] == "Batch not found"


# webhooks


class Ear:
    """A server that keeps what it is sent; the first `refusals` are answered with 500 or 307."""

    def __init__(self, *refusals: int) -> None:
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        refused = list(refusals)
        ear = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                ear.heard.append((self.path, dict(self.headers), body))
                self.send_response(refused.pop(0) if refused else 204)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@contextlib.contextmanager
def listening(*refusals: int) -> Iterator[Ear]:
    ear = Ear(*refusals)
    thread = threading.Thread(target=ear.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield ear
    finally:
        ear.server.shutdown()
        ear.server.server_close()
        thread.join(LIMIT)


def test_the_end_of_a_run_is_told_signed_and_again_until_it_was_heard(fleet: Daemon) -> None:
    with listening(307) as ear:
        told = run(fleet, "worker", webhook={"url": ear.url, "secret": "s3cret"})
        assert "s3cret" not in json.dumps(told)
        eventually(lambda: len(ear.heard) == 2)
    for path, headers, body in ear.heard:
        digest = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
        assert headers["X-Atoll-Signature"] == f"sha256={digest}"
        assert headers["X-Atoll-Run"] == told["run_id"]
        assert (path, json.loads(body)) == ("/hook", told)


def test_a_batch_s_webhook_is_told_of_each_run(fleet: Daemon) -> None:
    with listening() as ear:
        body = {
            "agent_name": "worker",
            "batch_inputs": [{"query": "x"}, {"wrong": 1}],
            "webhook": {"url": ear.url},
        }
        begun = post(fleet, "/run/batch", body).json()
        eventually(lambda: len(ear.heard) == 2)
    told = [json.loads(heard) for _, _, heard in ear.heard]
    assert {one["run_id"]: one["status"] for one in told} == dict(
        zip(begun["run_ids"], ("completed", "failed"), strict=True)
    )
    assert {one["batch_id"] for one in told} == {begun["batch_id"]}


@pytest.mark.parametrize("path", ["/run/agent", "/run/batch"])
@pytest.mark.parametrize(
    "webhook",
    [
        {"url": "file:///x"},
        {"url": "http://h/", "secret": "x" * 1001},
        {"url": "http://169.254.169.254/latest"},
        {"url": "http://2852039166/latest"},
        {"url": "http://[fe80::1]/"},
        {"url": "http://[::ffff:169.254.169.254]/"},
    ],
)
def test_a_webhook_that_cannot_be_is_400_for_runs_and_batches(
    fleet: Daemon, path: str, webhook: dict
) -> None:
    body = {"agent_name": "worker", "batch_inputs": [{}], "webhook": webhook}
    answer = post(fleet, path, body)
    assert answer.status_code == 400
    assert "webhook." in answer.json()["detail"]
