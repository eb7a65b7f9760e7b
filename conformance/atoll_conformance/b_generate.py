"""Group B: /api/generate."""

from datetime import UTC, datetime, timedelta

import msgspec

from atoll_conformance.answer import ErrorText, decoded
from atoll_conformance.native import (
    NULLS,
    PERSON,
    PIXEL,
    STEADY,
    generate,
    generate_whole,
    in_ps,
    loaded,
    metrics,
    obeyed,
    person,
    said,
    same_text,
    streamed,
    thinking_first,
    whole,
)
from atoll_conformance.rows import Row
from atoll_conformance.server import Server
from atoll_conformance.shapes import GenerateChunk, Logprob
from atoll_conformance.verdict import Skipped, expect

PATH = "/api/generate"
BAD_LEVEL = 'invalid think value: "bogus" (must be "high", "medium", "low", "max", true, or false)'


async def _streams(server: Server) -> None:
    lines = await generate(server, server.profile.hello)
    expect(len(lines) > 1, "several lines", len(lines))
    said(lines)


async def _whole(server: Server) -> None:
    asked = {"prompt": server.profile.hello, "options": STEADY}

    async def in_one() -> str:
        answer = await server.post(PATH, **asked, stream=False)
        return said([whole(answer.utf8(), GenerateChunk)])

    async def streaming() -> str:
        return said(streamed(await server.post(PATH, **asked), GenerateChunk))

    await same_text(streaming, in_one)


async def _metrics(server: Server) -> None:
    metrics((await generate(server, server.profile.hello))[-1])


async def _context(server: Server) -> None:
    *early, last = await generate(server, server.profile.hello)
    expect(bool(last.context), "context in the last line", last)
    expect(not any(line.context for line in early), "context in no other line", early)
    await generate(server, server.profile.hello, context=last.context)


async def _system(server: Server) -> None:
    """Twice as much is compared, not nothing: some templates have a system prompt of their own."""
    profile = server.profile
    once, twice = [
        await generate_whole(server, profile.hello, system=" ".join([profile.system] * times))
        for times in (1, 2)
    ]
    obeyed(profile, said([once]))
    read = (once.prompt_eval_count, twice.prompt_eval_count)
    expect(read[0] < read[1], "more tokens for a system prompt twice as long", read)


async def _raw(server: Server) -> None:
    last = (await generate(server, server.profile.hello, raw=True))[-1]
    expect(not last.context, "no context", last.context)


async def _raw_and_system(server: Server) -> None:
    answer = await server.post(PATH, prompt="hi", raw=True, system="Be brief.")
    answer.error(400, "raw mode does not support template, system, or context")


async def _suffix(server: Server) -> None:
    answer = await server.post(PATH, prompt="def f():", suffix="return 1", stream=False)
    if await server.able("insert"):
        answer.ok().json(GenerateChunk)
    else:
        answer.error(400, f"{server.full} does not support insert")


async def _images(server: Server) -> None:
    profile = server.profile
    answer = await server.post(PATH, prompt=profile.image, images=[PIXEL], stream=False)
    if not await server.able("vision"):
        answer.error(400)
        return
    came = answer.ok().json(GenerateChunk).response
    expect(profile.image_says in came, f"an answer with {profile.image_says!r}", came)


async def _json(server: Server) -> None:
    came = await generate_whole(server, server.profile.json, format="json")
    decoded(came.response.encode(), dict[str, msgspec.Raw])


async def _schema(server: Server) -> None:
    person((await generate_whole(server, server.profile.person, format=PERSON)).response)


async def _no_format(server: Server) -> None:
    for absent in ("", None):
        said(await generate(server, server.profile.hello, format=absent))


async def _no_options(server: Server) -> None:
    ways: tuple[object, ...] = (None, {}, NULLS)
    for absent in ways:
        said(await generate(server, server.profile.hello, options=absent))


async def _unknown_option(server: Server) -> None:
    said(await generate(server, server.profile.hello, options={"mirostat": 1, "tfs_z": 0.5}))


async def _load(server: Server) -> None:
    loaded(await server.post(PATH, prompt=""), "load")
    expect(await in_ps(server) is not None, f"{server.full} in /api/ps", "it is not there")


async def _unload(server: Server) -> None:
    loaded(await server.post(PATH), "load")
    loaded(await server.post(PATH, prompt="", keep_alive=0), "unload")
    expect(await in_ps(server) is None, f"{server.full} not in /api/ps", "it is there")


