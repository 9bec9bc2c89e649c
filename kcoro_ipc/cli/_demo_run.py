"""The demo's course: a daemon, four workers and the judge who compares what arrived with the disk.

No output here: the judge tells a `Show` how far each worker is, `demo.py` draws.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from kcoro_ipc import blocking
from kcoro_ipc.cli._demo_material import Result, expected, library
from kcoro_ipc.cli._demo_work import REPORTS
from kcoro_ipc.cli.exits import OutsideError
from kcoro_ipc.embedded import embedded_daemon
from kcoro_ipc.errors import TimedOut
from kcoro_ipc.metrics import ChannelSnapshot

ROLES = ("producer", "consumer")
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
def own_daemon() -> Iterator[str]:
    """A daemon on a private socket; the path of that socket."""
    with tempfile.TemporaryDirectory(prefix="kcoro-") as folder, ExitStack() as stack:
        try:
            daemon = stack.enter_context(embedded_daemon(Path(folder, "kcoro.sock")))
        except RuntimeError as error:
            raise OutsideError(f"the demo cannot run: {error}; mend that, or report it") from None
        yield daemon.path


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
            socket = stack.enter_context(own_daemon())
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
                why = words_of(failed[0])
                raise OutsideError(f"a process of the demo failed: {why}; report it") from None
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
