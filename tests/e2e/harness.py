"""A daemon process that a test starts, looks into, signals and ends.

Unlike kcoro_ipc.embedded it keeps the log, counts descriptors and memory, and leaves the ending to
the test. Nothing sleeps: readiness is READY=1 at a notify socket, an end is wait(2).
"""

import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

STUCK_S = 60.0  # who does not answer for so long hangs; no assertion about speed


class DaemonProcess:
    """A running `kcoro serve` with a stream and a seqpacket listener in `directory`."""

    def __init__(
        self, directory: Path, options: Sequence[str] = (), *, log_level: str = "info"
    ) -> None:
        self.directory = directory
        self.stream = str(directory / "d.sock")
        self.seqpacket = str(directory / "d-seq.sock")
        self.log_path = directory / f"log-{len(list(directory.glob('log-*')))}"
        words = ["--listen", f"stream:{self.stream}", "--listen", f"seqpacket:{self.seqpacket}"]
        words += ["--config", os.devnull, "--until-eof", "--quiet", "--log-level", log_level]
        words += options
        self.process = self._start(words)

    def _start(self, words: Sequence[str]) -> "subprocess.Popen[bytes]":
        notify = str(self.directory / f"notify-{os.getpid()}")
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
            self.log_path.open("wb") as log,
        ):
            manager.bind(notify)
            process = subprocess.Popen(
                [sys.executable, "-m", "kcoro_ipc.cli.serve", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": notify},
            )
            self.process = process
            try:
                self._wait_until_ready(manager, process)
            except BaseException:
                self.kill()
                raise
            finally:
                os.unlink(notify)
        return process

    def _wait_until_ready(self, manager: socket.socket, process: "subprocess.Popen[bytes]") -> None:
        pidfd = os.pidfd_open(process.pid)
        try:
            readable, _, _ = select.select([manager, pidfd], [], [], STUCK_S)
        finally:
            os.close(pidfd)
        if manager not in readable:
            raise AssertionError(f"the daemon did not become ready:\n{self.log()}")
        assert b"READY=1" in manager.recv(4096)

    # --- looking ---

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_bytes(self) -> int:
        """Anonymous memory in use: file pages of the interpreter come and go as they like."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon in /proc")

    def limit_descriptors(self, most: int) -> int:
        """Sets the soft limit of open files of the running daemon; the one before."""
        soft, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (most, hard))
        return soft

    # --- using ---

    def path(self, transport: str = "stream") -> str:
        return self.stream if transport == "stream" else self.seqpacket

    def address(self, transport: str = "stream") -> str:
        """What KCORO_SOCKET and open_client take."""
        return f"{transport}:{self.path(transport)}"

    def connect(self, transport: str = "stream") -> socket.socket:
        kind = socket.SOCK_STREAM if transport == "stream" else socket.SOCK_SEQPACKET
        connected = socket.socket(socket.AF_UNIX, kind)
        try:
            connected.settimeout(STUCK_S)
            connected.connect(self.path(transport))
        except BaseException:
            connected.close()
            raise
        return connected

    # --- ending ---

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What is done to its sockets in the block, it finds all at once."""
        self.signal(signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)
            yield
        finally:
            self.signal(signal.SIGCONT)

    def wait(self) -> int:
        """The exit status."""
        status = self.process.wait(STUCK_S)
        self._close_stdin()
        return status

    def stop(self) -> int:
        """SIGINT; the exit status."""
        if self.alive():
            self.signal(signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._close_stdin()

    def _close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()


@contextmanager
def running_daemon(
    directory: Path, *options: str, log_level: str = "info"
) -> Iterator[DaemonProcess]:
    """A daemon that ends with the block; its log is shown when the block fails."""
    daemon = DaemonProcess(directory, options, log_level=log_level)
    try:
        yield daemon
    except BaseException:
        if daemon.alive():
            daemon.kill()
        print(f"--- log of the daemon ---\n{daemon.log()}")
        raise
    if daemon.alive():
        try:
            daemon.stop()
        except subprocess.TimeoutExpired:
            daemon.kill()
            raise
    daemon._close_stdin()
