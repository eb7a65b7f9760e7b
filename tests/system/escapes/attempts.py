"""Ways out of the sandbox, as a table: the code, and what must become of it.

`{file}` is a file of the agent, `{folder}` its folder, `{port}` a port it
listens on, `{pid}` and `{fd}` its process and a descriptor of it that would be
inherited, `{abstract}` the name of an abstract socket it listens on.
"""

from typing import NamedTuple

OS = "OSError"
"""The system refused: any kind of OSError."""
NOTHING = "nothing"
"""It ran and came to nothing: the last expression is false."""
LOST = "lost"
"""The sandbox was ended for it."""
HELD = "held"
"""It ran into a limit that the code is told of, or was interrupted or ended."""


class Attempt(NamedTuple):
    """One attempt; `by` is what stops it."""

    name: str
    code: str
    by: str


CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *words):
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, words)) < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return True
"""
"""A system call by its number, for x86-64."""


def _reading() -> list[Attempt]:
    paths = [
        "{file}", "{folder}", "/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/ssh",
        "/etc/machine-id", "/root", "/home", "/var/log", "/var/lib", "/var/tmp", "/run", "/opt",
        "/srv", "/mnt", "/proc", "/proc/1/environ", "/proc/self/environ", "/proc/self/mem",
        "/proc/{pid}/environ", "/proc/{pid}/root/etc/passwd", "/proc/{pid}/fd/{fd}",
        "/proc/sys/kernel/core_pattern", "/proc/kcore", "/proc/kallsyms", "/proc/mounts", "/sys",
        "/sys/fs/cgroup", "/sys/kernel/debug", "/boot", "/dev/mem", "/dev/kmsg", "/dev/sda",
        "/dev/vda", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/tty", "/dev/ptmx",
        "/dev/pts", "/dev/fd", "/dev/vsock", "/dev/mapper", "/oldroot", "/newroot",
        "/usr/share/doc", "/usr/sbin", "/usr/local/bin", "/usr/src",
    ]  # fmt: skip
    code = "import os\nos.listdir('{0}') if os.path.isdir('{0}') else open('{0}', 'rb').read(1)"
    return [Attempt(f"read {path}", code.replace("{0}", path), OS) for path in paths]


def _writing() -> list[Attempt]:
    places = ["/", "/usr/bin", "/usr/lib", "/bin", "/dev", "/etc"]
    code = "open('{0}/escaped', 'w')"
    return [Attempt(f"write in {place}", code.replace("{0}", place), OS) for place in places]


_FILES = [
    Attempt("change the worker", "open('/worker.py', 'a')", OS),
    Attempt("replace the worker", "import os; os.rename('/worker.py', '/tmp/x')", OS),
    Attempt("change an interpreter", "import sys; open(sys.executable, 'r+b')", OS),
    Attempt("symlink out", "import os; os.symlink('{file}', '/tmp/a'); open('/tmp/a').read()", OS),
    Attempt("dots out", "open('/tmp/../../..{file}').read()", OS),
    Attempt("hard link to a program", "import os; os.link('/usr/bin/env', '/tmp/env')", OS),
    Attempt("a device of its own", "import os, stat; os.mknod('/tmp/d', stat.S_IFBLK, 0x800)", OS),
    Attempt("a memory device", "import os, stat; os.mknod('/tmp/m', stat.S_IFCHR, 0x101)", OS),
    Attempt("chroot", "import os; os.chroot('/tmp')", OS),
    Attempt("chroot and out", "import os; os.mkdir('/tmp/c'); os.chroot('/tmp/c')", OS),
    Attempt("open a parent's folder", "import os; os.open('..{folder}', os.O_RDONLY)", OS),
    Attempt(
        "own a file for root",
        "import os; open('/tmp/r', 'w').close(); os.chown('/tmp/r', 0, 0)",
        OS,
    ),
    Attempt(
        "a setuid program",
        "import os, shutil, subprocess as s; shutil.copy('/usr/bin/id', '/tmp/id')\n"
        "os.chmod('/tmp/id', 0o4755); b'uid=0' in s.run(['/tmp/id'], capture_output=True).stdout",
        NOTHING,
    ),
    Attempt("su", "import subprocess as s; s.run(['su', '-c', 'id']).returncode == 0", NOTHING),
    Attempt("sudo", "import subprocess as s; s.run(['sudo', '-n', 'id']).returncode == 0", OS),
    Attempt(
        "what a shell finds",
        "import subprocess as s; s.run('cat {file}', shell=True, capture_output=True).stdout",
        NOTHING,
    ),
    Attempt(
        "every file outside of /usr",
        "import os, sys\nown, found = os.path.dirname(os.path.dirname(sys.executable)), []\n"
        "for folder, folders, names in os.walk('/'):\n"
        " paths = [os.path.join(folder, name) for name in names]\n"
        " found += [path for path in paths if path not in ('/worker.py', '/etc/ld.so.cache')]\n"
        " known = ('/usr', '/dev', own)\n"
        " folders[:] = [f for f in folders if os.path.join(folder, f) not in known]\n"
        "found",
        NOTHING,
    ),
]

_ENVIRONMENT = [
    Attempt("the environment", "import os; set(os.environ) - {'LC_CTYPE', 'PWD'}", NOTHING),
    Attempt(
        "the environment at exec",
        "import ctypes; p = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')\n"
        "[e for e in iter(lambda i=iter(range(99)): p[next(i)], None)\n"
        " if not e.startswith((b'LC_CTYPE=', b'PWD='))]",
        NOTHING,
    ),
    Attempt("the host's name", "import os; os.uname().nodename != 'sandbox'", NOTHING),
    Attempt("another user", "import os; 0 in (*os.getresuid(), *os.getresgid())", NOTHING),
    Attempt("more groups", "import os; set(os.getgroups()) - {65534}", NOTHING),
    Attempt(
        "inherited descriptors",
        "import os, stat\ndef kind(fd):\n try: return stat.S_IFMT(os.fstat(fd).st_mode)\n"
        " except OSError: return None\n"
        "[fd for fd in range(3, 128) if kind(fd) not in (None, stat.S_IFSOCK)]",
        NOTHING,
    ),
    Attempt("the agent's descriptor", "import os; os.pread({fd}, 99, 0)", OS),
    Attempt(
        "one socket alone is held",
        "import os, stat\ndef is_socket(fd):\n try: return stat.S_ISSOCK(os.fstat(fd).st_mode)\n"
        " except OSError: return False\nsum(map(is_socket, range(128))) != 1",
        NOTHING,
    ),
    Attempt(
        "a secret in some object",
        "import gc\n[o for o in gc.get_objects() if ''.join(['SEC', 'RET-']) in repr(o)[:9999]]",
        NOTHING,
    ),
    Attempt(
        "the frames below",
        "import sys\nf, seen = sys._getframe(), ''\nwhile f:\n"
        " seen += repr(f.f_locals) + repr(f.f_globals); f = f.f_back\n"
        "''.join(['SEC', 'RET-']) in seen",
        NOTHING,
    ),
    Attempt("the agent's packages", "import msgspec", "ModuleNotFoundError"),
    Attempt("the agent itself", "import atoll", "ModuleNotFoundError"),
]

_NETWORK = [
    Attempt(
        "the agent's port",
        "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
        OS,
    ),
    Attempt("the port by IPv6", "import socket; socket.create_connection(('::1', {port}), 2)", OS),
    Attempt("the internet", "import socket; socket.create_connection(('1.1.1.1', 53), 2)", OS),
    Attempt("names", "import socket; socket.getaddrinfo('example.org', 80)", OS),
    Attempt(
        "http",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=2)",
        OS,
    ),
    Attempt("datagrams", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", OS),
    Attempt("raw packets", "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", OS),
    Attempt("the wire", "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", OS),
    Attempt("netlink", "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", OS),
    Attempt("the machine's host", "import socket; socket.socket(socket.AF_VSOCK)", OS),
    Attempt("kernel crypto", "import socket; socket.socket(socket.AF_ALG)", OS),
    Attempt("listening", "import socket; socket.create_server(('0.0.0.0', 0))", OS),
    Attempt(
        "an abstract socket of the agent",
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0{abstract}')",
        OS,
    ),
    Attempt(
        "a socket made of a pair",
        "import socket; a, b = socket.socketpair(); a.connect('\\0{abstract}')",
        OS,
    ),
]

_PROCESSES = [
    Attempt("signal the agent", "import os; os.kill({pid}, 0)", "ProcessLookupError"),
    Attempt(
        "signal all",
        "import os, signal, time; os.kill(-1, signal.SIGKILL)",
        "ProcessLookupError|lost",
    ),
    Attempt("end the first process", "import os, signal; os.kill(1, signal.SIGKILL)", NOTHING),
    Attempt("a pidfd of the agent", "import os; os.pidfd_open({pid})", OS),
    Attempt("who is there", "import os; os.getpid() > 9 or os.getppid() > 9", NOTHING),
    Attempt("be nicer than others", "import os; os.nice(-5)", OS),
    Attempt("real time", "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))", OS),
    Attempt("be root", "import os; os.setuid(0)", OS),
    Attempt("be root's group", "import os; os.setgroups([0])", OS),
    Attempt(
        "raise a limit",
        "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (9999, 9999))",
        "ValueError",
    ),
    Attempt(
        "unlimit memory",
        "import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))",
        "ValueError",
    ),
    Attempt("another root", CALL + "call(161, 0)", OS),
    Attempt("ptrace the first process", CALL + "call(101, 16, 1, 0, 0)", OS),
    Attempt("ptrace itself", CALL + "call(101, 0, 0, 0, 0)", OS),
    Attempt("read another's memory", CALL + "call(310, 1, 0, 0, 0, 0, 0)", OS),
    Attempt("write another's memory", CALL + "call(311, 1, 0, 0, 0, 0, 0)", OS),
    Attempt("another's descriptor", CALL + "call(438, 0, 0, 0)", OS),
]

_KERNEL = [
    Attempt(name, CALL + f"call({words})", OS)
    for name, words in {
        "a user namespace": "272, 0x10000000",
        "a mount namespace": "272, 0x00020000",
        "a user namespace by clone": "56, 0x10000000 | 17, 0, 0, 0, 0",
        "clone3": "435, 0, 0",
        "another's namespace": "308, 0, 0",
        "mount": "165, 0, 0, 0, 0, 0",
        "unmount": "166, 0, 0",
        "pivot_root": "155, 0, 0",
        "move_mount": "429, 0, 0, 0, 0, 0",
        "fsopen": "430, 0, 0",
        "bpf": "321, 0, 0, 0",
        "perf events": "298, 0, 0, -1, -1, 0",
        "io_uring": "425, 1, 0",
        "userfaultfd": "323, 1",
        "a kernel module": "313, 0, 0, 0",
        "another kernel": "246, 0, 0, 0, 0",
        "the kernel's log": "103, 3, 0, 0",
        "the clock": "227, 0, 0",
        "swap": "167, 0, 0",
        "the keyring": "250, 0, -3, 0",
        "a new key": "248, 0, 0, 0, 0, -3",
        "files by handle": "304, 0, 0, 0",
        "hidden memory": "319, 0, 0",
        "a shared segment": "29, 0, 4096, 0o1600",
        "a message queue": "68, 0, 0o1600",
        "the personality": "135, 0x0400000",
        "the LDT": "154, 0, 0, 0",
        "ports of the machine": "172, 3",
        "a call nobody knows": "463, 0, 0",
        "32-bit numbers": "0x40000000 | 39",
        "reboot": "169, 0, 0, 0, 0",
    }.items()
]

_ODDITIES = [
    Attempt("seccomp off again", CALL + "call(157, 22, 0, 0, 0, 0)", OS),
    Attempt("new privileges", CALL + "libc.prctl(39, 0, 0, 0, 0) != 1", NOTHING),
    Attempt(
        "capabilities", CALL + "[c for c in range(41) if libc.prctl(23, c, 0, 0, 0) > 0]", NOTHING
    ),
    Attempt(
        "i386 calls",
        "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\n"
        "m.write(bytes.fromhex('b814000000cd80c3'))\n"
        "f = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\nf()",
        LOST,
    ),
]

_LIMITS = [
    Attempt("one large piece of memory", "bytearray(10**9)", "MemoryError"),
    Attempt("memory bit by bit", "a = []\nwhile True: a.append(bytearray(10**8))", "MemoryError"),
    Attempt(
        "memory of many",
        "import os, time\nfor i in range(8):\n if os.fork() == 0:\n"
        "  a = bytearray(60_000_000); a[::4096] = b'x' * len(a[::4096]); time.sleep(60)\n"
        "time.sleep(60)",
        HELD,
    ),
    Attempt(
        "a fork bomb",
        "import os\nwhile True:\n try: os.fork()\n except OSError: pass",
        HELD,
    ),
    Attempt(
        "threads without end",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=[9]).start()",
        "RuntimeError",
    ),
    Attempt(
        "processes beyond the limit",
        "import os, time\nfor i in range(99):\n if os.fork() == 0: time.sleep(60)",
        "BlockingIOError",
    ),
    Attempt("a file beyond the disk", "open('/tmp/big', 'wb').write(b'x' * 60_000_000)", OS),
    Attempt("shared memory as a disk", "open('/dev/shm/b', 'wb').write(b'x' * 60_000_000)", OS),
    Attempt("the output's disk", "open('/output/b', 'wb').write(b'x' * 60_000_000)", OS),
    Attempt(
        "files without end",
        "import os\nfor i in range(10**9): os.close(os.open(f'/tmp/{{i}}', os.O_CREAT))",
        HELD,
    ),
    Attempt("descriptors without end", "import os\nwhile True: os.dup(1)", OS),
    Attempt("output without end", "while True: print('x' * 10**6)", HELD),
    Attempt("a program's output without end", "import os; os.system('yes') == 0", NOTHING),
    Attempt("output by the descriptor", "import os\nwhile True: os.write(1, b'x' * 10**6)", OS),
    Attempt("a loop", "while True: pass", HELD),
    Attempt("a long sleep", "import time; time.sleep(600)", HELD),
    Attempt(
        "deaf to interrupts",
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        LOST,
    ),
    Attempt("a stopped worker", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", LOST),
    Attempt("deep recursion", "def f(): return f()\nf()", "RecursionError"),
    Attempt("a torn stack", "import ctypes; ctypes.string_at(0)", LOST),
    Attempt("long sums without the interpreter", "10 ** 10 ** 9", HELD),
    Attempt("a large value", "'x' * 100_000_000", HELD),
    Attempt("a core file", "import os; os.abort()", LOST),
]

FORGE = """
import gc, os, struct, sys
own = next(o for o in gc.get_objects() if type(o).__name__ == 'Worker')
channel = own._channel
def say(body):
    data = struct.pack('>I', len(body)) + body
    while data: data = data[os.write(channel._descriptor, data):]
