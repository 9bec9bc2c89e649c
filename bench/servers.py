"""The programs that the load clients talk to: started on private Unix sockets, waited for, stopped.

Not here: what they are (floor: native/floor_broker.c; peers: peers/, redis-server; ours: `kcoro
serve`). Invariants: nothing listens outside the case's own directory, nothing is kept on disk,
every server dies with the harness, and "ready" is a connection that was accepted, not a time that
has passed.
"""

from __future__ import annotations

import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import processes, tools
from bench.model import FailedError, Pin, Settings, SkippedError

READY_LIMIT_S = 20.0
STOP_LIMIT_S = 10.0


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and its process."""

    path: str
    pid: int


def command(name: str, path: str, settings: Settings) -> Sequence[str]:
    """The command line that makes `name` listen on `path`. Raises SkippedError."""
    match name:
        case "floor":
            return (str(tools.native("floor_broker")), path)
        case "redis":
            return _redis(path, settings)
        case "ours":
            return _ours(path, settings)
        case "ours, io thread":
            return (*_ours(path, settings), "--io", "thread")
        case "deque":
            return (sys.executable, "-m", "bench.peers.deque_broker", path)
        case "zmq":
            tools.module("zmq", "pyzmq", settings)
            return (sys.executable, "-m", "bench.peers.zmq_proxy", path)
        case "dbus":
            return _dbus(path)
    raise KeyError(name)


def _ours(path: str, settings: Settings) -> Sequence[str]:
    if shutil.which(settings.kcoro) is None:
        raise SkippedError(f"{settings.kcoro} is not installed")
    return (settings.kcoro, "serve", "--listen", f"stream:{path}")


def _redis(path: str, settings: Settings) -> Sequence[str]:
    program = tools.program("redis-server", "redis-tools", settings, also="redis-check-rdb")
    unlisted = ("--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no")
    return (program, *unlisted, "--daemonize", "no", "--dir", str(Path(path).parent))


def _dbus(path: str) -> Sequence[str]:
    program = shutil.which("dbus-daemon")
    if program is None:
        raise SkippedError("dbus-daemon is not installed")
    config = Path(path).with_suffix(".conf")
    config.write_text(
        f"<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>"
        '<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/>'
        '<allow own="*"/></policy>'
        "</busconfig>"
    )
    return (program, f"--config-file={config}", "--nofork", "--nopidfile")


@contextmanager
def running(name: str, directory: Path, pin: Pin, settings: Settings) -> Iterator[Server]:
    """Runs the server for as long as the block lasts."""
    path = str(directory / (name.replace(", ", "-").replace(" ", "-") + ".sock"))
    log = Path(path).with_suffix(".log")
    process = spawn(command(name, path, settings), pin, log)
    try:
        await_socket(path, process, log)
        yield Server(path, process.pid)
    finally:
        stop(process)


def spawn(words: Sequence[str], pin: Pin, log: Path) -> subprocess.Popen[bytes]:
    """Starts a program that dies with us, on the case's cpu, with all descriptors it may have."""

    def prepare() -> None:
        processes.settle(pin)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    program = words[0]
    if Path(program).name == "redis-check-rdb":  # the same binary: its first word chooses
        words = ("redis-server", *words[1:])
    with log.open("wb") as stream:
        return subprocess.Popen(
            words,
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            preexec_fn=prepare,
        )


def await_socket(path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when a connection was accepted by the kernel for that listener."""
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.002)
    stop(process)
    raise FailedError(f"{process.args!r} did not listen on {path}:\n{tail(log)}")


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGINT is "at once" for ours, a clean end for the others; SIGKILL for who does not hear."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
