"""A tree of processes: forks children from modules already loaded, restarts those that die, replaces them one by one when
asked, ends with all of them."""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LOG = logging.getLogger(__name__)

Run = Callable[[Callable[[], None]], None]
"""What a child does: calls its argument once when it is ready, and returns when it got SIGTERM."""

#: seconds before a child that died is started again; doubles while it keeps dying
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 10.0
#: seconds after which a child that runs counts as healthy again
HEALTHY = 20.0
#: seconds in which all children have to end; who takes longer is killed
STOP = 4.0
#: seconds for the first start of a child that replaces another one, and for the other one to answer what it has begun
REPLACE = 60.0
#: seconds in which clients of a child that is replaced turn to the other one
GOOD_BYE = 1.0

#: objects made and not freed after which the collector looks at the young ones, and how often it looks at older ones; with
#: Python's 700, it takes a third of the time of a list of 10,000, of which nothing is garbage before its end
COLLECT = (20_000, 20, 20)

#: what asks the supervisor to stop; SIGHUP, where it can reload, asks for that
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: prctl(2), mallopt(3)
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
M_ARENA_MAX = -8
M_MMAP_THRESHOLD = -3
#: bytes of a block that the system gets back when it is freed; hashing a password takes one of 16 MiB
LARGE = 1 << 20


class StartError(RuntimeError):
    """A child ended before it was ready for the first time."""


@dataclass
class Child:
    """One process of the tree, as the supervisor sees it."""

    name: str
    run: Run
    pid: int = 0
    ready: bool = False
    started: float = 0.0
    #: the signal that tells it that it will be replaced, GOOD_BYE seconds before SIGTERM; 0: none
    leave: int = 0
    #: when to start it again, and the pause before that
    due: float = 0.0
    pause: float = FIRST_PAUSE
    #: read end of the pipe on which it says that it is ready; -1: closed
    pipe: int = field(default=-1, repr=False)


