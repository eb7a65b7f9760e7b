"""A template that misbehaves as it is told; standard library only. `python template.py MODE`."""

import json
import os
import resource
import signal
import socket
import sys
import time

MODE = sys.argv[1]
control = socket.socket(fileno=3)


def main() -> None:
    if MODE == "silent":
        time.sleep(600)
    if MODE == "crash":
        sys.exit("ImportError: no module named runtime")
    if MODE == "error":
        say(error="two threads")
        time.sleep(600)
    if MODE == "slow":
        time.sleep(0.7)
    if MODE == "garbage":
        control.send(b"garbage")
        control.send(b"[1]")
        say(id=99, pid=1)
    say(ready=1, pid=os.getpid(), modules=1)
    while serve():
        pass


def serve() -> bool:
    packet, fds, _, _ = socket.recv_fds(control, 262_144, 4)
    if not packet:
        return False
    request = json.loads(packet)
    number = request["id"]
    match MODE:
        case "hang":
            time.sleep(600)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "refuse":
            say(id=number, error="no room")
        case "lie":
            say(id=number, pid=1)
        case "die-after-fork":
            fork(request, lambda: time.sleep(600))
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang-after-fork":
            fork(request, lambda: time.sleep(600))
            time.sleep(600)
        case "late":
            pid = fork(request, lambda: os._exit(5))
            time.sleep(1.8)
            say(id=number, pid=pid)
        case _:
            say(id=number, pid=fork(request, lambda: become(request, fds)))
    for fd in fds:
        os.close(fd)
    return True


def fork(request: dict, then) -> int:
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        soft = request["mark"]
        resource.setrlimit(resource.RLIMIT_RTTIME, (soft, resource.RLIM_INFINITY))
        pid = os.fork()
        if pid == 0:
            os.setsid()
            then()
            os._exit(0)
        os.write(writer, str(pid).encode())
        os._exit(0)
    os.close(writer)
    pid = int(os.read(reader, 20))
    os.close(reader)
    os.waitpid(middle, 0)
    return pid


def become(request: dict, fds: list) -> None:
    """What the real one does without exec."""
    high = [os.dup(fd) + 0 for fd in fds]
    for target, fd in zip((1, 2, 4, 3), high, strict=False):
        os.dup2(fd, target)
    os.closerange(5, 100)
    os.chdir(request["cwd"])
    os.execve(sys.executable, [sys.executable, *request["argv"]], request["env"])


def say(**words) -> None:
    control.send(json.dumps(words).encode())


main()
