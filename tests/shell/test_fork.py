"""The fork behind the template, in real processes: at once a child of the keeper, or after two."""

import json
import subprocess
import sys

import pytest

MARK = (1 << 62) + 815
KEEPER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
template = os.fork()
if template == 0:
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], sys.argv[2], sys.argv[3]])
os.waitpid(template, 0)
pid, status = os.wait()
print(pid, os.getpid(), template, os.waitstatus_to_exitcode(status))
"""
TEMPLATE = """
import json, os, resource, signal, sys, threading, time
from atoll.template.fork import fork_marked
from atoll.template.sibling import NoSiblings, Siblings

class Impossible(Siblings):
    def fork(self):
        raise NoSiblings

def become(middle):
    while os.getppid() == middle:
        pass
    heard = []
    signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    thread = threading.Thread(target=heard.append, args=(0,))
    thread.start()
    thread.join()
    clock = time.pthread_getcpuclockid(threading.get_ident())  # holds the id that libc remembers
    seen = {
        "pid": os.getpid(), "parent": os.getppid(), "heard": heard,
        "libc": ~(clock >> 3), "mark": limit(),
    }
    print(json.dumps(seen), flush=True)
    os._exit(7)

def limit():
    return resource.getrlimit(resource.RLIMIT_RTTIME)[0]

siblings = Siblings() if sys.argv[1] == "siblings" else Impossible()
usual = limit()
pid = fork_marked(int(sys.argv[2]), become, siblings)
print(json.dumps({"told": pid, "kept": limit() == usual}), flush=True)
"""


@pytest.mark.parametrize("way", ["siblings", "twice"])
def test_the_process_is_the_keepers_child_with_the_mark_and_is_whole(way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KEEPER, TEMPLATE, way, str(MARK)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = sorted(done.stdout.splitlines())
    assert len(lines) == 3, done.stderr
    buried, first, second = lines
    pid, keeper, template, code = map(int, buried.split())
    told = json.loads(first) | json.loads(second)
    assert code == 7
    assert template != pid
    assert told == {
        "told": pid,
        "kept": True,
        "pid": pid,
        "parent": keeper,
        "heard": [10, 0],
        "libc": pid,
        "mark": MARK,
    }