"""
"""How code gets hold of the worker's channel; the agent has to bear what it says."""

_FORGED = [
    Attempt("no JSON", FORGE + "say(b'{'); sys.stdin.read()", LOST),
    Attempt("an unknown frame", FORGE + 'say(b\'{"type":"exec"}\')', LOST),
    Attempt("a second hello", FORGE + 'say(b\'{"type":"hello"}\')', LOST),
    Attempt(
        "an outcome of another step",
        FORGE + 'channel.send({"type": "done", "id": "0", "output": "", "value": "", "error": ""})',
        LOST,
    ),
    Attempt("a frame of 4 GB", FORGE + "os.write(channel._descriptor, b'\\xff' * 4)", LOST),
    Attempt(
        "half a frame", FORGE + "os.write(channel._descriptor, b'\\0\\0\\1'); os._exit(0)", LOST
    ),
    Attempt("the channel closed", FORGE + "os.close(channel._descriptor)", LOST),
    Attempt("a kind of the wrong type", FORGE + "say(b'[1]')", LOST),
    Attempt(
        "questions of the wrong type",
        FORGE + 'channel.send({"type": "ask", "id": own._id, "number": "x", "prompts": {}})',
        LOST,
    ),
    Attempt(
        "empty questions",
        FORGE + 'channel.send({"type": "ask", "id": own._id, "number": 1, "prompts": []})',
        LOST,
    ),
    Attempt(
        "questions without end",
        "while True:\n try: llm_query('x')\n except RuntimeError: pass",
        LOST,
    ),
    Attempt(
        "a flood of questions",
        FORGE + "while True: channel.send("
        '{"type": "ask", "id": own._id, "number": 1, "prompts": ["x"]})',
        LOST,
    ),
]

ATTEMPTS = [
    *_reading(),
    *_writing(),
    *_FILES,
    *_ENVIRONMENT,
    *_NETWORK,
    *_PROCESSES,
    *_KERNEL,
    *_ODDITIES,
    *_LIMITS,
    *_FORGED,
]
