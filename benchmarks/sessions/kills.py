"""kill -9 of an agent at random points while people talk to it.

A fleet of one agent, eight clients that watch their answers by `/stream`, hang up and come
back with Last-Event-ID. The agent is killed at random moments. Afterwards: every message
whose end was told is in its session, once and in order; none is there twice; no
event was told twice. The sessions are long enough to be compacted meanwhile.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from benchmarks.sessions.talker import Sent, Talker
from benchmarks.supervision import client, units
from benchmarks.supervision.client import HOST, LIMIT, Exchange
from benchmarks.supervision.contenders.atoll import Atoll
from benchmarks.supervision.processes import identity, kill

MANIFEST = """
[agent]
name = "Talks"

[llm]
provider = "scripted"
script = "script.toml"

[server]
on_disconnect = 5

[deployment]
port = {port}
restart = "always"
"""
SCRIPT = """
context_length = 300

[[turn]]
system = "You keep the memory"
text = "They counted messages."
delay = 0.002

[[turn]]
chunks = ["One ", "two ", "three ", "four."]
delay = 0.004
"""
TALKERS = 8
LONGEST = 0.15
"""Seconds between the moment an agent answers and its end."""
SHOWN = 5


class Exported(msgspec.Struct, frozen=True):
    """What is needed of `GET /sessions/{id}/export`."""

    class Message(msgspec.Struct, frozen=True):
        """One of them."""

        role: str
        content: str

    messages: list[Message]
    summarised_messages: int


async def survived(folder: Path, kills: int, seed: int) -> list[str]:
    """Kill so often, then look; what did not hold."""
    chance = random.Random(seed)
    fleet = made(folder)
    try:
        await fleet.start()
        if not await client.until_all_healthy([unit.port for unit in fleet.units]):
            return ["the agent did not come up"]
        return await _talked(fleet, kills, chance)
    finally:
        await asyncio.shield(fleet.shut_down())


def made(folder: Path) -> Atoll:
    """One agent that speaks slowly enough to be killed in the middle of a word."""
    ports = units.ports()
    unit = units.make(folder / "f" / "agents", "talks", next(ports))
    (unit.folder / "script.toml").write_text(SCRIPT)
    (unit.folder / "agent.toml").write_text(MANIFEST.format(port=unit.port))
    return Atoll(folder / "f", [unit], next(ports), next(ports))


async def _talked(fleet: Atoll, kills: int, chance: random.Random) -> list[str]:
    port = fleet.units[0].port
    talkers = [
        Talker(port, f"talker-{number}", random.Random(chance.random()))
        for number in range(TALKERS)
    ]
    talking = [asyncio.create_task(talker.run()) for talker in talkers]
    began = time.monotonic()
    for number in range(1, kills + 1):
        await asyncio.sleep(chance.uniform(0, LONGEST))
        await _killed(fleet, port)
        if number % 100 == 0 or number == kills:
            print(f"{number} kills in {time.monotonic() - began:.0f} s: {_counted(talkers)}",
                  flush=True)  # fmt: skip
    for talker in talkers:
        talker.stop()
    await asyncio.gather(*talking)
    return [*(one for talker in talkers for one in talker.wrong), *await _judged(port, talkers)]


async def _killed(fleet: Atoll, port: int) -> None:
    """kill -9, and no back-off before the next process."""
    pid = (await client.get(port)).pid
    who = identity(pid)
    if who is None or not kill(who):
        return
    token = (fleet.place / "state" / "token").read_text().strip()
    request = (
        f"POST /api/v1/agents/talks/restart HTTP/1.1\r\nHost: {HOST}:{fleet.api_port}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    )
    _, exchange = await asyncio.get_running_loop().create_connection(Exchange, HOST, fleet.api_port)
    try:
        async with asyncio.timeout(LIMIT):
            await exchange.ask(request.encode())
    finally:
        exchange.close()
    await client.until_healthy(port, not_pid=pid)


async def _judged(port: int, talkers: Sequence[Talker]) -> list[str]:
    """What the sessions hold against what was told of them."""
    wrong: list[str] = []
    compacted = sessions = 0
    for talker in talkers:
        for session, sent in by_session(talker.sent).items():
            answer = await client.get(port, f"/sessions/{session}/export")
            if answer.status == 404:
                held = Exported([], 0)
            else:
                held = msgspec.json.decode(answer.body, type=Exported)
            wrong += faults(session, sent, held)
            compacted += held.summarised_messages > 0
            sessions += 1
    print(f"{sessions} sessions, {compacted} of them compacted; {len(wrong)} contradictions")
    return wrong


def by_session(sent: Sequence[Sent]) -> Mapping[str, list[Sent]]:
    """What was sent to each session, in its order."""
    found: dict[str, list[Sent]] = {}
    for one in sent:
        found.setdefault(one.session, []).append(one)
    return found


def faults(session: str, sent: Sequence[Sent], held: Exported) -> list[str]:
    """What a session has lost, has twice, or has in another order than it was sent."""
    asked = [message.content for message in held.messages if message.role == "user"]
    roles = [message.role for message in held.messages]
    acknowledged = [one.text for one in sent if one.is_acknowledged]
    lost = sorted(set(acknowledged) - set(asked))
    wrong = [f"{session}: {text} was acknowledged and is lost" for text in lost[:SHOWN]]
    if len(set(asked)) != len(asked):
        wrong.append(f"{session}: holds a message twice")
    if asked != [one.text for one in sent if one.text in set(asked)]:
        wrong.append(f"{session}: holds messages in another order, or such as nobody sent")
    if roles != ["user", "assistant"] * (len(roles) // 2):
        wrong.append(f"{session}: holds a message without an answer")
    if held.summarised_messages > len(held.messages):
        wrong.append(f"{session}: its summary is of more than there is")
    return wrong


def _counted(talkers: Sequence[Talker]) -> str:
    sent = [one for talker in talkers for one in talker.sent]
    done = sum(one.is_acknowledged for one in sent)
    rejoined = sum(talker.rejoined for talker in talkers)
    return f"{done} messages acknowledged, {len(sent) - done} not, {rejoined} answers rejoined"
