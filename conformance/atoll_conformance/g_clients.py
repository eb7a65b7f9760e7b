"""Group G: unmodified clients. Their programs are not part of this release: the rows say so."""

from functools import partial

from msgspec import Struct

from atoll_conformance.rows import Row
from atoll_conformance.server import Server
from atoll_conformance.verdict import Skipped


class Client(Struct, frozen=True):
    """A client library, and what has to work with it."""

    title: str
    install: str
    expected: str


CLIENTS = (
    Client("ollama-python", "pip install ollama", "sync and async: everything, and errors"),
    Client("ollama-js", "npm install ollama", "the same set; delete and pull by name"),
    Client("langchain-ollama", "pip install langchain-ollama", "invoke, tools, embeddings"),
    Client("@langchain/ollama", "npm install @langchain/ollama", "checkOrPullModel, invoke"),
    Client("llama-index", "pip install llama-index-llms-ollama", "metadata, chat, complete"),
    Client("litellm ollama_chat/", "pip install litellm", "completion, stream, tools"),
    Client("litellm ollama/", "pip install litellm", "completion, stream, tools in the prompt"),
    Client("openai-python", "pip install openai", "chat, tools, embeddings, responses"),
    Client("pydantic-ai", "pip install pydantic-ai-slim[openai]", "plain, structured output"),
    Client("llm and llm-ollama", "pip install llm llm-ollama", "list, prompt, tools, schema"),
    Client("ollama-ai-provider-v2", "npm install ollama-ai-provider-v2 ai", "think:false"),
    Client("anthropic-python", "pip install anthropic", "messages, stream, error"),
)


async def _later(client: Client, _: Server) -> None:
    raise Skipped(f"run the client itself: {client.install}")


ROWS = tuple(
    Row(f"G{number}", client.title, client.expected, partial(_later, client))
    for number, client in enumerate(CLIENTS, 1)
)
