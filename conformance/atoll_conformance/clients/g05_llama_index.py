"""G5: the `llama-index-llms-ollama` package."""

from common import Case, case
from llama_index.core.llms import ChatMessage
from llama_index.llms.ollama import Ollama


def main(it: Case) -> None:
    llm = Ollama(model=it.model, base_url=it.url, request_timeout=60.0)
    assert llm.metadata.context_window > 0, llm.metadata
    said = llm.chat([ChatMessage(role="user", content=it.plain)])
    assert said.message.content, said
    assert llm.complete(it.plain).text
    assert "".join(part.delta or "" for part in llm.stream_complete(it.plain))


main(case())
