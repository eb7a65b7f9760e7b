"""`/openapi.json` and `/scalar`: what they say is what is served."""

import html
import re
import subprocess
from pathlib import Path

import httpx
import jsonschema
import msgspec
import pytest
from litestar.routes import ASGIRoute, HTTPRoute

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest
from atoll.http.app import agent_routes
from tests.fakes.ports import FakeModel, text
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
SAME_PAGE = {"/docs", "/redoc"}


@pytest.fixture
def document(served: Served) -> dict:
    return httpx.get(f"{served.url}/openapi.json").json()


def test_every_route_is_told_and_nothing_else(document: dict) -> None:
    routes = {
        route.path_format
        for route in agent_routes().routes
        if isinstance(route, HTTPRoute | ASGIRoute)
    }
    assert set(document["paths"]) == routes - REFUSED - SAME_PAGE


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


def test_every_type_is_a_json_schema(document: dict) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_operation_has_what_openapi_wants(document: dict) -> None:
    assert document["openapi"] == "3.1.0"
    told = [one for methods in document["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in told}) == len(told)
    assert all(one["summary"] and one["responses"] for one in told)
    for path, methods in document["paths"].items():
        for one in methods.values():
            names = {each["name"] for each in one["parameters"] if each["in"] == "path"}
            assert names == set(re.findall(r"\{(\w+)\}", path))


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
    """But for a session that is not there."""
    with serving(FakeModel(*[text("hi")] * 20), tmp_path) as served:
        page = httpx.get(f"{served.url}/scalar").text
        commands = [html.unescape(one) for one in re.findall(r"<pre>(.*?)</pre>", page)]
        assert len(commands) > 30
        for command in commands:
            told = f"{command} -s -o {tmp_path}/answer -w '%{{http_code}}' --max-time 10"
            ran = subprocess.run(["bash", "-c", told], capture_output=True, text=True, timeout=30)
            expected = "404" if "SESSION_ID" in command else "200"
            assert ran.stdout == expected, (command, (tmp_path / "answer").read_text())
