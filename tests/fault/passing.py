"""What the tests of passed files share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import _wire
from tests.e2e.harness import running_daemon
from tests.fault.house import House
from tests.fault.sharer import Sharer

BUFFERED = {"KIND": 1, "CAPACITY": 64}
MOST = _wire.MAX_MESSAGE_FILES

both_transports = pytest.mark.parametrize("transport", ["stream", "seqpacket"])


def pipe_of(peer: Sharer, text: bytes) -> int:
    """The reading end of a pipe that holds `text`; closed with the peer."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return peer.own(reading)


def send(peer: Sharer, chan: int, files: list[int], data: bytes = b"x") -> Any:
    return peer.ask_files("CHAN_SEND", files, CHAN_ID=chan, TIMEOUT_MS=0, ELEMENT=data)


def texts(answer: Any) -> list[bytes]:
    """What the pipes of an answer hold."""
    return [os.read(number, 100) for number in answer["files"]]


@contextmanager
def house_with(*limits: str) -> Iterator[House]:
    """One that every user may connect to."""
    directory = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    directory.chmod(0o755)
    options = [word for limit in limits for word in ("--limit", limit)]
    try:
        with running_daemon(directory, "--socket-mode", "666", *options) as daemon:
            made = House(daemon)
            yield made
            made.check()
            made.finish()
    finally:
        shutil.rmtree(directory)
