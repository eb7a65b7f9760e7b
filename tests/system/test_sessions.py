"""Sessions of a whole daemon: what was acknowledged is there, whoever is killed meanwhile."""

import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.fakes.daemon import Daemon, add_agent, running

LIMIT = 60
KILLS = 15


class Talker(threading.Thread):
    """Sends numbered messages to a session of its own, each once, until told to stop."""

    def __init__(self, url: str, session: str) -> None:
        super().__init__(daemon=True)
        self.session = session
        self.acknowledged: list[str] = []
        self.sent = 0
        self._url = url
        self._over = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=LIMIT) as http:
            while not self._over.is_set():
                self.sent += 1
                message = f"message {self.sent}"
                with suppress(httpx.HTTPError):  # its process was killed: nobody knows
                    http.post(
                        "/chat", json={"message": message, "session_id": self.session}
                    ).raise_for_status()
                    self.acknowledged.append(message)

    def stop(self) -> None:
        self._over.set()
        self.join(LIMIT)

    def remembered(self) -> list[str]:
        """The user's messages that the session has."""
        answer = httpx.get(f"{self._url}/sessions/{self.session}/export", timeout=LIMIT)
        told = answer.raise_for_status().json()["messages"]
        assert [one["role"] for one in told] == ["user", "assistant"] * (len(told) // 2)
        return [one["content"] for one in told if one["role"] == "user"]


@pytest.mark.timeout(240)
def test_no_acknowledged_message_is_lost_and_none_is_there_twice_through_kills(
    tmp_path: Path,
) -> None:
    seed = random.SystemRandom().randrange(10**9)
    chance = random.Random(seed)
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Talks")
    with running(daemon):
        url = str(daemon.row("talks")["url"])
        talkers = [Talker(url, f"session-{number}") for number in range(3)]
        for talker in talkers:
            talker.start()
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.01, 0.2))
            os.kill(daemon.units()["talks"], signal.SIGKILL)
            daemon.post("/api/v1/agents/talks/restart").raise_for_status()  # no back-off
        for talker in talkers:
            talker.stop()
        for talker in talkers:
            remembered = talker.remembered()
            assert len(set(remembered)) == len(remembered), f"seed {seed}: told twice"
            missing = set(talker.acknowledged) - set(remembered)
            assert not missing, f"seed {seed}: {missing} of {talker.sent} are lost"
            assert len(talker.acknowledged) > KILLS
