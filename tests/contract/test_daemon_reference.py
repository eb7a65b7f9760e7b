"""The pages of the daemon's port: every route, with nothing from elsewhere."""

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.served import Daemon, daemon, make_fleet

pytestmark = pytest.mark.anyio
PAGES = ["/docs", "/redoc", "/scalar"]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path)) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url) as client:
        yield client


@pytest.mark.parametrize("path", PAGES)
async def test_the_page_tells_every_route_and_loads_nothing(
    http: httpx.AsyncClient, path: str
) -> None:
    document = (await http.get("/openapi.json")).json()
    answer = await http.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|<img|<link|src=|@import|url\(", answer.text)
    for route in document["paths"]:
        assert html.escape(route) in answer.text


async def test_a_route_that_needs_the_token_says_how_it_is_shown(
    http: httpx.AsyncClient, api: Daemon
) -> None:
    page = html.unescape((await http.get("/docs")).text)
    shown = '-H "Authorization: Bearer $(atoll token show)"'
    assert f"curl -X POST {shown} {api.url}/api/v1/agents/NAME/start" in page
    assert f"curl {api.url}/health" in page
