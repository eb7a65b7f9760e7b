"""The program inside the sandbox: one Python process whose namespace lasts for a session.

Run as `python -I -S worker.py MEMORY PROCESSES OUTPUT` (bytes, a count, bytes)
by the engine, which passes this file's text in; so it stands on the standard
library alone and imports nothing of ours. Descriptor 0 is a socket to the
agent. A frame is four bytes of length, big-endian, and that many bytes of
JSON; what the frames are is told in `frames.py`.

Nothing in here guards a secret: the code that is run may take this process
apart and say whatever it likes over the socket. The agent believes none of it.
"""

import ast
import contextlib
import io
import json
import linecache
import os
import resource
import select
import signal
import struct
import sys
import threading
import traceback
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import ReadableBuffer

    Frame = dict[str, str | int | list[str]]

CHANNEL, STDOUT, STDERR = 0, 1, 2
DESCRIPTORS = 128
_LOOK = 20
"""Milliseconds after which somebody who waits for an answer looks whether to stop."""


class Submitted(BaseException):
    """SUBMIT was called; no `except Exception` is in its way."""


class Channel:
    """Frames over a socket; a frame is read whole or stays in the buffer."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._readable = select.poll()
        self._readable.register(descriptor, select.POLLIN)

    def send(self, frame: "Mapping[str, object]") -> None:
        """Write a frame; it is all ASCII, whatever is in the texts."""
        body = json.dumps(frame).encode()
        rest = memoryview(struct.pack(">I", len(body)) + body)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def receive(self) -> "Frame":
        """The next frame; the process ends when the agent is gone."""
        while (frame := self._whole()) is None:
            self._fill()
        return frame

    def look(self, milliseconds: int) -> "Frame | None":
        """The next frame if it is there within the time."""
        if (frame := self._whole()) is None and self._readable.poll(milliseconds):
            self._fill()
            frame = self._whole()
        return frame

    def _fill(self) -> None:
        piece = os.read(self._descriptor, 1 << 16)
        if not piece:
            os._exit(0)
        self._buffer += piece

    def _whole(self) -> "Frame | None":
        if len(self._buffer) < 4:
            return None
        (length,) = struct.unpack_from(">I", self._buffer)
        if len(self._buffer) < 4 + length:
            return None
        body = bytes(self._buffer[4 : 4 + length])
        del self._buffer[: 4 + length]
        frame: Frame = json.loads(body)
        return frame


class Output(io.RawIOBase):
    """Descriptor 1 up to a limit of bytes, whoever writes to it; the rest is dropped, counted."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self.dropped = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Take everything, keep what there is room for."""
        piece = bytes(data)
        kept = piece[: max(0, self._limit - os.fstat(STDOUT).st_size)]
        self.dropped += len(piece) - len(kept)
        while kept:
            kept = kept[os.write(STDOUT, kept) :]
        return len(piece)


