"""The commands of `WS /ws/chat`: what fleet-rlm's were, and what of them an agent does."""

from atoll.errors import ClientError
from atoll.loop.agent import Agent
from atoll.loop.conversations import checked
from atoll.wire.json import JsonObject

OFFERED = ("reset", "resume")
_OF_DOCUMENTS = frozenset(
    (
        *("load_document", "set_active_document", "list_documents", "analyze_document"),
        *("summarize_document", "list_files", "find_files", "read_file_slice", "extract_logs"),
        *("chunk_host", "chunk_sandbox", "parallel_semantic_map", "load_volume"),
        *("read_buffer", "clear_buffer", "save_buffer"),
    )
)


async def reset(agent: Agent, session_id: str) -> JsonObject:
    """Forget the session and end its turns; it may be used again, empty."""
    if session_id:
        await agent.conversations.end(checked(session_id))
        await agent.sessions.delete(session_id)
    return {"status": "ok", "session_id": session_id, "history_turns": 0}


def refused(command: str) -> JsonObject:
    """Why a command is not done, as its result; raises ClientError for none at all."""
    if not command:
        raise ClientError(f"a command frame needs a `command`: {' or '.join(OFFERED)}")
    if command in _OF_DOCUMENTS:
        said = (
            f"{command} is not offered: an agent keeps no documents and reads no file of the server"
            " for a client; send the text in `content`"
        )
    else:
        said = f"there is no command {command[:80]!r}; there are {' and '.join(OFFERED)}"
    return {"status": "error", "error": said}
