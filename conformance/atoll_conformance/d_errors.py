"""Group D: errors, with Ollama's own words (ollama-api.md 2.1)."""

import asyncio

from atoll_conformance.answer import Answer
from atoll_conformance.native import user
from atoll_conformance.rows import Row
from atoll_conformance.server import NOPE, Server
from atoll_conformance.shapes import Embed
from atoll_conformance.verdict import Skipped, Wrong, expect, same

REQUIRED = "model is required"
FULL = "server busy, please try again.  maximum pending requests exceeded"
UNNAMED = "model '' not found"
INVALID = "in valid/na me!"
POSTS = ("chat", "generate", "show", "embed", "embeddings", "pull", "push", "create", "copy")


async def _empty(server: Server) -> None:
    for name in POSTS:
        _names_it(f"POST /api/{name}", await server.ask("POST", f"/api/{name}", b""))
    _names_it("DELETE /api/delete", await server.ask("DELETE", "/api/delete", b""))


def _names_it(request: str, answer: Answer) -> None:
    """One row asks ten paths: the failure must name the one at fault."""
    try:
        answer.error(400, "missing request body")
    except Wrong as wrong:
        raise Wrong(f"{request}: {wrong.expected}", wrong.came) from None


async def _bad_json(server: Server) -> None:
    for body in (b"{", b"nonsense", b'{"model":', b'{"model": "\xff"}'):
        (await server.ask("POST", "/api/chat", body)).error(400)


async def _wrong_type(server: Server) -> None:
    (await server.post("/api/chat", messages="hi")).error(400)


async def _chat_unnamed(server: Server) -> None:
    (await server.ask("POST", "/api/chat", {"messages": user("hi")})).error(400, REQUIRED)
    (await server.ask("POST", "/api/embeddings", {"prompt": "hi"})).error(400, REQUIRED)


async def _generate_unnamed(server: Server) -> None:
    (await server.ask("POST", "/api/generate", {"prompt": "hi"})).error(404, UNNAMED)


async def _embed_unnamed(server: Server) -> None:
    (await server.ask("POST", "/api/embed", {"input": "hi"})).error(404, UNNAMED)


async def _show_unnamed(server: Server) -> None:
    for path in ("/api/show", "/api/push"):
        (await server.ask("POST", path, {})).error(400, REQUIRED)


async def _nope(server: Server) -> None:
    text = f"model '{NOPE}' not found"
    (await server.post("/api/chat", model=NOPE, messages=user("hi"))).error(404, text)
    (await server.post("/api/generate", model=NOPE, prompt="hi")).error(404, text)


async def _show_nope(server: Server) -> None:
    (await server.post("/api/show", model=NOPE)).error(404, f"model '{NOPE}' not found")


async def _delete_nope(server: Server) -> None:
    for key in ("model", "name"):
        answer = await server.ask("DELETE", "/api/delete", {key: NOPE})
        answer.error(404, f"model '{NOPE}' not found")


async def _embed_nope(server: Server) -> None:
    text = f'model "{NOPE}" not found, try pulling it first'
    (await server.post("/api/embed", model=NOPE, input="hi")).error(404, text)
    (await server.post("/api/embeddings", model=NOPE, prompt="hi")).error(404, text)


async def _copy_nope(server: Server) -> None:
    body = {"source": NOPE, "destination": f"{NOPE}-2"}
    (await server.ask("POST", "/api/copy", body)).error(404, f'model "{NOPE}" not found')


async def _invalid(server: Server) -> None:
    extra: dict[str, dict[str, object]] = {
        "chat": {"messages": user("hi")},
        "generate": {"prompt": "hi"},
        "embed": {"input": "a"},
    }
    for name in ("chat", "generate", "embed", "show", "pull"):
        answer = await server.post(f"/api/{name}", model=INVALID, **extra.get(name, {}))
        answer.error(400, "invalid model name")
    answer = await server.ask("DELETE", "/api/delete", {"model": INVALID})
    answer.error(400, f'name "{INVALID}" is invalid')
    answer = await server.ask("POST", "/api/copy", {"source": INVALID, "destination": NOPE})
    answer.error(400, f'source "{INVALID}" is invalid')


async def _embed_input(server: Server) -> None:
    model = server.profile.embedding_model or server.model
    for bad in (5, {"a": 1}, ["a", 1]):
        answer = await server.post("/api/embed", model=model, input=bad)
        answer.error(400, "invalid input type")
    came = (await server.post("/api/embed", model=model, input=[])).ok().json(Embed)
    same([], came.embeddings)


async def _logprobs(server: Server) -> None:
    text = "top_logprobs must be between 0 and 20"
    for count in (21, -1):
        asked = {"logprobs": True, "top_logprobs": count}
        (await server.post("/api/generate", prompt="hi", **asked)).error(400, text)
        (await server.post("/api/chat", messages=user("hi"), **asked)).error(400, text)


async def _full(server: Server) -> None:
    many = server.profile.busy
    if not many:
        raise Skipped("a profile must say how many requests fill the queue: key `busy`")
    asked = [asyncio.create_task(_refused(server)) for _ in range(many)]
    try:
        await _any_refused(asked)
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    await _room(server)


async def _refused(server: Server) -> bool:
    """Whether a slow turn was refused, in the right words; it lasts until it is cancelled."""
    async with server.open("/api/chat", messages=user(server.profile.slow)) as came:
        if came.status_code == 200:
            await came.aread()
            return False
        body = await came.aread()
        Answer(came.status_code, dict(came.headers.items()), body).error(503, FULL)
        return True


async def _any_refused(asked: list[asyncio.Task[bool]]) -> None:
    for first in asyncio.as_completed(asked):
        if await first:
            return
    expect(False, "a request that is refused", f"all {len(asked)} were answered")


async def _room(server: Server) -> None:
    """Wait for the places of those that left, for the sake of the next row."""
    body = {"messages": user(server.profile.hello), "stream": False}
    while True:
        if (await server.post("/api/chat", **body)).status != 503:
            return
        await asyncio.sleep(0.05)


ROWS = (
    Row("D1", "empty body on every route", "400 `missing request body`", _empty),
    Row("D2", "bad JSON", "400, `error` is a text", _bad_json),
    Row("D3", "wrong type", "400, `error` is a text", _wrong_type),
    Row("D4", "chat, embeddings without model", "400 `model is required`", _chat_unnamed),
    Row("D5", "generate without model", "404 `model '' not found`", _generate_unnamed),
    Row("D6", "embed without model", "404 `model '' not found`", _embed_unnamed),
    Row("D7", "show, push without model", "400 `model is required`", _show_unnamed),
    Row("D8", "chat, generate of no model", "404 `model 'nope' not found`", _nope),
    Row("D9", "show of no model", "404 `model 'nope' not found`", _show_nope),
    Row("D10", "delete of no model", "404 `model 'nope' not found`", _delete_nope),
    Row("D11", "embed, embeddings of no model", "404 `..., try pulling it first`", _embed_nope),
    Row("D12", "copy of no model", '404 `model "nope" not found`', _copy_nope),
    Row("D13", "invalid name", "400 `invalid model name` and its kind", _invalid),
    Row("D14", "embed input", "400 `invalid input type`; [] for none", _embed_input),
    Row("D15", "top_logprobs 21", "400 `top_logprobs must be between 0 and 20`", _logprobs),
    Row("D16", "queue full", "503 `server busy, ...`", _full),
)
