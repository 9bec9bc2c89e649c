"""The demo's course: a daemon, four workers and the judge who compares what arrived with the disk.

No output here: the judge tells a `Show` how far each worker is, `demo.py` draws.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from kcoro_ipc import blocking
from kcoro_ipc.cli._demo_material import Result, expected, library
from kcoro_ipc.cli._demo_work import REPORTS
from kcoro_ipc.cli.exits import OutsideError
from kcoro_ipc.errors import NoDaemon, TimedOut
from kcoro_ipc.metrics import ChannelSnapshot

ROLES = ("producer", "consumer")
READY_LIMIT_S = 20.0
READY_PAUSE_S = 0.01
CHECK_EVERY_S = 0.25
STOP_LIMIT_S = 10.0
LINES_CAPACITY = 256

Show = Callable[[str, str, int], None]  # role, stream, messages so far


class Verdict(NamedTuple):
    """One stream: what should have arrived, what did, how long it took, the channel's counters."""

    stream: str
    wanted: Result
    sent: Result
    received: Result
    seconds: float
    statistics: ChannelSnapshot

    @property
    def good(self) -> bool:
        """Everything arrived once, and the channel's own counters say the same."""
        counted = (self.statistics.total_sends, self.statistics.acks, self.statistics.depth)
        whole = self.wanted == self.sent == self.received
        return whole and counted == (self.wanted.messages, self.wanted.messages, 0)


@contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that ends with the block, by force if it must; its stdin ends with us."""
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.communicate(timeout=STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                child.kill()


@contextmanager
def embedded_daemon() -> Iterator[str]:
    """A daemon on a private socket; the path of that socket."""
    with tempfile.TemporaryDirectory(prefix="kcoro-") as folder:
        socket = f"{folder}/kcoro.sock"
        listen = ("--listen", f"stream:{socket}")
        # --until-eof: it ends with us, however we end.
        with process("kcoro_ipc", "serve", *listen, "--quiet", "--until-eof") as daemon:
            wait_until_ready(socket, daemon)
            yield socket


def wait_until_ready(socket: str, daemon: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + READY_LIMIT_S
    while True:
        try:
            with blocking.open_client(socket) as client:
                return client.ping()
        except NoDaemon:
            if daemon.poll() is not None or time.monotonic() > limit:
                raise OutsideError(f"the demo's daemon did not start: {words_of(daemon)}") from None
        time.sleep(READY_PAUSE_S)


def words_of(child: subprocess.Popen[bytes]) -> str:
    """The last line that a process which has ended wrote on stderr."""
    if child.poll() is None:
        return "it does not answer"
    assert child.stderr is not None
    lines = child.stderr.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it exited with {child.returncode} and said nothing"


class Judge:
    """Knows what has to arrive and collects what the workers tell."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wanted = {stream: expected(stream, root) for stream in ("files", "lines")}
        self._results: dict[tuple[str, str], Result] = {}
        self._seconds: dict[str, float] = {}

    def run(self, show: Show) -> list[Verdict]:
        with ExitStack() as stack:
            socket = stack.enter_context(embedded_daemon())
            client = stack.enter_context(blocking.open_client(socket, name="demo judge"))
            channels = {
                "files": client.make_channel("files", kind="rendezvous"),
                "lines": client.make_channel("lines", kind="buffered", capacity=LINES_CAPACITY),
            }
            reports = client.make_channel(REPORTS, kind="buffered", capacity=64, codec="json")
            workers = [
                stack.enter_context(self._worker(role, stream, socket))
                for stream in channels
                for role in ROLES
            ]
            while len(self._results) < len(workers):
                self._listen(reports, workers, show)
            counters = {stream: channel.statistics() for stream, channel in channels.items()}
        return [self._verdict(stream, counters[stream]) for stream in counters]

    def _worker(
        self, role: str, stream: str, socket: str
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        return process("kcoro_ipc.cli._demo_work", role, stream, socket, str(self.root))

    def _listen(
        self, reports: blocking.Channel, workers: list[subprocess.Popen[bytes]], show: Show
    ) -> None:
        try:
            report = reports.receive(timeout=CHECK_EVERY_S)
        except TimedOut:
            if failed := [worker for worker in workers if worker.poll()]:
                raise OutsideError(f"a process of the demo failed: {words_of(failed[0])}") from None
            return
        role, stream = report["role"], report["stream"]
        show(role, stream, report["messages"])
        if report["done"]:
            told = Result(report["messages"], report["bytes"], report["sha256"])
            self._results[role, stream] = told
            self._seconds[stream] = max(report["seconds"], self._seconds.get(stream, 0.0))

    def _verdict(self, stream: str, counters: ChannelSnapshot) -> Verdict:
        sent, received = (self._results[role, stream] for role in ROLES)
        return Verdict(stream, self.wanted[stream], sent, received, self._seconds[stream], counters)


def prepare() -> Judge:
    return Judge(library())
