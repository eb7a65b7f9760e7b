"""The sandbox's filter of system calls, run by hand as the kernel would."""

import re
import struct
from pathlib import Path

import pytest

from atoll.adapters.sandbox.seccomp import CALLS, MACHINES, Machine, program

ALLOWED, NOT_PERMITTED, ABSENT, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
HEADERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
INTEL = MACHINES["x86_64"]


def verdict(machine: Machine, number: int, first: int = 0, audit: int = 0) -> int:
    """What the filter says of a call: a little machine for the four instructions that it uses."""
    words = {0: number, 4: audit or machine.audit, 16: first}
    lines = list(struct.iter_unpack("=HBBI", program(machine)))
    at, loaded = 0, 0
    while True:
        code, then, other, value = lines[at]
        at += 1
        match code:
            case 0x20:
                loaded = words[value]
            case 0x15:
                at += then if loaded == value else other
            case 0x35:
                at += then if loaded >= value else other
            case 0x45:
                at += then if loaded & value else other
            case _:
                return value


@pytest.mark.parametrize("name", CALLS)
def test_each_call_of_the_table_is_not_permitted(name: str) -> None:
    for machine in MACHINES.values():
        number = CALLS[name][machine.column]
        if number is not None:
            assert verdict(machine, number) == NOT_PERMITTED


@pytest.mark.parametrize("number", [0, 1, 2, 9, 39, 53, 57, 59, 231, 257, 334])
def test_what_a_python_lives_on_is_allowed(number: int) -> None:
    """read, write, open, mmap, getpid, socketpair, fork, execve, exit_group, openat, rseq."""
    assert verdict(INTEL, number) == ALLOWED


@pytest.mark.parametrize("number", [435, 463, 9999, 0x40000000, 0xFFFFFFFF])
def test_calls_of_other_tables_and_of_newer_kernels_do_not_exist(number: int) -> None:
    assert verdict(INTEL, number) == ABSENT


@pytest.mark.parametrize("flag", [0x80, 0x20000, 0x2000000, 0x8000000, 0x10000000, 0x40000000])
def test_clone_makes_processes_and_threads_but_no_namespace(flag: int) -> None:
    for machine in MACHINES.values():
        assert verdict(machine, machine.clone, 0x3D0F00) == ALLOWED  # a thread of glibc
        assert verdict(machine, machine.clone, 17) == ALLOWED  # a fork
        assert verdict(machine, machine.clone, flag | 17) == NOT_PERMITTED


def test_calls_of_another_processor_end_the_process() -> None:
    assert verdict(INTEL, 39, audit=0x40000003) == KILLED


@pytest.mark.skipif(not HEADERS.exists(), reason="the kernel's headers are not installed")
def test_the_numbers_are_those_of_the_kernels_headers() -> None:
    known = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADERS.read_text()))
    assert {name: row[0] for name, row in CALLS.items()} == {
        name: int(known[name]) for name in CALLS
    }
