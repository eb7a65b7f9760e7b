"""The command line of a keeper, for whoever starts one."""

import sys
from pathlib import Path


def keeper_command(socket: Path, log: Path) -> list[str]:
    """What starts a keeper that listens on `socket` and writes down its own doings in `log`.

    It goes to the background by nothing but a session of its own, and holds no
    descriptor but those it opens itself. -I and -S: neither the environment nor
    site-packages decide what it imports; the package is found by its path.
    """
    program = Path(__file__).with_name("__main__.py")
    return [sys.executable, "-I", "-S", "-X", "utf8", str(program), str(socket), str(log)]