class Worker:
    """Runs one step after the other in one namespace."""

    def __init__(self, channel: Channel, limit: int) -> None:
        self._channel = channel
        self._output = Output(limit)
        self._limit = limit
        self._pid = os.getpid()
        self._one = threading.Lock()  # threads of the code may ask at once
        self._steps = 0
        self._asked = 0
        self._id = ""
        self._interruptible = False
        self._interrupted = False
        self._submitted: str | None = None
        self._main = types.ModuleType("__main__")
        self._own = sys.modules["__main__"]  # what these functions live in must not go
        sys.modules["__main__"] = self._main

    def serve(self) -> None:
        """Run what comes until the agent goes."""
        self._channel.send({"type": "hello"})
        while True:
            frame = self._channel.receive()
            if frame["type"] == "run":  # an answer that comes too late is for nobody
                self._step(str(frame["id"]), str(frame["code"]))

    def _step(self, identity: str, code: str) -> None:
        self._id, self._steps, self._submitted = identity, self._steps + 1, None
        self._interrupted = False
        self._prepare()
        value, error = self._outcome(code, f"<step {self._steps}>")
        if os.getpid() != self._pid:
            os._exit(0)  # a fork of the code that came to its end
        self._channel.send(
            {
                "type": "done",
                "id": identity,
                "output": self._collected(),
                "value": self._cut(value),
                "error": self._cut(error),
                "submitted": self._submitted,
            }
        )

    def _prepare(self) -> None:
        """Put back what the last step may have taken away."""
        signal.signal(signal.SIGINT, self._interrupt)
        self._output = Output(self._limit)  # the last one was closed with its wrapper
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(self._output), "utf-8", "replace", line_buffering=True
        )
        sys.stderr = sys.stdout
        names = {"SUBMIT": self.submit, "llm_query": self.ask, "llm_query_batched": self.ask_all}
        vars(self._main).update(names)

    def _outcome(self, code: str, name: str) -> tuple[str, str]:
        try:
            try:
                self._interruptible = True
                return self._run(code, name), ""
            finally:
                self._interruptible = False
        except Submitted:
            return "", ""
        except BaseException as error:  # noqa: BLE001  whatever it was, the session goes on
            self._interruptible = False
            return "", self._told(error)

    def _run(self, code: str, name: str) -> str:
        """Run the code; the repr of its last expression, as a prompt shows it."""
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        tree = ast.parse(code, name)
        space = vars(self._main)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), space)  # noqa: S102  what the cage is for
        if not isinstance(last, ast.Expr):
            return ""
        value: object = eval(compile(ast.Expression(last.value), name, "eval"), space)  # noqa: S307
        return "" if value is None else repr(value)

    def _told(self, error: BaseException) -> str:
        """The traceback of the code alone, without our own frames."""
        try:
            told = traceback.TracebackException.from_exception(error)
            frames = [frame for frame in told.stack if frame.filename != __file__]
            while frames and not frames[0].filename.startswith("<step "):
                del frames[0]
            told.stack = traceback.StackSummary.from_list(frames)
            return "".join(told.format()).rstrip()
        except BaseException:  # noqa: BLE001  an exception may break its own telling
            return type(error).__name__

    def _collected(self) -> str:
        """What was printed, in order, by whatever process; the file is empty afterwards."""
        with contextlib.suppress(Exception):  # the code closed or replaced it
            sys.stdout.flush()
        text = os.pread(STDOUT, self._limit, 0).decode(errors="replace")
        more = self._output.dropped + max(0, os.fstat(STDOUT).st_size - self._limit)
        os.ftruncate(STDOUT, 0)
        return f"{text}\n[cut: {more} bytes more]" if more else text

    def _cut(self, text: str) -> str:
        """The text within the limit, as something that UTF-8 has."""
        text = text.encode(errors="replace").decode()
        return text if len(text) <= self._limit else f"{text[: self._limit]}\n[cut]"

    def _interrupt(self, _number: int, _frame: types.FrameType | None) -> None:
        """SIGINT: stop the code, but never in the middle of a frame."""
        self._interrupted = True
        if self._interruptible:
            self._interruptible = False
            raise KeyboardInterrupt

    def submit(self, answer: object) -> None:
        """SUBMIT(answer): end the turn with this answer; text as it is, other things as JSON."""
        text = answer if isinstance(answer, str) else json.dumps(answer, default=repr)
        self._submitted = self._cut(text)
        raise Submitted

    def ask(self, prompt: str) -> str:
        """llm_query(prompt): the model's answer to this text alone."""
        return self.ask_all([prompt])[0]

    def ask_all(self, prompts: list[str]) -> list[str]:
        """llm_query_batched(prompts): the answers, in the order of the prompts, asked at once."""
        texts = [str(prompt).encode(errors="replace").decode() for prompt in prompts]
        if not texts:
            return []
        if sum(map(len, texts)) > self._limit:
            raise ValueError(f"the prompts are longer than {self._limit} characters together")
        with self._one:
            answer = self._answer(texts)
        if answer["error"]:
            raise RuntimeError(answer["error"])
        said = answer["texts"]
        return said if isinstance(said, list) else []

    def _answer(self, texts: list[str]) -> "Frame":
        """Ask and wait; an interrupt waits until no frame is half read."""
        main = threading.current_thread() is threading.main_thread()
        if main:
            self._interruptible = False
        self._asked += 1
        number = self._asked
        self._channel.send({"type": "ask", "id": self._id, "number": number, "prompts": texts})
        while not self._interrupted:
            frame = self._channel.look(_LOOK)
            if frame is not None and frame["type"] == "answer" and frame["number"] == number:
                self._interruptible = main or self._interruptible
                return frame
        raise KeyboardInterrupt


def confine(memory: int, processes: int) -> None:
    """Limits of this process and all that come from it; nobody in here can raise them again."""
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_NPROC: processes + 1,  # the sandbox's first process is counted too
        resource.RLIMIT_NOFILE: DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))


def main() -> None:
    """Take the channel away from descriptor 0, give the output a file, and serve."""
    memory, processes, output = (int(word) for word in sys.argv[1:4])
    channel = os.dup(CHANNEL)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, CHANNEL)
    kept = os.open("/output", os.O_TMPFILE | os.O_RDWR | os.O_APPEND)
    for target in (STDOUT, STDERR):
        os.dup2(kept, target)
    os.close(null)
    os.close(kept)
    confine(memory, processes)
    Worker(Channel(channel), output).serve()


if __name__ == "__main__":
    main()
