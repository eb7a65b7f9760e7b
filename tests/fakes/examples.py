"""The examples of an OpenAPI document, sent to a server as they stand.

What comes back is what the document shows as answers: `python -m tests.fakes.examples` writes
them into the package, and tests hold the document against what is answered today.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest
from atoll.http.reference.example import body_of, place_of
from atoll.http.reference.operation import HTML, JSON, NDJSON, SSE
from atoll.http.reference.operations import GROUPS
from tests.fakes.daemon import running
from tests.fakes.ports import FakeModel, text
from tests.fakes.service_daemon import ServiceDaemon
from tests.fakes.serving import serving
from tests.fakes.workers import add_worker

ROOT = Path(__file__).resolve().parents[2]
OF_DAEMON = ROOT / "supervisor/atoll_supervisor/api/answers.json"
OF_AGENT = ROOT / "agent_runtime/atoll/http/reference/answers.json"
LIMIT = 20
MINE = Manifest(agent=AgentTable(name="My Agent"))
"""The agent of all examples: its slug is `NAME`."""
DOCUMENT = {"openapi": "3.1.0", "info": {}}
"""What is recorded of a document."""
CUT = 400
"""Characters that are recorded of a page."""


def operations(document: dict) -> Iterator[tuple[str, str, dict]]:
    """Path, method and entry of each that is asked by HTTP."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "x-websocket" not in operation:
                yield path, method, operation


def send(
    base: str, path: str, method: str, operation: dict, headers: dict[str, str], **more: object
) -> httpx.Response:
    """The example of an operation; `more` are fields of its body."""
    body = body_of(operation)
    sent = None if body is None else {**body, **more}
    url = base + place_of(path, operation)
    return httpx.request(method, url, json=sent, headers=headers, timeout=LIMIT)


def media_of(answer: httpx.Response) -> str:
    return answer.headers["content-type"].partition(";")[0]


def value_of(answer: httpx.Response) -> object:
    """What a document can show of it: the JSON, the first part of a stream, or the text."""
    match media_of(answer):
        case str(media) if media == JSON:
            return answer.json()
        case str(media) if media == NDJSON:
            return json.loads(answer.text.splitlines()[0])
        case str(media) if media == SSE:
            found = re.search(r"^data: ?(\{.*)$", answer.text, re.MULTILINE)
            return json.loads(found[1]) if found else answer.text
        case str(media) if media == HTML:
            return "<!doctype html>…"
        case _:
            return answer.text[:CUT]


def shape(value: object) -> object:
    """A value without what differs each time: the names of its fields, and types."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return "number" if isinstance(value, int | float) else type(value).__name__


def of_agent(base: str) -> Iterator[tuple[str, str, httpx.Response]]:
    """Operation, media type and answer of each example, both forms of those that can stream."""
    document = httpx.get(f"{base}/openapi.json", timeout=LIMIT).json()
    for path, method, operation in operations(document):
        answer = send(base, path, method, operation, {})
        yield operation["operationId"], media_of(answer), answer
        content = operation["responses"]["200"]["content"]
        if len(content) > 1:
            other = send(base, path, method, operation, {}, stream=media_of(answer) == JSON)
            yield operation["operationId"], media_of(other), other


def talkative() -> FakeModel:
    """A model with an answer for every example."""
    return FakeModel(*[text("Hello, ", "world.")] * 40)


def record_agent() -> None:
    """Write what an agent answers; bootstraps from any file that is there."""
    answers: dict[str, dict[str, object]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(talkative(), Path(folder), manifest=MINE) as served,
    ):
        for name, media, answer in of_agent(served.url):
            answer.raise_for_status()
            value = (
                {"openapi": "3.1.0", "info": {}} if name == "get_openapi_json" else value_of(answer)
            )
            answers.setdefault(name, {})[media] = value
    write(OF_AGENT, answers)


def write(file: Path, answers: dict[str, dict[str, object]]) -> None:
    file.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", "utf-8")


# a whole daemon


class ExampleDaemon(ServiceDaemon):
    """A daemon with the agent of all examples, a clean home, and the stand-in for vLLM."""

    def __init__(self, folder: Path, *flags: str) -> None:
        super().__init__(folder, *flags)
        add_worker(self.agents, "My Agent", {"result": "Hello, world."})

    def document(self) -> dict:
        return self.get("/openapi.json").raise_for_status().json()


FIRST = ("run_agent", "run_flock", "run_batch", "create_service")
"""What is asked for before the rest, which is about what these make."""
LAST = ("delete_run", "set_service_status", "stop_service", "stop_agent", "start_agent", "upgrade")
"""What is asked for after the rest, in this order."""
ID_OF = {"run_agent": "run_id", "run_batch": "batch_id", "create_service": "id"}


def in_order(document: dict) -> list[tuple[str, str, dict]]:
    order = {name: at - len(FIRST) for at, name in enumerate(FIRST)}
    order |= {name: at + 1 for at, name in enumerate(LAST)}
    return sorted(operations(document), key=lambda one: order.get(one[2]["operationId"], 0))


def of_daemon(daemon: ExampleDaemon) -> Iterator[tuple[str, dict, httpx.Response]]:
    """Name, entry and answer of each example; ids are replaced by those that this daemon gave."""
    document, live = daemon.document(), dict[object, str]()
    shown = {
        name: operation["responses"]
        for _, _, operation in operations(document)
        if (name := operation["operationId"]) in ID_OF
    }
    for path, method, operation in in_order(document):
        name = operation["operationId"]
        for one in operation["parameters"]:
            if "example" in one:
                one["example"] = live.get(one["example"], one["example"])
        headers = daemon.token() if operation["security"] else {}
        answer = send(daemon.url, path, method, operation, headers)
        if name in ID_OF and answer.is_success:
            media = shown[name][str(answer.status_code)]["content"][JSON]
            live[media["example"][ID_OF[name]]] = answer.json()[ID_OF[name]]
            if name == "create_service":
                daemon.until(answer.json()["id"], "running")
        yield name, operation, answer


def text_of(answer: httpx.Response) -> object:
    """What the daemon's document can show of an answer; its streams are texts there."""
    return value_of(answer) if media_of(answer) in (JSON, HTML) else answer.text[:CUT]


def record_daemon() -> None:
    """Write what a daemon answers, without the paths and the secrets of this machine."""
    answers: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder, running(ExampleDaemon(Path(folder))) as daemon:
        for name, operation, answer in of_daemon(daemon):
            if operation["tags"][0] in GROUPS:
                continue
            answer.raise_for_status()
            value = DOCUMENT if name == "openapi" else text_of(answer)
            answers[name] = {media_of(answer): value}
        answers["service_endpoint"][JSON]["api_key"] = "the key"
        told = json.dumps(answers)
        for ours, theirs in (
            (folder, "/srv/atoll"),
            (sys.prefix, "/opt/atoll"),
            (str(ROOT), "/opt"),
        ):
            told = told.replace(ours, theirs)
    write(OF_DAEMON, json.loads(told))


if __name__ == "__main__":
    record_agent()
    record_daemon()
