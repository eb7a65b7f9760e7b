"""Roles of messages: clients send any word, a conversation has four (row C3)."""

from atoll.wire.messages import Role


def role_of(word: str | None) -> Role:
    """The role meant by `word`; whoever is not known is the user."""
    match (word or "").lower():
        case "system" | "developer":
            return "system"
        case "assistant":
            return "assistant"
        case "tool":
            return "tool"
        case _:
            return "user"
