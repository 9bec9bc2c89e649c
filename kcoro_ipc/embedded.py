"""A daemon of one's own in a process beside: for the demo, for tests, for trying things.

It is the real `kcoro serve` on a private socket. It ends with the block, and also when the program
that started it dies, because its standard input ends then.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

READY_S = 30.0
END_S = 15.0


@dataclass(frozen=True, slots=True)
class EmbeddedDaemon:
    """`path`: of the stream socket; `seqpacket_path` of the other one."""

    path: str
    seqpacket_path: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def embedded_daemon(
    path: str | os.PathLike[str],
    options: Sequence[str] = (),
    *,
    log_level: str = "warning",
    log: IO[bytes] | None = None,
) -> Iterator[EmbeddedDaemon]:
    """A daemon that is ready, listening at `path` and, for packets, at its neighbour `*-seq.sock`.

    `options` are more words for `kcoro serve`. Its log goes to `log`, or to our stderr.
    RuntimeError when it does not start; the log says why. The block's end sends SIGINT and waits.
    """
    stream = os.fspath(path)
    seqpacket = stream.removesuffix(".sock") + "-seq.sock"
    listen = ["--listen", f"stream:{stream}", "--listen", f"seqpacket:{seqpacket}"]
    own = ["--config", os.devnull, "--until-eof", "--log-level", log_level, "--quiet"]
    words = [*listen, *own, *options]
    with _started(words, log) as process:
        yield EmbeddedDaemon(stream, seqpacket, process)


@contextmanager
def _started(words: Sequence[str], log: IO[bytes] | None) -> Iterator["subprocess.Popen[bytes]"]:
    with tempfile.TemporaryDirectory(prefix="kc-") as directory:
        address = str(Path(directory, "notify"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(address)
            process = subprocess.Popen(
                [sys.executable, "-m", "kcoro_ipc.cli.serve", *words],
                stdin=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": address},
            )
            try:
                _wait_until_ready(manager, process)
                yield process
            finally:
                _end(process)


def _wait_until_ready(manager: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    """READY=1 comes, or the process ends, or the time is up."""
    manager.settimeout(0.05)
    for _ in range(int(READY_S / 0.05)):
        try:
            if b"READY=1" in manager.recv(4096):
                return
        except TimeoutError:
            if process.poll() is not None:
                break
    raise RuntimeError(f"the daemon did not become ready (exit status {process.poll()})")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(2)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
