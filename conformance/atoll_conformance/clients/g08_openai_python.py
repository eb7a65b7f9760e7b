"""G8: the `openai` package."""

import openai
from common import PERSON, UNKNOWN, WEATHER, Case, case, is_person, raised, same


def main(it: Case) -> None:
    client = openai.OpenAI(base_url=f"{it.url}/v1", api_key="ollama")
    assert any(same(model.id, it.model) for model in client.models.list())
    assert same(client.models.retrieve(it.model).id, it.model)
    chats(client, it)
    if it.tool:
        calls_a_tool(client, it, it.tool)
    if it.embeds:
        made = client.embeddings.create(model=it.model, input=["a", "b"])
        assert len(made.data) == 2, made
        assert isinstance(made.data[0].embedding[0], float), made
    said = client.responses.create(model=it.model, input=it.plain)
    assert said.output_text, said
    events = list(client.responses.create(model=it.model, input=it.plain, stream=True))
    assert events[-1].type == "response.completed", events[-1]
    assert client.completions.create(model=it.model, prompt=it.plain).choices[0].text
    create = client.chat.completions.create
    asked = messages(it.plain)
    error = raised(openai.NotFoundError, lambda: create(model=UNKNOWN, messages=asked))
    assert UNKNOWN in error.message, error


def messages(text: str) -> list:
    return [{"role": "user", "content": text}]


def chats(client: openai.OpenAI, it: Case) -> None:
    said = client.chat.completions.create(model=it.model, messages=messages(it.plain))
    assert said.choices[0].message.content, said
    assert said.usage, said
    options = {"include_usage": True}
    parts = list(
        client.chat.completions.create(
            model=it.model, messages=messages(it.plain), stream=True, stream_options=options
        )
    )
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert parts[-1].usage, parts[-1]
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    person = client.chat.completions.create(
        model=it.model, messages=messages(it.schema), response_format=form
    )
    assert is_person(person.choices[0].message.content or ""), person


def calls_a_tool(client: openai.OpenAI, it: Case, asked: str) -> None:
    called = client.chat.completions.create(
        model=it.model, messages=messages(asked), tools=[WEATHER]
    )
    choice = called.choices[0]
    assert choice.finish_reason == "tool_calls", called
    assert choice.message.tool_calls, called
    assert choice.message.tool_calls[0].function.name == "get_weather", called
    assert isinstance(choice.message.tool_calls[0].function.arguments, str), called


main(case())
