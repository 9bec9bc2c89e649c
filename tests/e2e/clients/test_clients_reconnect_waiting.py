"""Clients that connect again while no daemon is there: how long they wait, and what ends that."""

import re
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import blocking
from kcoro_ipc.errors import (
    ClosedResourceError,
    ConnectionLost,
    NoDaemon,
)
from tests.e2e.clients.restarted import Restarted


async def test_who_gives_up_says_so_and_tries_again_the_next_time(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        town.kill()
        one._link._dialer.keep_trying = 0.05  # only now: a loaded machine may need longer to open
        for ask in (lambda: channel.send(b"x"), channel.receive, one.ping):
            with pytest.raises(NoDaemon, match=re.escape("(tried for 0.05 s)")):
                await either.do(ask())
        town.start()
        one._link._dialer.keep_trying = 30.0
        await either.do(channel.send(b"x"))
        assert one.reconnects == 1


async def test_nobody_answers_at_the_beginning_either(either: Any, socket_dir: Path) -> None:
    with pytest.raises(NoDaemon, match="tried for"):
        async with either.open(str(socket_dir / "none"), reconnect=True, reconnect_timeout=0.02):
            pass


async def test_without_reconnect_a_lost_client_stays_lost(either: Any, town: Restarted) -> None:
    async with either.open(town.path) as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        town.again()
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="it did not happen; connect again") as caught:
                await either.do(channel.send(b"x"))
            assert not caught.value.in_doubt
        assert one.reconnects == 0


async def test_a_client_that_was_closed_does_not_connect_again(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs"))
        await either.do(one.aclose())
        for ask in (channel.receive, one.ping):
            with pytest.raises(ClosedResourceError, match="this client is closed"):
                await either.do(ask())
        assert one.reconnects == 0


async def test_trio_many_tasks_share_one_new_connection(town: Restarted) -> None:
    from kcoro_ipc import client

    async with client.open_client(town.path, reconnect=True) as one:
        channels = [await one.open_channel(f"jobs-{n}", kind="unlimited") for n in range(5)]
        town.again()
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(channels[number % 5].send, b"%d" % number)
        found = {await channels[number % 5].receive() for number in range(50)}
        assert found == {b"%d" % number for number in range(50)}
        assert one.reconnects == 1
        info = await one.info()
        assert (info.usage["connections"], info.usage["channels"]) == (1, 5)


async def test_trio_a_task_that_waits_for_the_daemon_is_cancelled_at_once(town: Restarted) -> None:
    from kcoro_ipc import client

    async with client.open_client(town.path, reconnect=True) as one:
        channel = await one.open_channel("jobs", kind="unlimited")
        town.kill()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(channel.send, b"never")
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert scope.cancelled_caught
        town.start()
        assert (await channel.statistics()).depth == 0


async def test_trio_closing_the_client_ends_who_waits_for_the_daemon(town: Restarted) -> None:
    from kcoro_ipc import client

    async with client.open_client(town.path, reconnect=True) as one:
        channel = await one.open_channel("jobs", kind="unlimited")
        town.kill()
        ended: list[str] = []

        async def wait() -> None:
            with pytest.raises(ClosedResourceError, match="this client is closed"):
                await channel.receive()
            ended.append("closed")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await one.aclose()
        assert ended == ["closed", "closed"]


async def test_each_time_is_counted_and_has_a_line_in_the_log(
    either: Any, town: Restarted, renewing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kcoro_ipc")
    async with renewing() as one:
        for number in (1, 2):
            town.again()
            await either.do(one.ping())
            assert one.reconnects == number
    assert [record.message for record in caplog.records if record.name == "kcoro_ipc"] == [
        "connected to the daemon again, time 1",
        "connected to the daemon again, time 2",
    ]


def test_a_blocking_timeout_bounds_the_waiting_for_the_daemon(town: Restarted) -> None:
    with blocking.open_client(town.path, reconnect=True) as one:
        channel = one.open_channel("jobs", kind="unlimited")
        town.kill()
        with pytest.raises(NoDaemon, match=re.escape("tried for 0.02 s")):
            channel.receive(timeout=0.02)
        with pytest.raises(NoDaemon):
            channel.try_receive()
        town.start()
        channel.send(b"x", timeout=30)
        assert channel.receive(timeout=30) == b"x"


ACTIVATED = (
    "import os, sys\n"
    "os.dup2(int(sys.argv[1]), 3)\n"
    "os.set_inheritable(3, True)\n"
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
    "words = ['-m', 'kcoro_ipc.cli.serve', '--quiet', '--until-eof']\n"
    "os.execv(sys.executable, [sys.executable, *words])\n"
)


class Manager:
    """As a service manager: it holds the socket, and starts a daemon when somebody knocks."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.daemon: subprocess.Popen[bytes] | None = None

    def start_on_demand(self) -> threading.Thread:
        beside = threading.Thread(target=self._start)
        beside.start()
        return beside

    def _start(self) -> None:
        select.select([self.listener], [], [])
        number = self.listener.fileno()
        words = [sys.executable, "-c", ACTIVATED, str(number)]
        self.daemon = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[number])

    def kill(self) -> None:
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()
            assert self.daemon.stdin is not None
            self.daemon.stdin.close()
            self.daemon = None


@pytest.fixture
def manager(socket_dir: Path) -> Iterator[Manager]:
    found = Manager(socket_dir / "held")
    yield found
    found.kill()
    found.listener.close()


async def test_with_socket_activation_a_client_waits_for_the_daemon_that_it_wakes(
    either: Any, manager: Manager, socket_dir: Path
) -> None:
    """connect(2) succeeds while no daemon is there; the answer to HELLO comes when it is."""
    beside = manager.start_on_demand()
    async with either.open(str(socket_dir / "held"), reconnect=True) as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        beside.join()
        manager.kill()
        beside = manager.start_on_demand()
        await either.do(channel.send(b"x"))
        beside.join()
        assert await either.do(channel.receive()) == b"x"
        assert one.reconnects == 1
