"""Asks an agent over its own port, as any client would, and makes an event of what comes.

Through the gateway's carrier: one that sleeps is woken, one that starts or
comes back after a crash is waited for. A question that may have reached its
agent is not sent again here: whether it may be asked twice is for the run to say.
"""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Struct

from atoll.adapters.http1 import Answer
from atoll.adapters.http1_connection import Broken, Lost, Silent
from atoll.errors import AtollError, NotFound
from atoll_supervisor.core.runs.events import Answered, Ask, AskFailed, Interrupted
from atoll_supervisor.core.runs.handoff import unknown
from atoll_supervisor.gateway.carrier import PATIENCE, Carrier, Question
from atoll_supervisor.gateway.states import WentAway
from atoll_supervisor.ports import Fleet

MOST_ANSWER = 16 * 1024 * 1024
"""Bytes of an agent's answer."""
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0
"""Seconds before an agent that had no room is asked again."""
_REASONS = {422: "budget_spent", 502: "upstream_failed", 503: "busy", 504: "upstream_timeout"}

Heard = Answered | AskFailed | Interrupted


class _Message(Struct):
    content: str = ""


class _Chat(Struct):
    message: _Message


class _Error(Struct):
    error: str


_encode = msgspec.json.Encoder().encode
_chats = msgspec.json.Decoder(_Chat)
_errors = msgspec.json.Decoder(_Error)


class Asker:
    """`token` is the one that the agents ask for, "" for none; `epoch` is wall-clock seconds."""

    def __init__(
        self, fleet: Fleet, token: str, epoch: Callable[[], float], patience: float = PATIENCE
    ) -> None:
        self._carrier = Carrier(fleet, patience, once=True)
        self._epoch = epoch
        self._patience = patience
        self._leaving = False
        own = ((b"authorization", b"Bearer " + token.encode()),) if token else ()
        self._headers = ((b"content-type", b"application/json"), *own)

    async def ask(self, ask: Ask) -> Heard:
        """What came of the question; never raises.

        While the daemon leaves, agents that are stopped refuse: that is no fault of the
        run, whose question stays open for the next daemon.
        """
        heard = None if self._leaving else await self._heard(ask)
        if heard is None or (self._leaving and not isinstance(heard, Answered)):
            await asyncio.Event().wait()
        assert heard is not None
        return heard

    def close(self) -> None:
        """Let go of every connection."""
        self._carrier.forget_all_but(())

    def leave(self) -> None:
        """Begin nothing new: the daemon is about to stop its agents."""
        self._leaving = True

    async def _heard(self, ask: Ask) -> Heard:
        question = Question("POST", "/api/chat", self._headers, _body(ask))
        until = asyncio.get_running_loop().time() + self._patience
        wait = _FIRST_WAIT
        while True:
            heard = await self._once(ask, question)
            had_room = not (isinstance(heard, AskFailed) and heard.reason == "busy")
            if had_room or asyncio.get_running_loop().time() + wait > until:
                return heard
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _once(self, ask: Ask, question: Question) -> Heard:
        try:
            async with self._carrier.ask(ask.agent, question) as answer:
                return self._told(ask, answer, await answer.whole(MOST_ANSWER))
        except (WentAway, Lost) as error:
            return Interrupted(ask.key, str(error), self._epoch())
        except (Broken, Silent) as error:
            return self._failed(ask, f"agent '{ask.agent}': {error}", "agent_failed")
        except NotFound:
            wrong = unknown(ask.agent)
            return self._failed(ask, wrong.error, wrong.reason)
        except AtollError as error:
            return self._failed(ask, str(error), error.code)

    def _told(self, ask: Ask, answer: Answer, body: bytes) -> Heard:
        try:
            if answer.status == 200:
                return Answered(ask.key, _chats.decode(body).message.content, self._epoch())
            words = _errors.decode(body).error
        except msgspec.MsgspecError as error:
            words = f"it answered {answer.status} with what nobody can read: {error}"
        reason = _REASONS.get(answer.status, "agent_failed")
        return self._failed(ask, f"agent '{ask.agent}': {words}", reason)

    def _failed(self, ask: Ask, words: str, reason: str) -> AskFailed:
        return AskFailed(ask.key, words, reason, self._epoch())


def _body(ask: Ask) -> bytes:
    form = {"format": ask.schema} if ask.schema is not None else {}
    return _encode({"model": ask.agent, "messages": ask.messages, "stream": False, **form})
