"""G1: the `ollama` package, sync and async."""

import asyncio

import ollama
from common import PERSON, UNKNOWN, WEATHER, Case, case, is_person, raised, same


def main(it: Case) -> None:
    client = ollama.Client(host=it.url)
    listed = client.list().models
    assert any(same(model.model or "", it.model) for model in listed), listed
    shown = client.show(it.model)
    assert shown.capabilities, shown
    assert shown.modelinfo, shown
    said = client.chat(it.model, messages(it.plain))
    assert said.message.content, said
    assert (said.eval_count or 0) > 0, said
    parts = list(client.chat(it.model, messages(it.plain), stream=True))
    assert "".join(part.message.content or "" for part in parts), parts
    assert parts[-1].done, parts[-1]
    assert client.generate(it.model, it.plain).response
    assert any(same(model.model or "", it.model) for model in client.ps().models)
    answer = client.chat(it.model, messages(it.schema), format=PERSON)
    assert is_person(answer.message.content or ""), answer
    if it.tool:
        calls = client.chat(it.model, messages(it.tool), tools=[WEATHER]).message.tool_calls or []
        assert calls[0].function.name == "get_weather", calls
        assert isinstance(calls[0].function.arguments, dict), calls
    if it.embeds:
        assert len(client.embed(it.model, ["a", "b"]).embeddings) == 2
    assert client.pull(it.model).status == "success"
    fails(client, UNKNOWN, it.plain, 404)
    if "fails" in it.prompts:
        fails_in_the_middle(client, it)
    asyncio.run(asynchronous(it))


def messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def fails(client: ollama.Client, model: str, prompt: str, status: int) -> None:
    error = raised(ollama.ResponseError, lambda: client.chat(model, messages(prompt)))
    assert error.status_code == status, error
    assert model in error.error, error


def fails_in_the_middle(client: ollama.Client, it: Case) -> None:
    asked = messages(it.prompts["fails"])
    parts = client.chat(it.model, asked, stream=True)
    assert raised(ollama.ResponseError, lambda: list(parts)).error


async def asynchronous(it: Case) -> None:
    client = ollama.AsyncClient(host=it.url)
    assert (await client.list()).models
    assert (await client.chat(it.model, messages(it.plain))).message.content
    stream = await client.chat(it.model, messages(it.plain), stream=True)
    assert "".join([part.message.content or "" async for part in stream])


main(case())