async def _keep_alive(server: Server) -> None:
    answer = await server.post(PATH, keep_alive="300")
    answer.error(400, 'time: missing unit in duration "300"')
    loaded(await server.post(PATH, keep_alive=0), "unload")
    await _kept(server, "5m", timedelta(minutes=4), timedelta(minutes=6))
    await _kept(server, -1, timedelta(days=30), timedelta.max)
    await _kept(server, 300, timedelta(minutes=4), timedelta(minutes=6))


async def _kept(server: Server, given: object, least: timedelta, most: timedelta) -> None:
    loaded(await server.post(PATH, keep_alive=given), "load")
    model = await in_ps(server)
    left = model.expires_at - datetime.now(UTC) if model else timedelta()
    expected = f"keep_alive {given!r} to show as {least} to {most} in expires_at"
    expect(least <= left <= most, expected, left if model else "not in /api/ps")


async def _think(server: Server) -> None:
    prompt = server.profile.think
    said(await generate(server, prompt, think=False))
    (await server.post(PATH, prompt=prompt, think="bogus")).error(400, BAD_LEVEL)
    if await server.able("thinking"):
        for level in (True, "low", "medium", "high", "max"):
            thinking_first(await generate(server, prompt, think=level))
    else:
        answer = await server.post(PATH, prompt=prompt, think=True)
        answer.error(400, f'"{server.model}" does not support thinking')


async def _logprobs(server: Server) -> None:
    lines = await generate(server, server.profile.hello, logprobs=True, top_logprobs=2)
    items = [item for line in lines for item in line.logprobs]
    if not items:
        raise Skipped("the back end gives no logprobs")
    check_logprobs(items)


def check_logprobs(items: list[Logprob]) -> None:
    """Raise Wrong unless every item has bytes, two alternatives and a probability up to 1."""
    for item in items:
        expect(bool(item.bytes), "the bytes of each token", item)
        expect(item.logprob <= 0, "a logprob of at most 0", item.logprob)
        expect(0 < len(item.top_logprobs) <= 2, "one or two top_logprobs", item.top_logprobs)


async def _fails_late(server: Server) -> None:
    prompt = server.cue("fail", server.profile.fail)
    answer = (await server.post(PATH, prompt=prompt)).ok()
    *good, last = answer.body.splitlines() or [b""]
    lines = [decoded(line, GenerateChunk) for line in good]
    expect(any(line.response for line in lines), "a token before the error", answer.text)
    expect(not any(line.done for line in lines), "no done:true", answer.text)
    decoded(last, ErrorText)


ROWS = (
    Row("B1", "stream absent", "application/x-ndjson, several lines, last done:true", _streams),
    Row("B2", "stream:false", "application/json in UTF-8, one object, the stream's text", _whole),
    Row("B3", "metrics of the last chunk", "six above 0, durations in ns", _metrics),
    Row("B4", "context", "in the last chunk only; taken when sent back", _context),
    Row("B5", "system", "reaches the model: more tokens, its effect", _system),
    Row("B6", "raw:true", "200, no context in the last chunk", _raw),
    Row("B7", "raw:true and system", "400 `raw mode does not support ...`", _raw_and_system),
    Row("B8", "suffix without `insert`", "400 `x does not support insert`", _suffix),
    Row("B9", "images", "reach a model with `vision`, else 400", _images),
    Row("B10", 'format "json"', "the answer parses as JSON", _json),
    Row("B11", "format = schema", "the answer validates against it", _schema),
    Row("B12", 'format "" and null', "as if absent", _no_format),
    Row("B13", "options null, {} and 13 nulls", "as if absent", _no_options),
    Row("B14", "unknown options", "ignored", _unknown_option),
    Row("B15", "empty prompt", "one object, done_reason load; ps lists x", _load),
    Row("B16", "empty prompt, keep_alive 0", "done_reason unload; ps lists it no more", _unload),
    Row("B17", "keep_alive in four forms, a bare text", "in expires_at; the last 400", _keep_alive),
    Row("B18", "think", "thinking before response, or 400; bogus 400", _think),
    Row("B19", "logprobs", "items {token, logprob, bytes, top_logprobs}", _logprobs),
    Row("B20", "model fails after a token", "200, a last line with `error`, no done", _fails_late),
)
