"""W3C Trace Context, level 1: the header `traceparent`. Pure."""

import re

from msgspec import Struct

_FIELDS = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace(Struct, frozen=True):
    """A trace, and the flags of whoever began it; all in lower-case hexadecimal."""

    id: str
    flags: str = "00"

    def parent(self, span: str) -> str:
        """The header of a call that is made in this trace; `span` is 16 digits."""
        return f"00-{self.id}-{span}-{self.flags}"


def read_trace(header: str) -> Trace | None:
    """The trace of a header, None for one that is none (section 3.2: begin a new one then).

    Of a version to come the fields that are known are read, as section 3.2.4 asks.
    """
    found = _FIELDS.fullmatch(header.strip())
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    if not int(found[2], 16) or not int(found[3], 16):
        return None
    return Trace(found[2], f"{int(found[4], 16) & 1:02x}")
