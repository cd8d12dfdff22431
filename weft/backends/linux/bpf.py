"""Small eBPF programs without a compiler: instructions as bytes, and their way into the kernel (bpf(2), bpf-helpers(7))."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Sequence

PASS, DROP = -1, 2
"""Verdicts of a classifier: TC_ACT_UNSPEC (the next one decides) and TC_ACT_SHOT."""

VLAN_PUSH, VLAN_POP, REDIRECT = 18, 19, 23
"""Helper functions of the kernel."""

VLAN_PRESENT, VLAN_TCI, VLAN_PROTOCOL = 20, 24, 28
"""Offsets in struct __sk_buff, which the first argument of a classifier points to."""

_SYSTEM_CALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_PROG_LOAD, _SCHED_CLS = 5, 3
_LOG = 1 << 16
_INSTRUCTION = struct.Struct("=BBhi")
_ATTRIBUTES = struct.Struct("=IIQQIIQII16s")

Instruction = tuple[int, int, int, int, int]
"""(opcode, destination register, source register, offset, immediate)."""


def copy(to: int, register: int) -> Instruction:
    """to = register"""
    return 0xBF, to, register, 0, 0


def constant(to: int, value: int) -> Instruction:
    """to = value"""
    return 0xB7, to, 0, 0, value


def mask(register: int, value: int) -> Instruction:
    """register &= value"""
    return 0x57, register, 0, 0, value


def load_word(to: int, pointer: int, offset: int) -> Instruction:
    """to = the 32 bits at pointer + offset"""
    return 0x61, to, pointer, offset, 0


def unless(register: int, value: int, skip: int) -> Instruction:
    """Skip so many instructions if register != value."""
    return 0x55, register, 0, skip, value


def jump(skip: int) -> Instruction:
    """Skip so many instructions."""
    return 0x05, 0, 0, skip, 0


def call(helper: int) -> Instruction:
    """r0 = helper(r1, r2, ...)"""
    return 0x85, 0, 0, 0, helper


def leave(verdict: int) -> tuple[Instruction, Instruction]:
    """Return `verdict`."""
    return constant(0, verdict), END


END: Instruction = (0x95, 0, 0, 0, 0)
"""Return what is in r0."""


def assemble(program: Sequence[Instruction]) -> bytes:
    """The program as the kernel reads it."""
    return b"".join(_INSTRUCTION.pack(code, to | by << 4, offset, value) for code, to, by, offset, value in program)


def load(code: bytes, name: str) -> int:
    """Have the kernel check and translate a classifier; returns a file descriptor, which the caller closes.

    Raises OSError with the verifier's last words, or the reason why this machine has no eBPF.
    """
    number = _SYSTEM_CALL.get(platform.machine())
    if number is None:
        raise OSError(f"eBPF on {platform.machine()} is not known to Weft")
    text, license, log = (ctypes.create_string_buffer(value) for value in (code, b"GPL", _LOG))
    fields = (
        _SCHED_CLS,
        len(code) // _INSTRUCTION.size,
        ctypes.addressof(text),
        ctypes.addressof(license),
        1,
        _LOG,
        ctypes.addressof(log),
        0,
        0,
        name.encode()[:15],
    )
    attributes = ctypes.create_string_buffer(_ATTRIBUTES.pack(*fields))
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.syscall(number, _PROG_LOAD, attributes, _ATTRIBUTES.size)
    if descriptor < 0:
        lines = log.value.decode(errors="replace").splitlines()
        said = [line for line in lines if line and not line.startswith("processed ")][-1:]
        raise OSError(ctypes.get_errno(), ": ".join([os.strerror(ctypes.get_errno()), *said]))
    return int(descriptor)
