"""Group A: the routes that clients look for before they ask anything."""

import re
from datetime import datetime

from atoll_conformance.answer import Answer, decoded
from atoll_conformance.bare import bare_head
from atoll_conformance.native import loaded
from atoll_conformance.rows import Row
from atoll_conformance.server import NOPE, Server
from atoll_conformance.shapes import Progress, Ps, Show, Status, Tags, Version
from atoll_conformance.verdict import Skipped, Wrong, expect, same

COPY = "atoll-conformance-copy"
"""What the suite copies the model to, and deletes again: never the model itself."""


async def _root(server: Server) -> None:
    (await server.get("/")).plain(200, "Ollama is running")


async def _head_root(server: Server) -> None:
    (await bare_head(server, "/")).empty(200)


async def _version(server: Server) -> None:
    version = (await server.get("/api/version")).ok().json(Version).version
    parts = tuple(map(int, version.split(".")))
    expect(parts >= (0, 6, 4), "0.6.4 or newer", version)


async def _head_version(server: Server) -> None:
    (await bare_head(server, "/api/version")).empty(200)


async def _tags(server: Server) -> None:
    models = (await server.get("/api/tags")).ok().json(Tags).models
    names = [model.name for model in models]
    same(names, [model.model for model in models])
    untagged = [name for name in names if ":" not in name]
    expect(not untagged, "every name with its tag", untagged)
    expect(server.full.lower() in [name.lower() for name in names], server.full, names)


async def _head_tags(server: Server) -> None:
    (await bare_head(server, "/api/tags")).empty(200)


async def _ps(server: Server) -> None:
    loaded(await server.post("/api/generate"), "load")
    answer = (await server.get("/api/ps")).ok()
    models = answer.json(Ps).models
    expect(bool(models), "the model that was just loaded", answer.text)
    ends = [model.expires_at for model in models]
    expect(ends == sorted(ends, reverse=True), "longest remaining first", ends)
    for text in re.findall(r'"expires_at":\s*"([^"]*)"', answer.text):
        expect(_python_reads(text), "a time that python's fromisoformat reads", text)


