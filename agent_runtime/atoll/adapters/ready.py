"""How a supervised process says that it serves."""

import os
from collections.abc import Mapping

READY = b"READY=1\n"


def tell_ready(environ: Mapping[str, str]) -> None:
    """Write READY to the descriptor in ATOLL_READY_FD and close it; nothing without the variable.

    Raises BrokenPipeError when whoever started us is gone.
    """
    if given := environ.get("ATOLL_READY_FD"):
        fd = int(given)
        try:
            os.write(fd, READY)
        finally:
            os.close(fd)
