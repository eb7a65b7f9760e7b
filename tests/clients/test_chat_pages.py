"""Chat pages of other people, as PyPI and npm install them, in a real browser on the gateway.

One is a whole page with a server of its own (llms.py); the other asks the gateway from the
browser itself, from another origin (deep-chat). What they must show is the issue's: every
agent in the list, and an answer that grows while the model still speaks.
"""

import asyncio
import os
import re
import shlex
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.clients.test_mcp_servers import INSTALLED, NODE, ROOT, listens
from tests.fakes.daemon import Daemon, add_agent, free_ports, running
from tests.fakes.upstream import SSE_END, Hold, Upstream, delta, finish, streamed, usage, whole

BROWSER = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        BROWSER is None, reason="wants the package chromium-headless-shell, or Chromium, or Chrome"
    ),
]

LIMIT = 30_000
"""Milliseconds that the browser waits for what must come."""
OWN = re.compile(r"(http://(127\.0\.0\.1|localhost|chat\.example):\d+/|data:|blob:)")
ALL = ["cook", "ghidraagent", "historian"]
DEEP_CHAT = INSTALLED / "node_modules/deep-chat/dist/deepChat.bundle.js"
LLMS_PY = INSTALLED / "bin/python"
ON_LOOPBACK = """
from aiohttp import web
from llms.main import main
serve = web.run_app
web.run_app = lambda app, **told: serve(app, **told | {"host": "127.0.0.1"})
main()
"""
"""llms.py as it is, but for where it listens: that it has no setting for, and it means anywhere."""


