"""One daemon for each file of tests; its log must hold no traceback at the end."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from inspect import isawaitable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kcoro_ipc import blocking, client
from kcoro_ipc.embedded import embedded_daemon
from tests.e2e.clients.restarted import renewing, town

__all__ = ["renewing", "town"]  # fixtures

NUMBERS = count(1)


class Daemon(NamedTuple):
    """Addresses as open_client takes them."""

    stream: str
    seqpacket: str
    pid: int


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    # An AF_UNIX path holds 107 bytes, so pytest's tmp_path is too long.
    directory = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    log = directory / "log"
    try:
        with (
            log.open("wb") as output,
            embedded_daemon(directory / "s.sock", log_level="info", log=output) as found,
        ):
            yield Daemon(found.path, f"seqpacket:{found.seqpacket_path}", found.process.pid)
        # 1 says that a test left messages in a channel.
        assert found.process.returncode in (0, 1), log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        shutil.rmtree(directory)


@pytest.fixture(params=["stream", "seqpacket"])
def address(daemon: Daemon, request: pytest.FixtureRequest) -> str:
    return daemon.stream if request.param == "stream" else daemon.seqpacket


@pytest.fixture
def name() -> str:
    """A channel that no other test uses."""
    return f"channel-{next(NUMBERS)}"


class Either:
    """One of the two clients behind the trio client's face: the same test body runs with both."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    @asynccontextmanager
    async def open(self, address: str, **settings: Any) -> AsyncIterator[Any]:
        if self.kind == "trio":
            async with client.open_client(address, **settings) as found:
                yield found
        else:
            with blocking.open_client(address, **settings) as found:
                yield found

    async def do(self, result: Any) -> Any:
        """What a method gives: the trio client's are awaited."""
        return await result if isawaitable(result) else result


@pytest.fixture(params=["blocking", "trio"])
def either(request: pytest.FixtureRequest) -> Either:
    return Either(request.param)
