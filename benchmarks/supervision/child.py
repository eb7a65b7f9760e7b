"""The bare child of supervision.md 3.1: uvicorn and starlette with /health, nothing else.

Run by the scratch interpreter, which has both: `python child.py PORT`. With
LISTEN_FDS it serves descriptor 3 instead; with ATOLL_CHANNEL_FD it says there
when it serves.
"""

import os
import socket
import sys
from importlib import import_module

import uvicorn


class Server(uvicorn.Server):
    """Says when it serves."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if given := os.environ.get("ATOLL_CHANNEL_FD"):
            os.write(int(given), b"READY=1")


def main() -> None:
    """Serve until SIGTERM."""
    applications, responses = map(import_module, ("starlette.applications", "starlette.responses"))
    routing = import_module("starlette.routing")

    async def health(_: object) -> object:
        return responses.JSONResponse({"status": "healthy", "pid": os.getpid()})

    app = applications.Starlette(routes=[routing.Route("/health", health)])
    config = uvicorn.Config(app, log_level="warning", backlog=2048)
    Server(config).run(sockets=[listening()])


def listening() -> socket.socket:
    """The inherited socket, or one of our own."""
    if os.environ.get("LISTEN_FDS"):
        return socket.socket(fileno=3)
    return socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=2048)


if __name__ == "__main__":
    main()