class Supervisor:
    """Starts children in order, stops them in the opposite order. Lives in the main thread of a process without others."""

    def __init__(
        self,
        children: list[Child],
        reload: Callable[[], list[Child]] | None = None,
        reloaded: Callable[[], None] = lambda: None,
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        """With `reload`, SIGHUP does not stop: the children that it returns replace those that run.

        `reloaded` is called afterwards, also when nothing could be replaced; `stopping` before the children are stopped.
        """
        self.children = children
        self._reload = reload
        self._reloaded = reloaded
        self._before_stop = stopping
        self._reloading = False
        self._selector = selectors.DefaultSelector()
        self._stopping = 0

    def supervise(self, ready: Callable[[], None]) -> None:
        """Run until SIGINT or SIGTERM (or SIGHUP, without `reload`); call `ready` once when all children are.

        Raises StartError, after stopping the others, if a child does not get ready the first time.
        """
        name_process("up")
        spare_memory()
        # what is loaded now is never garbage: the children share its pages as long as no collector marks them
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT)
        self._catch_signals()
        announced = False
        try:
            for child in self.children:
                self._start(child)
            while not self._stopping:
                self._wait(self._next_due())
                self._reap(first_start=not announced)
                if not announced and all(child.ready for child in self.children):
                    announced = True
                    ready()
                self._start_due()
                if announced and self._reloading and not self._stopping:
                    self._reloading = False
                    self._replace_all()
                    self._reloaded()
        finally:
            self._stop()

    def _catch_signals(self) -> None:
        self._woken, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._waker = writer
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        for number in SIGNALS:
            if number != signal.SIGHUP or self._reload or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def _ask_to_stop(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP and self._reload:
            self._reloading = True
        else:
            self._stopping += 1

    def _start(self, child: Child) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        # a SIGTERM for the child must not be taken by the handler that it has until it has left the tree
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            child.pid = os.fork()
            if child.pid == 0:
                os.close(reader)
                self._become(child, supervisor, writer)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(writer)
        child.ready, child.started, child.due, child.pipe = False, time.monotonic(), 0.0, reader
        self._selector.register(reader, selectors.EVENT_READ, child)

    def _become(self, child: Child, supervisor: int, writer: int) -> None:
        """The rest of the life of the child's process; never returns."""
        code = 1
        try:
            self._leave_tree(child.name, supervisor)
            child.run(lambda: _say_ready(writer))
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            LOG.exception("%s failed", child.name)
        finally:
            logging.shutdown()
            os._exit(code)

    def _leave_tree(self, name: str, supervisor: int) -> None:
        """Undo in the child what belongs to the supervisor, and end with it whatever kills it."""
        signal.set_wakeup_fd(-1)
        for number in (*SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        os.close(self._woken)
        os.close(self._waker)
        for other in self.children:
            if other.pipe >= 0:
                os.close(other.pipe)
        # a group of its own: ^C in the terminal is for the supervisor, which stops all in order
        os.setpgid(0, 0)
        end_with(supervisor)
        name_process(name)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _wait(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Child):
                key.data.ready = os.read(key.fd, 1) == b"."
                self._close_pipe(key.data)
            else:
                os.read(key.fd, 4096)

    def _close_pipe(self, child: Child) -> None:
        if child.pipe >= 0:
            self._selector.unregister(child.pipe)
            os.close(child.pipe)
            child.pipe = -1

    def _reap(self, first_start: bool) -> None:
        """Note who ended. The first start must succeed; later deaths are mended."""
        for child in self.children:
            status = _ended(child)
            if status is None:
                continue
            self._close_pipe(child)
            if self._stopping:
                continue
            if first_start:
                raise StartError(f"{child.name} {status} during the start")
            now = time.monotonic()
            if now - child.started > HEALTHY:
                child.pause = FIRST_PAUSE
            LOG.error("%s %s; starts again in %.2f s", child.name, status, child.pause)
            child.due, child.pause = now + child.pause, min(LONGEST_PAUSE, child.pause * 2)

    def _next_due(self) -> float | None:
        dues = [child.due for child in self.children if child.due]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.due and child.due <= now and not self._stopping:
                try:
                    self._start(child)
                except OSError as error:
                    LOG.error("%s cannot be started: %s", child.name, error)
                    child.due = now + LONGEST_PAUSE

    def _replace_all(self) -> None:
        """Start each new child, and when it is ready end an old one. If one does not get ready, what is left stays."""
        assert self._reload is not None
        try:
            wanted = self._reload()
        except (RuntimeError, OSError) as error:
            LOG.error("not reloaded: %s", error)
            return
        old = {child.name: child for child in self.children}
        for new in wanted:
            if not self._starts(new):
                LOG.error("reloading stopped: %s did not get ready; what is not replaced yet stays", new.name)
                return
            if new.name in old:
                self._end(old.pop(new.name))
        for child in old.values():
            self._end(child)
        LOG.info("reloaded")

    def _starts(self, new: Child) -> bool:
        """Start a child and go on supervising until it is ready; False when it ends before, takes too long, or all stop."""
        self._start(new)
        deadline = time.monotonic() + REPLACE
        while not new.ready and not self._stopping and time.monotonic() < deadline:
            self._tend(1.0)
            ended = _ended(new)
            if ended:
                LOG.error("%s %s during the start", new.name, ended)
                self._close_pipe(new)
                return False
        self.children.append(new)
        if not new.ready:
            self._end(new)
        return new.ready

    def _end(self, child: Child) -> None:
        """Let a child answer what it has begun, and end it for good, while the others are supervised on."""
        self.children.remove(child)
        if child.ready and child.leave:
            _tell(child, child.leave)
            until = time.monotonic() + GOOD_BYE
            while _runs(child) and time.monotonic() < until and not self._stopping:
                self._tend(0.5)
        _tell(child, signal.SIGTERM)
        asked = time.monotonic()
        while _runs(child):
            if time.monotonic() - asked > (STOP if self._stopping else REPLACE):
                LOG.warning("%s did not end, killing it", child.name)
                _kill(child)
            else:
                self._tend(0.5)
        self._close_pipe(child)

    def _tend(self, longest: float) -> None:
        """A moment of supervising, `longest` seconds at most: who died is started again."""
        due = self._next_due()
        self._wait(longest if due is None else min(longest, due))
        self._reap(first_start=False)
        self._start_due()

    def _stop(self) -> None:
        """End the children, the last started first; a second signal, or STOP seconds, and they are killed."""
        asked = self._stopping
        self._before_stop()
        self._take_leave(asked)
        deadline = time.monotonic() + STOP
        alive = [child for child in reversed(self.children) if child.pid]
        for position, child in enumerate(alive):
            os.kill(child.pid, signal.SIGTERM)
            # each may use its share of what is left
            until = time.monotonic() + (deadline - time.monotonic()) / (len(alive) - position)
            while _ended(child) is None:
                left = until - time.monotonic()
                if left <= 0 or self._stopping > asked + 1:
                    LOG.warning("%s did not stop, killing it", child.name)
                    _kill(child)
                    break
                self._wait(min(left, 0.5))

    def _take_leave(self, asked: int) -> None:
        """Let those who can end their connections with the next answers, for a moment, or until a second signal."""
        leaving = [child for child in self.children if child.leave and child.ready]
        for child in leaving:
            _tell(child, child.leave)
        until = time.monotonic() + GOOD_BYE
        while (left := until - time.monotonic()) > 0 and self._stopping == asked and any(map(_runs, leaving)):
            self._wait(left)


def end_with(parent: int) -> None:
    """Let this process be killed when its parent ends, whatever ends it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def name_process(name: str) -> None:
    """The name of this process in top(1) and in the log."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, f"weft-{name}".encode()[:15])
    multiprocessing.current_process().name = name


def spare_memory() -> None:
    """Two heaps are enough for all threads (the C library would give each its own), and large blocks are given back."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_ARENA_MAX, 2)
    libc.mallopt(M_MMAP_THRESHOLD, LARGE)


def _say_ready(writer: int) -> None:
    os.write(writer, b".")
    os.close(writer)


def _tell(child: Child, number: int) -> None:
    if child.pid:
        os.kill(child.pid, number)


def _kill(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    child.pid = 0


def _runs(child: Child) -> bool:
    _ended(child)
    return child.pid > 0


def _ended(child: Child) -> str | None:
    """How a child ended, in words, once; None while it runs or if it was noted before."""
    if not child.pid:
        return None
    pid, status = os.waitpid(child.pid, os.WNOHANG)
    if not pid:
        return None
    child.pid = 0
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
