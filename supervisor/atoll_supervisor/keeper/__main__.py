"""The door of the keeper: finds its own package without site-packages (see `command`)."""

import sys
from pathlib import Path


def enter() -> int:
    """Import the rest and run it. The folder comes last, so that it can hide nothing."""
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from atoll_supervisor.keeper.main import main  # noqa: PLC0415  not found before

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(enter())
