"""G3: the `langchain-ollama` package."""

from common import PERSON, WEATHER, Case, case
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM


def main(it: Case) -> None:
    chat = ChatOllama(model=it.model, base_url=it.url, validate_model_on_init=True)
    said = chat.invoke(it.plain)
    assert said.text, said
    assert said.usage_metadata, said
    assert "".join(part.text for part in chat.stream(it.plain))
    person = chat.with_structured_output(PERSON, method="json_schema").invoke(it.schema)
    assert isinstance(person, dict), person
    assert {"name", "age"} <= person.keys(), person
    if it.tool:
        calls = chat.bind_tools([WEATHER]).invoke(it.tool).tool_calls
        assert calls[0]["name"] == "get_weather", calls
    assert OllamaLLM(model=it.model, base_url=it.url).invoke(it.plain)
    if it.embeds:
        vectors = OllamaEmbeddings(model=it.model, base_url=it.url).embed_documents(["a", "b"])
        assert len(vectors) == 2, vectors


main(case())
