"""What a tool answered, as text that can be sent anywhere and is not too long."""


def sendable(text: str) -> str:
    """The text with "?" for lone surrogates, which no JSON over UTF-8 can carry."""
    return text.encode("utf-8", "replace").decode()


def cut(text: str, most: int) -> str:
    """At most `most` characters, with a marker that says how many are missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut: {len(text) - most} characters more]"
