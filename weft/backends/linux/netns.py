"""Network namespaces: create, name, enter; sockets and sysctls inside (netns(7), ip-netns(8)).

Names are those of `ip netns`: files in /run/netns on which the namespace is mounted. The empty name is everywhere the
namespace that the process itself runs in.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path("/run/netns")

HOST_SYSCTLS: Mapping[str, int] = {
    "net/ipv4/ip_forward": 0,
    "net/ipv6/conf/all/forwarding": 0,
    "net/ipv6/conf/default/forwarding": 0,
    "net/ipv6/conf/default/disable_ipv6": 1,  # bridges and taps get no address by which a tenant could reach the host
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv6/conf/all/accept_ra": 0,
    "net/bridge/bridge-nf-call-iptables": 1,
    "net/bridge/bridge-nf-call-ip6tables": 1,
    "net/bridge/bridge-nf-call-arptables": 0,
}
"""Of the host namespace when it is our own: it switches frames and is no host to anybody."""

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 4096, 16384, 1 << 20
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)

T = TypeVar("T")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: Path, flags: int) -> None:
    _check(_libc.mount(source.encode(), str(target).encode(), b"none", flags, None), f"mount {target}")


def _own_thread(function: Callable[[], T]) -> T:
    """The result of `function`, run in a thread that ends with it: its namespace ends with it too."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def enter(fd: int) -> None:
    """Move the calling thread into the namespace behind `fd` for good (os.setns came with Python 3.12)."""
    _check(_libc.setns(fd, _CLONE_NEWNET), "setns")


def path(name: str) -> Path:
    """The file that names the namespace."""
    return FOLDER / name if name else Path("/proc/self/ns/net")


def names() -> list[str]:
    """Every named namespace of the machine, sorted."""
    try:
        return sorted(entry for entry in os.listdir(FOLDER) if exists(entry))
    except FileNotFoundError:
        return []


def exists(name: str) -> bool:
    """Whether a namespace has this name (a file left behind without its mount is none)."""
    try:
        return os.stat(path(name)).st_dev == os.stat("/proc/self/ns/net").st_dev
    except FileNotFoundError:
        return False


def identity(name: str) -> int:
    """A number that two names share only if they mean the same namespace (its inode). FileNotFoundError if it is not there."""
    return os.stat(path(name)).st_ino


def open_fd(name: str) -> int:
    """A file descriptor of the namespace, for `enter` and IFLA_NET_NS_FD; it keeps the namespace alive. The caller closes it."""
    if not exists(name):
        raise FileNotFoundError(errno.ENOENT, f"no network namespace named {name}")
    return os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)


def create(name: str, sysctls: Mapping[str, int] | None = None) -> bool:
    """Make a namespace with its loopback up and `sysctls` set; False if it was there already (the sysctls are set anyway)."""
    made = bool(name) and not exists(name)
    if made:
        _own_thread(lambda: _create(name))
    if sysctls:
        set_sysctls(name, sysctls)
    return made


def _create(name: str) -> None:
    _check(_libc.unshare(_CLONE_NEWNET), "unshare")
    _loopback_up()
    _give_name(name, "/proc/thread-self/ns/net")


def restore(name: str, fd: int) -> None:
    """Give the namespace behind `fd` its name again after somebody took it away (`ip netns del` removes no more than the
    name while a file descriptor is open): nothing inside has changed."""
    _give_name(name, f"/proc/self/fd/{fd}")


def _give_name(name: str, source: str) -> None:
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    folder = os.open(FOLDER, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # ip-netns(8) takes the same lock
        try:
            _mount("", FOLDER, _MS_SHARED | _MS_REC)
        except OSError:
            _mount(str(FOLDER), FOLDER, _MS_BIND | _MS_REC)
            _mount("", FOLDER, _MS_SHARED | _MS_REC)
        target = FOLDER / name
        target.unlink(missing_ok=True)
        os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0))
        _mount(source, target, _MS_BIND)
    finally:
        os.close(folder)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inet:
        siocsifflags, up = 0x8914, 1
        fcntl.ioctl(inet, siocsifflags, struct.pack("16sH14x", b"lo", up))


def delete(name: str) -> bool:
    """Take the name away; the kernel ends the namespace, and its links, with the last process and socket inside.
    False if there was none."""
    target = path(name)
    if not name or not target.exists():
        return False
    _libc.umount2(str(target).encode(), _MNT_DETACH)
    target.unlink(missing_ok=True)
    return True


def inside(name: str, function: Callable[..., T], *args: Any) -> T:
    """`function(*args)`, run in a thread inside the namespace. What it opens (sockets, files of /proc/thread-self/net)
    belongs to that namespace for ever; its exceptions come out as they are."""
    if not name:
        return function(*args)
    fd = open_fd(name)

    def body() -> T:
        enter(fd)
        return function(*args)

    try:
        return _own_thread(body)
    finally:
        os.close(fd)


def open_socket(name: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket inside the namespace; usable from any thread."""
    return inside(name, socket.socket, family, kind, protocol)


def set_sysctls(name: str, values: Mapping[str, int]) -> list[str]:
    """Write those /proc/sys entries ("net/ipv4/ip_forward") that differ; returns which did. FileNotFoundError for one that
    this kernel lacks."""

    def write() -> list[str]:
        changed = []
        for key, value in values.items():
            file = Path("/proc/sys", key)
            if file.read_text().strip() != str(value):
                file.write_text(str(value))
                changed.append(key)
        return changed

    return inside(name, write)
