"""A scriptable misbehaving child process for tests of the supervisor; standard library only.

Without options it says READY=1, then waits until SIGTERM and exits 0.
It speaks the keeper's protocol: ATOLL_CHANNEL_FD, LISTEN_FDS with the socket at 3.
"""

import argparse
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

CHANNEL = int(os.environ.get("ATOLL_CHANNEL_FD", "-1"))
NAP = "import time; time.sleep(600)"


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser()
    p.add_argument("--ignore-term", action="store_true")
    p.add_argument("--slow-start", type=float, default=0.0, help="seconds before READY")
    p.add_argument("--never-ready", action="store_true")
    p.add_argument("--crash-after", type=float, help="SIGKILL itself after so many seconds")
    p.add_argument("--say", action="append", default=[], help="a datagram once it is ready")
    p.add_argument("--beat", type=float, help="seconds between two beats")
    p.add_argument("--hush", help="beat only while this file is not there")
    p.add_argument("--chatter", action="store_true", help="say things as fast as can be")
    p.add_argument("--hang-up", action="store_true", help="close the channel once ready")
    p.add_argument("--exit", type=int, help="exit with this code once ready")
    p.add_argument("--leak-grandchild", choices=("plain", "setsid", "double"), action="append")
    p.add_argument("--clear", action="store_true", help="grandchildren get no environment")
    p.add_argument("--zombies", type=int, default=0, help="orphans that end at once")
    p.add_argument("--flood", type=int, default=0, help="bytes of 100-byte lines to print")
    p.add_argument("--no-newline", type=int, default=0, help="bytes to print without a newline")
    p.add_argument("--garbage", action="store_true", help="print binary and NULs")
    p.add_argument("--close-stdout", action="store_true")
    p.add_argument("--print", action="append", default=[])
    p.add_argument("--complain", action="append", default=[])
    p.add_argument("--report", help="write what this process sees to this file")
    p.add_argument("--serve", action="store_true", help="answer /health on the passed socket")
    return p.parse_args()


def main() -> None:
    args = parse()
    if args.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if args.report:
        report(args.report)
    multiply(args)
    speak(args)
    time.sleep(args.slow_start)
    if not args.never_ready:
        say("READY=1")
    for words in args.say:
        say(words.replace(",", "\n"))
    if args.hang_up:
        os.close(CHANNEL)
    end(args)
    if args.serve:
        serve()
    while True:  # not pause(): a signal that comes just before it would not be heard
        live(args)


def live(args: argparse.Namespace) -> None:
    time.sleep(0 if args.chatter else args.beat or 0.05)
    if args.chatter:
        say(f"STATUS={time.monotonic()}")
    elif args.beat and not (args.hush and Path(args.hush).exists()):
        say("WATCHDOG=1\nIN_FLIGHT=0\nLAG_MS=0\nACTIVE=0.000")


def end(args: argparse.Namespace) -> None:
    if args.exit is not None:
        sys.exit(args.exit)
    if args.crash_after is not None:
        time.sleep(args.crash_after)
        os.kill(os.getpid(), signal.SIGKILL)


def multiply(args: argparse.Namespace) -> None:
    for kind in args.leak_grandchild or []:
        leak(kind, {} if args.clear else None)
    for _ in range(args.zombies):
        orphan()


def say(words: str) -> None:
    os.write(CHANNEL, f"{words}\n".encode())


def speak(args: argparse.Namespace) -> None:
    for line in args.print:
        print(line, flush=True)
    for line in args.complain:
        print(line, file=sys.stderr, flush=True)
    if args.garbage:
        os.write(1, b"caf\xe9 \x00 \x1b[31m \xff\n")
    if args.flood:
        flood(args.flood)
    left = args.no_newline
    while left > 0:
        left -= os.write(1, b"x" * min(left, 65536))
    if args.close_stdout:
        os.close(1)
        os.close(2)


def flood(size: int) -> None:
    block = (b"%099d\n" % 7) * 1000
    while size > 0:
        written = 0
        while written < len(block):
            written += os.write(1, block[written:])
        size -= len(block)


def leak(kind: str, env: dict[str, str] | None) -> None:
    """A grandchild that outlives us, and keeps our standard output."""
    nap = [sys.executable, "-S", "-c", NAP]
    if kind == "plain":
        subprocess.Popen(nap, env=env)
    elif kind == "setsid":
        subprocess.Popen(nap, start_new_session=True, env=env)
    elif os.fork() == 0:
        subprocess.Popen(nap, start_new_session=True, env=env)
        os._exit(0)


def orphan() -> None:
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0:
            os.setsid()
            time.sleep(0.05)
        os._exit(0)
    os.waitpid(middle, 0)


def report(path: str) -> None:
    fds = {}
    for fd in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            fds[fd.name] = str(fd.readlink())
    seen = {
        "fds": {n: where for n, where in fds.items() if not where.startswith("/proc/")},
        "env": dict(os.environ),
        "cwd": str(Path.cwd()),
        "sid": os.getsid(0),
        "pid": os.getpid(),
        "ignored": [s.name for s in signal.valid_signals() if ignored(s)],
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }
    fresh = Path(path + ".tmp")
    fresh.write_text(json.dumps(seen))
    fresh.rename(path)


def ignored(number: int) -> bool:
    handler = signal.getsignal(number)
    python_does = number in (signal.SIGPIPE, signal.SIGXFSZ)
    return handler is signal.SIG_IGN and not python_does


def serve() -> None:
    sock = socket.socket(fileno=3)
    sock.setblocking(True)
    body = json.dumps({"status": "healthy", "instance_id": os.environ["ATOLL_INSTANCE"]}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    while True:
        peer, _ = sock.accept()
        with peer:
            peer.recv(65536)
            peer.sendall(head + body)


if __name__ == "__main__":
    main()
