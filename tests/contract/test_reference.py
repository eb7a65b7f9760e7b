"""`/openapi.json` and the pages that show it: what they say is what is served."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import jsonschema
import msgspec
import pytest
from litestar.routes import ASGIRoute, HTTPRoute

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest
from atoll.http.app import agent_routes
from tests.fakes.examples import (
    MINE,
    OF_AGENT,
    of_agent,
    operations,
    send,
    shape,
    talkative,
    value_of,
)
from tests.fakes.openapi import faults_of, misfits
from tests.fakes.ports import FakeModel
from tests.fakes.serving import Served, serving

REFUSED = {
    "/api/blobs/{digest}",
    "/api/copy",
    "/api/create",
    "/api/delete",
    "/api/experimental/{name}",
    "/api/me",
    "/api/push",
    "/api/signout",
    "/api/user/keys/{key}",
    "/v1/audio/transcriptions",
    "/v1/messages/count_tokens",
}
"""Known paths on which an agent does nothing; they answer in their dialect's words."""
ASSETS = {"/docs/assets/{name}"}
"""Files of the pages."""


@pytest.fixture(autouse=True)
def nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without Swagger UI, Redoc and Scalar, whatever is in the one of the tests."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))


@pytest.fixture
def document(served: Served) -> dict:
    return httpx.get(f"{served.url}/openapi.json").json()


def test_every_route_is_told_and_nothing_else(document: dict) -> None:
    routes = {
        route.path_format
        for route in agent_routes().routes
        if isinstance(route, HTTPRoute | ASGIRoute)
    }
    assert set(document["paths"]) == routes - REFUSED - ASSETS


def test_every_told_method_is_served(document: dict, served: Served) -> None:
    for path, methods in document["paths"].items():
        for method in methods:
            if "x-websocket" not in methods[method]:
                answer = httpx.request(
                    method, served.url + re.sub(r"\{\w+\}", "x", path), timeout=10
                )
                assert answer.status_code != 405, (method, path)


def test_every_reference_leads_to_a_type(document: dict) -> None:
    named = set(
        re.findall(r'"#/components/schemas/([^"]+)"', msgspec.json.encode(document).decode())
    )
    assert named
    assert named <= document["components"]["schemas"].keys()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in named)


def test_it_is_openapi_and_every_operation_is_told_with_examples_that_fit(document: dict) -> None:
    """Words, tags, parameters, bodies, answers and errors, each with an example of its type."""
    assert document["openapi"] == "3.1.0"
    assert faults_of(document) == []
    for path, methods in document["paths"].items():
        for one in methods.values():
            names = {each["name"] for each in one["parameters"] if each["in"] == "path"}
            assert names == set(re.findall(r"\{(\w+)\}", path))


def test_every_example_is_answered_as_the_document_says(tmp_path: Path) -> None:
    """Sent in the document's order, in both forms where an answer can be streamed."""
    with serving(talkative(), tmp_path) as served:
        document = httpx.get(f"{served.url}/openapi.json").json()
        told = {one["operationId"]: one for _, _, one in operations(document)}
        asked = set()
        for name, media, answer in of_agent(served.url):
            assert answer.status_code == 200, (name, answer.text)
            shown = told[name]["responses"]["200"]["content"][media]
            assert misfits(value_of(answer), shown["schema"], document) == [], name
            asked.add((name, media))
    shown = {
        (name, media) for name, one in told.items() for media in one["responses"]["200"]["content"]
    }
    assert asked == shown


def test_the_answers_shown_are_those_that_are_given_today(tmp_path: Path) -> None:
    """Field for field; `python -m tests.fakes.examples` records them anew."""
    recorded = json.loads(OF_AGENT.read_text("utf-8"))
    with serving(talkative(), tmp_path, manifest=MINE) as served:
        given = {(name, media): answer for name, media, answer in of_agent(served.url)}
    assert given.keys() == {(name, media) for name in recorded for media in recorded[name]}
    for (name, media), answer in given.items():
        if name != "get_openapi_json":
            assert shape(value_of(answer)) == shape(recorded[name][media]), name


def test_what_is_no_json_is_answered_as_the_document_says(document: dict, served: Served) -> None:
    for path, method, operation in operations(document):
        if "requestBody" in operation:
            answer = httpx.request(
                method,
                served.url + path,
                content=b"[",
                headers={"content-type": "application/json"},
            )
            shown = operation["responses"]["400"]["content"]["application/json"]
            assert answer.status_code == 400, path
            assert misfits(answer.json(), shown["schema"], document) == [], path


def test_a_name_that_is_not_there_is_answered_as_the_document_says(
    document: dict, served: Served
) -> None:
    for path, method, operation in operations(document):
        if "404" in operation["responses"]:
            more = {"model": "nobody"} if "requestBody" in operation else {}
            operation["parameters"] = [
                {**one, "example": "nobody"} for one in operation["parameters"]
            ]
            answer = send(served.url, path, method, operation, {}, **more)
            shown = operation["responses"]["404"]["content"]["application/json"]
            assert answer.status_code == 404, path
            assert misfits(answer.json(), shown["schema"], document) == [], path


def test_the_document_says_what_needs_the_token(tmp_path: Path) -> None:
    """Every route of an agent with a token but its health; each then answers 401 as told."""
    with serving(talkative(), tmp_path, token="secret") as served:
        shown = {"Authorization": "Bearer secret"}
        document = httpx.get(f"{served.url}/openapi.json", headers=shown).json()
        assert faults_of(document) == []
        for path, method, operation in operations(document):
            answer = send(served.url, path, method, operation, {})
            if not operation["security"]:
                assert path in ("/health", "/ready")
                assert answer.status_code == 200
            else:
                told = operation["responses"]["401"]["content"]["application/json"]
                assert answer.status_code == 401, path
                assert misfits(answer.json(), told["schema"], document) == [], path


def test_an_answer_is_what_the_document_says(document: dict, served: Served) -> None:
    said = httpx.post(f"{served.url}/chat", json={"message": "hi"}).json()
    schema = {"$ref": "#/components/schemas/ChatAnswer", "components": document["components"]}
    jsonschema.validate(said, schema)


def test_the_agents_own_words_are_words_and_no_markup(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    about = AgentTable(name="GhidraAgent", description=hostile, version='1"><img src=x>')
    with serving(FakeModel(), tmp_path, manifest=Manifest(agent=about)) as served:
        for path in ("/scalar", "/docs", "/redoc"):
            page = httpx.get(served.url + path).text
            assert "<script" not in page
            assert "<img" not in page
            assert "&lt;script&gt;" in page


def test_a_page_of_a_stranger_reads_neither(served: Served) -> None:
    for path in ("/scalar", "/openapi.json"):
        answer = httpx.get(served.url + path, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403


def test_every_command_of_the_page_works_as_it_stands(tmp_path: Path) -> None:
    with serving(talkative(), tmp_path) as served:
        page = httpx.get(f"{served.url}/scalar").text
        commands = [html.unescape(one) for one in re.findall(r"<pre>(.*?)</pre>", page)]
        assert len(commands) > 30
        for command in commands:
            told = f"{command} -s -o {tmp_path}/answer -w '%{{http_code}}' --max-time 10"
            ran = subprocess.run(["bash", "-c", told], capture_output=True, text=True, timeout=30)
            assert ran.stdout == "200", (command, (tmp_path / "answer").read_text())
