"""Output as lines: where they end, how long they may be, how many may come. Pure."""

MAX_LINE = 65_536
CUT = b" [atoll] cut: the line is longer than 64 KiB"


class LineCutter:
    """Bytes in, whole lines out; holds at most one line of at most 64 KiB."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes or makes too long."""
        if self._skipping:
            _, found, data = data.partition(b"\n")
            self._skipping = not found
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines.append(self._rest)
            self.skip()
        return [line if len(line) <= MAX_LINE else _cut(line) for line in lines]

    def skip(self, data: bytes = b"") -> None:
        """Lose `data` and the unfinished lines before and after it."""
        self._rest = b""
        self._skipping = not data.endswith(b"\n")

    def finish(self) -> list[bytes]:
        """What is left when no more comes."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class Valve:
    """A token bucket: how much output a unit may have kept."""

    def __init__(self, rate: int, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._level = float(burst)
        self._at = 0.0

    def admits(self, size: int, now: float) -> bool:
        """Whether `size` bytes fit at the time `now` in seconds; if so they are counted."""
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if size > self._level:
            return False
        self._level -= size
        return True


def readable(line: bytes) -> bytes:
    """The line as valid UTF-8; bytes that are not are shown as `\\xff`."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return line.decode(errors="backslashreplace").encode()
    return line


def _cut(line: bytes) -> bytes:
    """The first 64 KiB, ending with a whole character."""
    end = MAX_LINE
    while end > MAX_LINE - 4 and line[end] & 0xC0 == 0x80:
        end -= 1
    return line[:end] + CUT