def _python_reads(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


async def _show(server: Server) -> None:
    show = (await server.post("/api/show")).ok().json(Show)
    architecture = show.model_info.get("general.architecture")
    if architecture is None:
        raise Wrong("general.architecture in model_info", list(show.model_info))
    length = f"{decoded(bytes(architecture), str)}.context_length"
    expect(length in show.model_info, f"{length} in model_info", list(show.model_info))
    for line in filter(None, show.parameters.splitlines()):
        expect(len(line.split(None, 1)) == 2, "`key value` in each line of parameters", line)


async def _show_by_name(server: Server) -> None:
    by_model = (await server.post("/api/show")).ok().json(Show)
    by_name = (await server.ask("POST", "/api/show", {"name": server.model})).ok().json(Show)
    same(by_model, by_name)


async def _copy(server: Server) -> None:
    done = await _copied(server)
    if done.status == 200:
        done.empty(200)
        await server.ask("DELETE", "/api/delete", {"model": COPY})
    else:
        done.honest_error()


async def _copied(server: Server) -> Answer:
    return await server.ask("POST", "/api/copy", {"source": server.model, "destination": COPY})


async def _delete_by_model(server: Server) -> None:
    await _delete(server, "model")


async def _delete_by_name(server: Server) -> None:
    await _delete(server, "name")


async def _delete(server: Server, key: str) -> None:
    """Only a copy of the suite's own is ever deleted; without one, its absence must be told."""
    copied = (await _copied(server)).status == 200
    answer = await server.ask("DELETE", "/api/delete", {key: COPY})
    if copied:
        answer.empty(200)
    elif COPY not in (error := answer.honest_error()) and answer.status == 404:
        raise Wrong(f"an error that names {COPY}: the body is read", error)


async def _pull(server: Server) -> None:
    for key in ("model", "name"):
        lines = (await server.ask("POST", "/api/pull", {key: server.model})).lines(Progress)
        same("success", lines[-1].status if lines else "no line")
        whole = await server.ask("POST", "/api/pull", {key: server.model, "stream": False})
        same("success", whole.ok().json(Progress).status)


async def _pull_nope(server: Server) -> None:
    _refused(await server.post("/api/pull", model=NOPE))


async def _push(server: Server) -> None:
    await _never_done(server, "/api/push", model=NOPE)


async def _create(server: Server) -> None:
    await _never_done(server, "/api/create", model=COPY, **{"from": NOPE})
    names = [model.name for model in (await server.get("/api/tags")).ok().json(Tags).models]
    expect(not any(name.startswith(COPY) for name in names), f"no {COPY} in /api/tags", names)


async def _never_done(server: Server, path: str, **fields: object) -> None:
    """Raise Wrong unless it is refused as a stream and in one piece, where 200 would be a lie."""
    _refused(await server.post(path, **fields))
    (await server.post(path, **fields, stream=False)).honest_error()


def _refused(answer: Answer) -> None:
    """Raise Wrong unless it is an error: at once, or as the end of a stream without success."""
    if answer.status != 200:
        answer.honest_error()
        return
    lines = answer.lines(Progress)
    expect(bool(lines and lines[-1].error), "a last line with `error`", answer.text)
    expect(all(line.status != "success" for line in lines), "no success", answer.text)


async def _blob(server: Server) -> None:
    (await bare_head(server, f"/api/blobs/sha256:{'0' * 64}")).empty(404)


async def _status(server: Server) -> None:
    cloud = (await server.get("/api/status")).ok().json(Status).cloud
    expect(bool(cloud.source), "a source: who decided", cloud)
    if not cloud.disabled:
        raise Skipped("this server says that it uses a cloud")


async def _no_path(server: Server) -> None:
    (await server.get("/no/such/path")).plain(404, "404 page not found")


async def _wrong_method(server: Server) -> None:
    (await server.get("/api/chat")).plain(405, "405 method not allowed")


ROWS = (
    Row("A1", "GET /", "200, text/plain, exactly `Ollama is running`", _root),
    Row("A2", "HEAD /", "200, empty body", _head_root),
    Row("A3", "GET /api/version", "three integers, 0.6.4 or newer", _version),
    Row("A4", "HEAD /api/version", "200, empty body", _head_version),
    Row("A5", "GET /api/tags", "every field; name = model = x:latest; 64-hex digest", _tags),
    Row("A6", "HEAD /api/tags", "200, empty body", _head_tags),
    Row("A7", "GET /api/ps", "every field; expires_at with offset; longest first", _ps),
    Row("A8", "POST /api/show by model", "details, model_info, capabilities, modified_at", _show),
    Row("A9", "POST /api/show by name", "the same as A8", _show_by_name),
    Row("A10", "POST /api/copy", "200 with an empty body, or an honest error", _copy),
    Row("A11", "DELETE /api/delete by model", "its body is read; 200 or error", _delete_by_model),
    Row("A12", "DELETE /api/delete by name", "the same as A11", _delete_by_name),
    Row("A13", "POST /api/pull of x", "NDJSON that ends in success; one object whole", _pull),
    Row("A14", "POST /api/pull of no model", "an error and no success", _pull_nope),
    Row("A15", "POST /api/push of no model", "a JSON error that is a text, no success", _push),
    Row("A16", "POST /api/create from no model", "the same; /api/tags lists nothing new", _create),
    Row("A17", "HEAD /api/blobs of none", "404, empty body", _blob),
    Row("A18", "GET /api/status", "cloud with disabled:true and source", _status),
    Row("A19", "an unknown path", "404 text/plain `404 page not found`", _no_path),
    Row("A20", "a wrong method", "405 text/plain `405 method not allowed`", _wrong_method),
)
