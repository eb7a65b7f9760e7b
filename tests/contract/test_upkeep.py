"""Reloading and upgrading over the management API."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.served import TOKEN, Daemon, daemon, make_fleet

pytestmark = pytest.mark.anyio

PATHS = ("/api/v1/reload", "/api/v1/upgrade")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(make_fleet(tmp_path)) as running:
        yield running


@pytest.fixture
async def http(api: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=20) as client:
        yield client


async def test_reload_says_who_moves_to_a_new_runtime(http: httpx.AsyncClient) -> None:
    assert (await http.post("/api/v1/reload")).json() == {"renewed": []}
    answer = await http.post("/api/v1/reload?runtime=true", json={})
    assert (answer.status_code, answer.json()) == (200, {"renewed": ["ghidraagent"]})


async def test_upgrade_tells_the_instance_that_goes(http: httpx.AsyncClient) -> None:
    instance = (await http.get("/health")).json()["instance_id"]
    answer = await http.post("/api/v1/upgrade")
    assert (answer.status_code, answer.json()) == (202, {"instance_id": instance})


@pytest.mark.parametrize("path", PATHS)
async def test_both_want_the_token_and_no_other_body(api: Daemon, path: str) -> None:
    async with httpx.AsyncClient(base_url=api.url, timeout=20) as stranger:
        assert (await stranger.post(path)).status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=20) as client:
        assert (await client.post(path, json={"now": True})).status_code == 400
        assert (await client.get(path)).status_code == 405