class Speech:
    """A model's answer, of which the test says when it goes on."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.goes_on, self.ends = asyncio.Event(), asyncio.Event()
        said = [delta("Hello"), Hold(self.goes_on), delta(" from the archive.")]
        end = [Hold(self.ends), finish(), usage(), SSE_END]
        upstream.on("/v1/models", whole({"data": [{"id": "tiny"}]}))
        upstream.on("/v1/chat/completions", streamed([*said, *end], "text/event-stream"))

    async def is_seen_to_grow(self, page: Page, *, is_slow: bool = False) -> None:
        """Its beginning is on the page before the model says more, and then the whole.

        A page that `is_slow` shows the rest only once the model is through.
        """
        await expect(page.get_by_text("Hello", exact=True)).to_be_visible(timeout=LIMIT)
        self.goes_on.set()
        answer = page.get_by_text("Hello from the archive.", exact=True)
        if not is_slow:
            await expect(answer).to_be_visible(timeout=LIMIT)
        self.ends.set()
        await expect(answer).to_be_visible(timeout=LIMIT)
        (asked,) = self.upstream.asked("/v1/chat/completions")
        assert "Who are you?" in asked.body.decode()
        assert not asked.abandoned.is_set()


@pytest.fixture
async def speech() -> AsyncIterator[Speech]:
    async with Upstream() as upstream:
        yield Speech(upstream)


@pytest.fixture
def daemon(tmp_path: Path, speech: Speech) -> Daemon:
    """A fleet of two scripted agents, one of them soon asleep, and the one that is talked to."""
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "GhidraAgent")
    add_agent(daemon.agents, "Cook", "[deployment]\nidle_timeout = 1\n")
    manifest = add_agent(daemon.agents, "Historian")
    manifest.write_text(
        '[agent]\nname = "Historian"\n[llm]\nprovider = "openai"\nmodel = "tiny"\n'
        f'base_url = "{speech.upstream.url}/v1"\n'
    )
    return daemon


@asynccontextmanager
async def browsing(*flags: str) -> AsyncIterator[Page]:
    """A page of a real browser that asks nobody but this machine."""
    asked: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=flags)
        page = await browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        try:
            yield page
        finally:
            await browser.close()
    assert [url for url in asked if not OWN.match(url)] == []


# a whole page, with a server of its own


def commands(daemon: Daemon, port: int) -> list[str]:
    """Those of the documentation, with the ports of this test."""
    text = (ROOT / "docs/gateway.md").read_text().partition("## Chat pages")[2]
    block = re.search(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert block
    told = block[1].replace("127.0.0.1:8099", f"127.0.0.1:{daemon.api_port}")
    return told.replace("--serve 8000", f"--serve {port}").splitlines()


@asynccontextmanager
async def llms_py(daemon: Daemon, folder: Path) -> AsyncIterator[str]:
    """Its address, once it was set up and started by the documentation's commands."""
    program = folder / "bin" / "llms"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {LLMS_PY} -c {shlex.quote(ON_LOOPBACK)} "$@"\n')
    program.chmod(0o755)
    port = free_ports(1)
    *first, last = commands(daemon, port)
    env = {"HOME": str(daemon.home), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    with (folder / "llms.log").open("wb") as log:
        run = partial(asyncio.create_subprocess_exec, env=env, cwd=folder, stdout=log, stderr=log)
        setting_up = await run("/bin/sh", "-euc", "\n".join(first))
        async with asyncio.timeout(60):
            assert await setting_up.wait() == 0, (folder / "llms.log").read_text()
        server = await run(*shlex.split(last), executable=str(program))
        try:
            await listens(port)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.kill()
            await server.wait()


async def test_llms_py_lists_every_agent_and_streams_from_one(
    tmp_path: Path, daemon: Daemon, speech: Speech
) -> None:
    assert (INSTALLED / "bin/llms").exists(), "make setup installs it"
    with running(daemon):
        async with llms_py(daemon, tmp_path) as url, browsing() as page:
            await page.goto(url)
            await page.get_by_text("Select model", exact=True).click(timeout=LIMIT)
            for name in ALL:
                card = page.get_by_text(name, exact=True).first
                await expect(card).to_be_visible(timeout=LIMIT)
            await expect(page.get_by_text("3 of 3 models", exact=True)).to_be_visible()
            await page.get_by_text("historian", exact=True).first.click()
            await page.locator("textarea").first.fill("Who are you?")
            await page.locator("textarea").first.press("Enter")
            await speech.is_seen_to_grow(page, is_slow=True)


# a component that asks the gateway from the browser


@contextmanager
def hosted(folder: Path) -> Iterator[int]:
    """The port of a web server with our page and the component as it came."""
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("deep_chat.html"), folder / "index.html")
    shutil.copy(DEEP_CHAT, folder)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """The test's own output is enough."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@NODE
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_local_page_of_another_port_may_ask_without_a_setting(
    tmp_path: Path, daemon: Daemon, speech: Speech, host: str
) -> None:
    assert DEEP_CHAT.exists(), "make setup installs it, with npm"
    with running(daemon), hosted(tmp_path / "page") as port:
        async with browsing() as page:
            await page.goto(f"http://{host}:{port}/?v1={daemon.url}/v1")
            await listed_and_streamed(page, speech)


async def listed_and_streamed(page: Page, speech: Speech) -> None:
    await expect(page.locator("option")).to_have_text(["choose", *ALL], timeout=LIMIT)
    await page.select_option("select", "historian")
    await page.locator("#text-input").fill("Who are you?")
    await page.locator("#text-input").press("Enter")
    await speech.is_seen_to_grow(page)


@NODE
async def test_a_page_of_another_site_may_once_its_origin_is_allowed(
    tmp_path: Path, daemon: Daemon, speech: Speech
) -> None:
    """Its name leads to this machine, as a name in somebody's network would."""
    flags = ("--host-resolver-rules=MAP chat.example 127.0.0.1",)
    with hosted(tmp_path / "page") as port:
        url = f"http://chat.example:{port}/?v1={daemon.url}/v1"
        with running(daemon):
            async with browsing(*flags) as page:
                async with page.expect_event("console", lambda told: "CORS" in told.text):
                    await page.goto(url)
                assert await page.locator("option").count() == 0
        (tmp_path / "atoll.toml").write_text(
            f'[daemon]\nallowed_origins = ["http://chat.example:{port}"]\n'
        )
        with running(daemon):
            async with browsing(*flags) as page:
                await page.goto(url)
                await listed_and_streamed(page, speech)
