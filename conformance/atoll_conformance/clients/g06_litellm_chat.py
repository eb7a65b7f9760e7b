"""G6: `litellm` over /api/chat (`ollama_chat/`)."""

import litellm
from common import WEATHER, Case, case


def main(it: Case) -> None:
    model = f"ollama_chat/{it.model}"
    said = litellm.completion(model, messages(it.plain), api_base=it.url)
    assert said.choices[0].message.content, said
    assert said.usage.completion_tokens > 0, said
    parts = litellm.completion(model, messages(it.plain), api_base=it.url, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts)
    if it.tool:
        called = litellm.completion(model, messages(it.tool), api_base=it.url, tools=[WEATHER])
        choice = called.choices[0]
        assert choice.message.tool_calls[0].function.name == "get_weather", called
        assert choice.finish_reason == "tool_calls", called


def messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


main(case())
