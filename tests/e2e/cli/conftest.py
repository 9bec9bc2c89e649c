"""One daemon for each file of tests, and `kcoro` as a user's shell would start it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from kcoro_ipc import blocking
from kcoro_ipc.errors import NoDaemon

Finished = subprocess.CompletedProcess[bytes]
NUMBERS = count(1)
LIMIT_S = 60  # of one command; a test that hangs ends here, none is judged by its time


class Kcoro:
    """Runs command lines against one socket; what is left running is killed at the end."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self._started: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("KCORO")}
        return {**kept, "KCORO_SOCKET": self.socket}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "kcoro_ipc", *words]

    def __call__(self, *words: str, stdin: bytes = b"", **more: str) -> Finished:
        """To its end; `more` goes into the environment."""
        return subprocess.run(
            self.command(*words),
            input=stdin,
            capture_output=True,
            timeout=LIMIT_S,
            env={**self.environment(), **more},
        )

    def start(self, *words: str, **options: object) -> subprocess.Popen[bytes]:
        """In the background, with pipes; `options` are Popen's."""
        given: dict[str, object] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": self.environment(),
        }
        given.update(options)
        started: subprocess.Popen[bytes] = subprocess.Popen(self.command(*words), **given)  # type: ignore[call-overload]
        self._started.append(started)
        return started

    def name(self) -> str:
        """A channel that no other test uses."""
        test = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].split(" ")[0].split("[")[0]
        return f"{test}-{next(NUMBERS)}"

    def serve(self, path: str, *words: str) -> subprocess.Popen[bytes]:
        """A daemon of the test's own, ready."""
        daemon = self.start("serve", "--listen", f"stream:{path}", "--quiet", *words)
        wait_until_ready(path, daemon)
        return daemon

    def until_waiting(self, name: str, side: str, number: int = 1, path: str = "") -> None:
        """Returns once `number` operations of a side ("senders", "receivers") are parked.

        Asks the daemon again and again: the state itself is the condition, not a time.
        """
        with blocking.open_client(path or self.socket) as client:
            channel = client.open_channel(name, wait=True, timeout=LIMIT_S, write=False)
            limit = time.monotonic() + LIMIT_S
            while getattr(channel.statistics(), f"parked_{side}") < number:
                assert time.monotonic() < limit, f"nobody waits in {name}"

    def stop_all(self) -> None:
        for started in self._started:
            if started.poll() is None:
                started.kill()
            with suppress(ValueError):
                started.communicate()


def wait_until_ready(socket: str, daemon: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + LIMIT_S
    while daemon.poll() is None and time.monotonic() < limit:
        with suppress(NoDaemon), blocking.open_client(socket) as client:
            return client.ping()
    raise AssertionError(f"the daemon did not start: {daemon.poll()}")


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    """Where this file's daemon listens; it has to end well, too."""
    folder = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    path = str(folder / "kcoro.sock")
    words = [sys.executable, "-m", "kcoro_ipc", "serve", "--listen", f"stream:{path}"]
    log = (folder / "log").open("wb")
    with log, subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log) as daemon:
        try:
            wait_until_ready(path, daemon)
            yield path
        finally:
            daemon.terminate()
            daemon.wait(LIMIT_S)
            said = (folder / "log").read_text()
            shutil.rmtree(folder)
    assert "Traceback" not in said, said


@pytest.fixture
def kcoro(socket: str) -> Iterator[Kcoro]:
    running = Kcoro(socket)
    try:
        yield running
    finally:
        running.stop_all()


@pytest.fixture
def line_of() -> Callable[[Finished], str]:
    """The one line that a failed command said on stderr."""

    def line_of(finished: Finished) -> str:
        lines = finished.stderr.decode().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return line_of
