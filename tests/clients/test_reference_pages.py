"""Swagger UI, Redoc and Scalar in a real browser, at an agent's port and at the daemon's.

Each must show operations that it has read itself, ask nobody but the port that it came from, and
have nothing to complain of; and what it sends when somebody tries a route must work.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import ConsoleMessage, Page, async_playwright, expect

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest
from atoll.http.reference.programs import PROGRAMS, is_installed
from tests.clients.test_chat_pages import BROWSER
from tests.fakes.daemon import Daemon, add_agent, running
from tests.fakes.examples import talkative
from tests.fakes.serving import serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        BROWSER is None, reason="wants the package chromium-headless-shell, or Chromium, or Chrome"
    ),
]
LIMIT = 30_000
"""Milliseconds that the browser waits for what must come."""
OFFLINE = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",)
HOSTILE = """<img src="data:," onerror="window.hacked=1"><script>window.hacked=1</script>
[x](javascript:window.hacked=1)"""
OPERATION = {"/docs": ".opblock-summary-description", "/redoc": "h2", "/scalar": "h3"}
"""What the programs write operations into."""
SHOWN = {
    "agent": ("GhidraAgent", "The version"),
    "daemon": ("ATOLL management API", "The daemon's health"),
}


@pytest.fixture(params=SHOWN)
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """What is served, and its address."""
    if request.param == "agent":
        with serving(talkative(), tmp_path) as served:
            yield request.param, served.url
    else:
        daemon = Daemon(tmp_path)
        add_agent(daemon.agents, "GhidraAgent")
        with running(daemon):
            yield request.param, daemon.url


@asynccontextmanager
async def opened(url: str, heard: list[str]) -> AsyncIterator[Page]:
    """A page of a browser that reaches this machine alone; it must not even have tried others.

    `heard` gets what the page complains of.
    """
    asked: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            heard.append(message.text)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=OFFLINE)
        page = await browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", hear)
        page.on("pageerror", lambda error: heard.append(str(error)))
        try:
            await page.goto(url)
            yield page
        finally:
            await browser.close()
    own = re.compile(re.escape(url.rpartition("/")[0]) + r"/|data:|blob:")
    assert [one for one in asked if not own.match(one)] == []


@pytest.mark.parametrize("path", PROGRAMS)
async def test_each_page_shows_the_operations_and_asks_nobody_else(
    port: tuple[str, str], path: str
) -> None:
    assert is_installed(PROGRAMS[path]), "make setup installs it: atoll docs install"
    served, base = port
    title, summary = SHOWN[served]
    heard: list[str] = []
    async with opened(base + path, heard) as page:
        assert await page.title() == f"{title}: {PROGRAMS[path].name}"
        await expect(page.locator("h1, h2").get_by_text(title).first).to_be_visible(timeout=LIMIT)
        operation = page.locator(OPERATION[path]).get_by_text(summary, exact=True)
        await expect(operation.first).to_be_visible(timeout=LIMIT)
    assert heard == []


async def test_a_route_can_be_tried_with_the_token(tmp_path: Path) -> None:
    """A POST, which a browser sends with its origin, that changes something."""
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "GhidraAgent")
    heard: list[str] = []
    with running(daemon):
        token = daemon.token()["Authorization"].removeprefix("Bearer ")
        async with opened(f"{daemon.url}/docs", heard) as page:
            await page.locator(".btn.authorize").click(timeout=LIMIT)
            await page.get_by_label("auth-bearer-value").fill(token)
            await page.get_by_label("Apply credentials").first.click()
            await page.locator(".btn-done").first.click()
            operation = page.locator("#operations-daemon-reload")
            await operation.locator(".opblock-summary-control").click()
            await operation.get_by_role("button", name="Try it out").click()
            await operation.get_by_role("button", name="Execute").click()
            status = operation.locator(".live-responses-table tbody td.response-col_status")
            await expect(status.first).to_contain_text("200", timeout=LIMIT)
    assert heard == []


@pytest.mark.parametrize("path", PROGRAMS)
async def test_an_agents_own_words_run_nothing(tmp_path: Path, path: str) -> None:
    """Its description is a stranger's; the pages show it as Markdown."""
    about = AgentTable(name="GhidraAgent", description=HOSTILE)
    with serving(talkative(), tmp_path, manifest=Manifest(agent=about)) as served:
        async with opened(served.url + path, []) as page:
            operation = page.locator(OPERATION[path]).get_by_text("The version", exact=True)
            await expect(operation.first).to_be_visible(timeout=LIMIT)
            assert await page.evaluate("window.hacked") is None
            assert await page.locator("a[href^='javascript:']").count() == 0
