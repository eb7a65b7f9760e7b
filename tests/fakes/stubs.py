"""Agents that misbehave: real agents whose `tools.py` does it, on a sign or from their start."""

from textwrap import dedent

from tests.fakes.daemon import Daemon, add_agent, eventually

TOOLS = '''
import os as _os, signal as _signal, subprocess as _subprocess, sys as _sys
import threading as _threading, time as _time
from pathlib import Path as _Path

_SIGNS = _Path({signs!r})


def _first():
    """Whether this is the first process of the agent."""
    try:
        (_SIGNS / "first").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _note(name, text):
    """Leave a text where the test finds it, whole or not at all."""
    fresh = _SIGNS / (name + ".tmp")
    fresh.write_text(str(text))
    fresh.rename(_SIGNS / name)


def _when(sign, act):
    """Do it in a thread of its own, once for each time the test gives the sign."""

    def run():
        while True:
            while not (_SIGNS / sign).exists():
                _time.sleep(0.02)
            (_SIGNS / sign).unlink(missing_ok=True)
            act()

    _threading.Thread(target=run, daemon=True).start()


def _python(program, **kwargs):
    """Another interpreter, below this process."""
    return _subprocess.Popen([_sys.executable, "-S", "-c", program], **kwargs)


'''


class Stub:
    """One such agent, seen from the test; `signs` is a folder that no daemon watches."""

    def __init__(self, daemon: Daemon, name: str, body: str, more: str = "") -> None:
        self.slug = name.lower()
        self.signs = daemon.agents.parent / f"{self.slug}.signs"
        self.signs.mkdir()
        manifest = add_agent(daemon.agents, name, f'[tools]\npython = "tools.py"\n{more}')
        text = TOOLS.replace("{signs!r}", repr(str(self.signs))) + dedent(body)
        (manifest.parent / "tools.py").write_text(text)

    def give(self, sign: str) -> None:
        """Let it act."""
        (self.signs / sign).touch()

    def told(self, name: str) -> str:
        """What it has noted by this name."""
        eventually((self.signs / name).exists, why=f"{self.slug} never noted {name}")
        return (self.signs / name).read_text()

    def pids(self, name: str) -> list[int]:
        """The process numbers that it has noted."""
        return [int(word) for word in self.told(name).split()]
