"""A server made with the official SDK, of both eras: `python mcp_sdk.py stdio|http`.

Over HTTP it prints its URL, with a port that is free.
"""

import socket
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("sdk")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def refuse() -> str:
    """Always fail."""
    raise ValueError("no")


def main() -> None:
    if sys.argv[1] == "stdio":
        server.run("stdio")
        return
    sock = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{sock.getsockname()[1]}/mcp", flush=True)
    config = uvicorn.Config(server.streamable_http_app(), log_level="critical")
    uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main()
