"""Stands in for `vllm serve`: its command line and the part of its HTTP API that clients use.

Not vLLM: it knows no model and answers with the prompt's own words. What it
keeps of vLLM's ways: `serve MODEL` and its flags (an unknown one ends it with
2), `VLLM_API_KEY` guards /v1 and nothing else, /health answers 200 with an empty
body, and a model without a chat template refuses a chat with 400. `gpt2` is such
a model. A model called `slow` is not up until the file `go` is in its folder, `dies`
ends at once, and `hog` takes memory until it is killed. The prompt `wait` is not
answered at all; when its client leaves, that is printed.

    install(folder)      puts the program `vllm` there, for a PATH to name
"""

import argparse
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from pathlib import Path

NO_TEMPLATE = (
    "As of transformers v4.44, default chat template is no longer allowed, so you must provide"
    " a chat template if the tokenizer does not define one."
)


def install(folder: Path, python: str = sys.executable) -> Path:
    """The program `vllm` in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "vllm"
    program.write_text(f'#!/bin/sh\nexec "{python}" -I "{Path(__file__)}" "$@"\n')
    program.chmod(0o755)
    return folder


def wish() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vllm", allow_abbrev=False)
    serve = parser.add_subparsers(required=True).add_parser("serve", allow_abbrev=False)
    serve.add_argument("model")
    serve.add_argument("--host", default=None)
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--max-model-len", type=int)
    serve.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    serve.add_argument("--tensor-parallel-size", type=int, default=1)
    serve.add_argument("--dtype", default="auto")
    return parser.parse_args()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = ""

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, b"")
        elif self.path == "/metrics":
            self.answer(200, b"vllm:num_requests_running 0.0\n", "text/plain")
        elif self.path == "/v1/models" and self.may():
            row = {"id": self.model, "object": "model", "owned_by": "vllm"}
            self.json(200, {"object": "list", "data": [row]})

    def do_POST(self) -> None:
        body = loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.may():
            return
        if body["model"] != self.model:
            self.fail(404, f"The model `{body['model']}` does not exist.")
        elif self.path == "/v1/chat/completions" and self.model == "gpt2":
            self.fail(400, NO_TEMPLATE)
        elif body.get("prompt", body.get("messages", [{}])[-1].get("content")) == "wait":
            self.connection.recv(1)
            print("the client left", flush=True)
        elif self.path == "/v1/chat/completions":
            text = body["messages"][-1]["content"]
            self.complete(text, {"message": {"role": "assistant", "content": f"You said: {text}"}})
        else:
            self.complete(body["prompt"], {"text": f"{body['prompt']} and so on"})

    def complete(self, prompt: str, choice: dict[str, object]) -> None:
        used = len(prompt.split())
        usage = {"prompt_tokens": used, "completion_tokens": 3, "total_tokens": used + 3}
        first = {"index": 0, "finish_reason": "stop", **choice}
        self.json(200, {"id": "x", "model": self.model, "choices": [first], "usage": usage})

    def may(self) -> bool:
        key = os.environ.get("VLLM_API_KEY")
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            self.json(401, {"error": "Unauthorized"})
            return False
        return True

    def fail(self, status: int, message: str) -> None:
        self.json(status, {"error": {"message": message, "code": status}})

    def json(self, status: int, value: object) -> None:
        self.answer(status, dumps(value).encode())

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print(format % args, flush=True)


def main() -> None:
    given = wish()
    environ = ",".join(sorted(os.environ))
    print(f"serving {given.model} on {given.host}:{given.port}; environment: {environ}", flush=True)
    if given.model == "dies":
        sys.exit("RuntimeError: Failed to infer device type")
    if given.model == "hog":
        kept = []
        while True:
            kept.append(b"x" * 16_000_000)
            time.sleep(0.02)
    while given.model == "slow" and not Path("go").exists():
        time.sleep(0.05)
    Handler.model = given.model
    server = ThreadingHTTPServer((given.host or "0.0.0.0", given.port), Handler)
    print("INFO:     Application startup complete.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
