"""One turn of an agent, event by event, over its own `/api/v1/turns`."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import httpx
import msgspec

from atoll.wire.events import Event, Failure, RunEnd
from atoll_supervisor.cli.chat import Chunk, Sent, asking, reason
from atoll_supervisor.cli.codes import Failure as CommandFailure

_NOT_OFFERED = (404, 405)
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


@contextmanager
def turn(url: str, messages: Sequence[Sent]) -> Generator[Iterator[Event] | None]:
    """The events up to the RunEnd as they come; None from an agent that does not tell them.

    Raises the command's Failure. Leaving early hangs up, and that cancels the turn.
    """
    body = msgspec.json.encode({"messages": messages})
    with asking(url, "/api/v1/turns", body) as answer:
        if answer.status_code in _NOT_OFFERED:
            yield None
        elif answer.is_error:
            raise CommandFailure(reason(answer))
        else:
            yield _events(answer)


def timed(end: RunEnd) -> Chunk:
    """The figures of a turn as Ollama's last line has them."""
    used = end.usage
    return Chunk(
        done=True,
        total_duration=end.total_ns,
        load_duration=used.load_ns,
        prompt_eval_count=used.prompt_tokens,
        prompt_eval_duration=used.prompt_ns,
        eval_count=used.completion_tokens,
        eval_duration=used.completion_ns,
    )


def _events(answer: httpx.Response) -> Iterator[Event]:
    for line in answer.iter_lines():
        try:
            event = _decoder.decode(line)
        except msgspec.DecodeError:
            raise CommandFailure("what answers there is no agent of ATOLL") from None
        if isinstance(event, Failure):
            raise CommandFailure(event.message)
        yield event
        if isinstance(event, RunEnd):
            return
    raise CommandFailure("the answer broke off before its end")
