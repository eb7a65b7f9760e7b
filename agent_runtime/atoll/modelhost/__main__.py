"""The door of `python -m atoll.modelhost`."""

import os

from atoll.modelhost.command import main

if __name__ == "__main__":
    # The engine's own end waits for running answers, which nobody reads any more.
    os._exit(main())
