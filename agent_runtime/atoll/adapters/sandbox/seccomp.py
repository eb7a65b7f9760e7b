"""The system calls that the sandbox's kernel does not answer, as a seccomp filter.

Namespaces hide what is outside; the filter makes the kernel itself smaller and
closes what no namespace divides (AF_VSOCK reaches a machine's host) and no
limit counts (memory behind memfd and System V segments). It is a classic BPF
program as seccomp(2) takes it: `struct sock_filter` is u16, u8, u8, u32.
"""

import platform
import struct
from collections.abc import Mapping

from msgspec import Struct

_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_NOT_PERMITTED, _NO_SUCH_CALL = 0x00050000 | 1, 0x00050000 | 38
_NUMBER_AT, _ARCH_AT, _FLAGS_AT = 0, 4, 16
"""Offsets in `struct seccomp_data`; the flags of clone(2) are its first argument."""

NEW_NAMESPACES = 0x7E020000 | 0x80
"""Every CLONE_NEW* flag, the time namespace's too."""
_KNOWN = 462
"""The newest call whose meaning was looked at (Linux 6.10); a newer one does not exist inside."""

CALLS: Mapping[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # large parts of the kernel that no code of this kind needs
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    # keys of the user, which no namespace divides
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # sockets; socketpair(2) stays, and with it asyncio
    "socket": (41, 198),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # memory that belongs to no process and no mount
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mbind": (237, 235),
    "get_mempolicy": (239, 236),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    # the machine
    "acct": (163, 89),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "settimeofday": (164, 170),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "nfsservctl": (180, 42),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    # old doors of one processor
    "personality": (135, 92),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "uselib": (134, None),
    "ustat": (136, None),
}
"""Calls that are not permitted: their numbers on x86-64 and on arm64 (asm/unistd.h)."""


class Machine(Struct, frozen=True):
    """A kind of processor: its AUDIT_ARCH word, its column in CALLS, two numbers of clone."""

    audit: int
    column: int
    clone: int
    clone3: int = 435


MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(0xC000003E, 0, 56),
    "aarch64": Machine(0xC00000B7, 1, 220),
}


def filter_here() -> bytes | None:
    """The filter for this machine; None where its numbers are not known here."""
    machine = MACHINES.get(platform.machine())
    return None if machine is None else program(machine)


def program(machine: Machine) -> bytes:
    """The filter: a table of numbers, with three ways out at its end.

    clone3(2) hides its flags behind a pointer, so it does not exist and the C
    library falls back to clone(2), whose flags can be looked at.
    """
    denied = [row[machine.column] for row in CALLS.values()]
    numbers = [number for number in denied if number is not None]
    checks = [(_EQUAL, number, "denied") for number in numbers]
    checks += [(_AT_LEAST, _KNOWN + 1, "absent"), (_EQUAL, machine.clone3, "absent")]
    ends = {"denied": _NOT_PERMITTED, "absent": _NO_SUCH_CALL}
    head = [
        _line(_LOAD, _ARCH_AT),
        _line(_EQUAL, machine.audit, 1, 0),
        _line(_RETURN, _KILL),  # another processor's calls have other numbers
        _line(_LOAD, _NUMBER_AT),
    ]
    tail = [
        _line(_EQUAL, machine.clone, 0, 2),
        _line(_LOAD, _FLAGS_AT),
        _line(_HAS_BIT, NEW_NAMESPACES, 1, 0),
        _line(_RETURN, _ALLOW),
        *(_line(_RETURN, end) for end in ends.values()),
    ]
    targets = {name: len(checks) + len(tail) - len(ends) + i for i, name in enumerate(ends)}
    body = [
        _line(test, number, targets[name] - place - 1, 0)
        for place, (test, number, name) in enumerate(checks)
    ]
    return b"".join([*head, *body, *tail])


def _line(code: int, value: int, then: int = 0, other: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, other, value)
