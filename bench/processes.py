"""Worker processes of a load: forked, pinned, started together, bounded in time, gone when we are.

Not a pool. `run` forks one process per worker; each prepares itself, calls the gate it is given,
and does its timed work; what it returns is pickled back. Invariants: no child outlives `run`; the
gate opens for all at once, after all are ready; a worker that fails or is late fails the whole
run with its traceback. The harness itself has one thread, which is what makes fork safe here.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from bench.model import FailedError, Pin

Gate = Callable[[], None]
Worker = Callable[[Gate], Any]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


def settle(pin: Pin) -> None:
    """What every process of a bench does first: die with its parent, stand where it should."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if pin is Pin.SAME:
        os.sched_setaffinity(0, {0})


@dataclass
class _Child:
    pid: int
    ready_fd: int
    result_fd: int


def run(workers: Sequence[Worker], pin: Pin, limit_s: float) -> list[Any]:
    """Runs every worker in its own process; the results in the same order. Raises FailedError."""
    deadline = time.monotonic() + limit_s
    gate_read, gate_write = os.pipe()
    children: list[_Child] = []
    try:
        for worker in workers:
            children.append(_fork(worker, pin, gate_read, gate_write))
        for child in children:
            _await_ready(child, deadline)
        os.close(gate_write)  # end of file reaches every gate at the same moment
        gate_write = -1
        return [_result(child, deadline) for child in children]
    finally:
        os.close(gate_read)
        if gate_write >= 0:
            os.close(gate_write)
        for child in children:
            _end(child)


def _fork(worker: Worker, pin: Pin, gate_read: int, gate_write: int) -> _Child:
    ready_read, ready_write = os.pipe()
    result_read, result_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate_write)
        _child(worker, pin, gate_read, ready_write, result_write)
    os.close(ready_write)
    os.close(result_write)
    return _Child(pid, ready_read, result_read)


def _child(worker: Worker, pin: Pin, gate_fd: int, ready_fd: int, result_fd: int) -> NoReturn:
    def gate() -> None:
        os.write(ready_fd, b"r")
        os.read(gate_fd, 1)

    try:
        settle(pin)
        payload = pickle.dumps((True, worker(gate)))
    except BaseException:  # noqa: BLE001  the traceback belongs to the parent, whatever it is
        payload = pickle.dumps((False, traceback.format_exc()))
    with open(result_fd, "wb") as stream:
        stream.write(payload)
    os._exit(0)


def _await_ready(child: _Child, deadline: float) -> None:
    _await(child.ready_fd, deadline, "did not get ready")
    if os.read(child.ready_fd, 1) != b"r":
        _result(child, deadline)
        raise FailedError("a worker ended before its work began")


def _result(child: _Child, deadline: float) -> Any:
    parts = []
    while True:
        _await(child.result_fd, deadline, "did not finish")
        part = os.read(child.result_fd, 1 << 16)
        if not part:
            break
        parts.append(part)
    if not parts:
        raise FailedError("a worker died without a result")
    good, value = pickle.loads(b"".join(parts))
    if not good:
        raise FailedError(value)
    return value


def _await(fd: int, deadline: float, what: str) -> None:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise FailedError(f"a worker {what} in time")


def _end(child: _Child) -> None:
    with suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    os.close(child.ready_fd)
    os.close(child.result_fd)
