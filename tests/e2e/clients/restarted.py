"""A daemon that is killed and started again at the same path, under clients that connect again."""

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import blocking
from kcoro_ipc.errors import (
    KcoroError,
    NoSuchChannel,
)
from tests.e2e.harness import DaemonProcess

SIZE = 64 << 10


class Restarted:
    """A daemon that is killed and started again at one path."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.daemon: DaemonProcess | None = None
        self.path = str(directory / "d.sock")

    def start(self) -> None:
        self.daemon = DaemonProcess(self._directory)

    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon = None

    def again(self) -> None:
        self.kill()
        self.start()

    def again_in_order(self) -> None:
        assert self.daemon is not None
        self.daemon.signal(signal.SIGTERM)
        assert self.daemon.wait() == 0
        self.start()

    def wait_for(self, name: str, side: str = "receive") -> None:
        """Until somebody waits at the channel."""
        with blocking.open_client(self.path) as probe:
            while not any(waiter.side == side for waiter in waiters(probe, name)):
                pass


def waiters(probe: blocking.Client, name: str) -> list[Any]:
    with suppress(NoSuchChannel):
        return probe.list_waiters(name)
    return []


@pytest.fixture
def town(socket_dir: Path) -> Iterator[Restarted]:
    found = Restarted(socket_dir)
    found.start()
    yield found
    if found.daemon is not None:
        found.daemon.kill()


@pytest.fixture
def renewing(either: Any, town: Restarted) -> Callable[..., Any]:
    return lambda **more: either.open(town.path, **({"reconnect": True} | more))


async def call(either: Any, method: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """For what waits: the blocking client's methods in a thread."""
    if either.kind == "blocking":
        return await trio.to_thread.run_sync(lambda: method(*arguments, **more))
    return await method(*arguments, **more)


async def loses(
    town: Restarted,
    waits_at: str,
    side: str,
    work: Callable[[], Any],
    restart: Callable[[Restarted], None] = Restarted.again,
) -> KcoroError:
    """The error by which `work` ends when the daemon is restarted under it."""
    found: list[KcoroError] = []

    async def run() -> None:
        try:
            await work()
        except KcoroError as error:
            found.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.to_thread.run_sync(town.wait_for, waits_at, side)
        await trio.to_thread.run_sync(restart, town)
    return found[0]
