"""A server of MCP's legacy era over streamable HTTP, of the standard library alone.

    python mcp_http.py MODE

Prints its URL. Its one tool is `echo`; MODE says what is wrong with a call of it, see `MODES`.
"""

import gzip
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import ClassVar

MODES = {
    "good": "nothing is",
    "forgets": "every second call finds its session forgotten, as after a restart",
    "big": "its body never ends",
    "packed": "its body is a gzip that grows a thousandfold",
    "events": "it sends events without end and no answer",
    "silent": "its answer never comes",
    "elsewhere": "it redirects to another origin",
    "html": "it answers a web page",
    "clings": "it does not answer when a session is ended",
    "breaks": "it breaks off in the middle of its answer",
}
JSON = "application/json"
TOOL = {"name": "echo", "description": "Echoes.", "inputSchema": {"type": "object"}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mode = ""
    calls = count(1)
    sessions = count(1)
    live: ClassVar[set[str]] = set()

    def log_message(self, *_: object) -> None:
        return None

    def do_GET(self) -> None:
        self.reply(405, b"")

    def do_DELETE(self) -> None:
        if self.mode == "clings":
            time.sleep(60)
        self.live.discard(self.headers.get("Mcp-Session-Id", ""))
        self.reply(204, b"")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, id = asked["method"], asked.get("id")
        if method == "initialize":
            session = str(next(self.sessions))
            self.live.add(session)
            opening = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
            }
            return self.result(id, opening, session)
        if self.headers.get("Mcp-Session-Id") not in self.live:
            return self.reply(404 if "Mcp-Session-Id" in self.headers else 400, b"no such session")
        if id is None:
            return self.reply(202, b"")
        if method == "tools/list":
            return self.result(id, {"tools": [TOOL]})
        return self.called(id, asked["params"]["arguments"])

    def called(self, id: int, given: dict) -> None:
        if self.mode == "forgets" and next(self.calls) % 2 == 0:
            self.live.clear()
            self.reply(404, b"no such session")
            return
        match self.mode:
            case "big":
                self.head(200, JSON, Chunked="yes")
                while True:
                    self.chunk(b" " * 65_536)
            case "packed":
                body = gzip.compress(b" " * 30_000_000)
                self.reply(200, body, JSON, **{"Content-Encoding": "gzip"})
            case "events":
                self.head(200, "text/event-stream", Chunked="yes")
                told: dict[str, object] = {"jsonrpc": "2.0", "method": "notifications/message"}
                told["params"] = {"level": "info", "data": "x"}
                while True:
                    self.chunk(b"data: " + json.dumps(told).encode() + b"\n\n")
            case "silent":
                self.rfile.read(1)
            case "elsewhere":
                self.reply(307, b"", Location="http://192.0.2.1/mcp")
            case "html":
                self.reply(200, b"<html>hello</html>", "text/html")
            case "breaks":
                self.head(200, JSON, **{"Content-Length": "1000"})
                self.wfile.write(b"{")
                self.close_connection = True
            case _:
                text = {"type": "text", "text": given.get("text", "")}
                self.result(id, {"content": [text]})

    def result(self, id: int, result: dict, session: str = "") -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode()
        more = {"Mcp-Session-Id": session} if session else {}
        self.reply(200, body, JSON, **more)

    def reply(self, status: int, body: bytes, kind: str = "text/plain", **more: str) -> None:
        self.head(status, kind, **{"Content-Length": str(len(body))}, **more)
        self.wfile.write(body)

    def head(self, status: int, kind: str, **more: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if more.pop("Chunked", ""):
            more["Transfer-Encoding"] = "chunked"
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients that go away in the middle are what this server is for."""


def main() -> None:
    (Handler.mode,) = sys.argv[1:]
    assert Handler.mode in MODES
    server = Quiet(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}/mcp", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
