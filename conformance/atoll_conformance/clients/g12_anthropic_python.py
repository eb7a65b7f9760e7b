"""G12: the `anthropic` package."""

import anthropic
from common import UNKNOWN, WEATHER, Case, case, raised


def main(it: Case) -> None:
    client = anthropic.Anthropic(base_url=it.url, api_key="ollama")
    said = client.messages.create(model=it.model, max_tokens=200, messages=messages(it.plain))
    assert said.content[0].text, said
    assert said.usage.output_tokens > 0, said
    with client.messages.stream(
        model=it.model, max_tokens=200, messages=messages(it.plain)
    ) as stream:
        assert "".join(stream.text_stream)
    if it.tool:
        function = WEATHER["function"]
        tool = {
            "name": function["name"],
            "description": function["description"],
            "input_schema": function["parameters"],
        }
        called = client.messages.create(
            model=it.model, max_tokens=200, messages=messages(it.tool), tools=[tool]
        )
        assert called.stop_reason == "tool_use", called
        assert called.content[-1].name == "get_weather", called
    create, asked = client.messages.create, messages(it.plain)
    error = raised(
        anthropic.NotFoundError, lambda: create(model=UNKNOWN, max_tokens=10, messages=asked)
    )
    assert UNKNOWN in error.message, error


def messages(text: str) -> list:
    return [{"role": "user", "content": text}]


main(case())
