"""Clients that connect again: a daemon is killed and started again at the same path, in each state
of what it was doing for them."""

import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import blocking
from kcoro_ipc.errors import (
    ClosedResourceError,
    ConnectionLost,
    KcoroError,
    NoDaemon,
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
            while not any(waiter.side == side for waiter in _waiters(probe, name)):
                pass


def _waiters(probe: blocking.Client, name: str) -> list[Any]:
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


@pytest.mark.parametrize("first", ["send", "send_many", "large", "statistics", "ping", "select"])
async def test_an_idle_client_goes_on_as_if_nothing_had_happened(
    either: Any, town: Restarted, renewing: Any, first: str
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        await either.do(channel.send(b"lost with the daemon"))
        town.again()
        if first == "send":
            await either.do(channel.send(b"x"))
        elif first == "send_many":
            assert await either.do(channel.send_many([b"x", b"y"])) == 2
        elif first == "large":
            await either.do(channel.send(bytes(SIZE * 2)))
        elif first == "statistics":
            assert (await either.do(channel.statistics())).depth == 0
        elif first == "ping":
            await either.do(one.ping())
        else:
            assert (await either.do(one.select(channel.sending(b"x")))).index == 0
        assert one.reconnects == 1
        depth = {"send": 1, "send_many": 2, "large": 1, "statistics": 0, "ping": 0, "select": 1}
        assert (await either.do(channel.statistics())).depth == depth[first]
        assert channel.info.kind == "buffered"
        assert one.reconnects == 1


async def test_an_inbox_and_a_clone_of_an_idle_client_go_on(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        clone, inbox = channel.clone(), channel.acking()
        town.again()
        await either.do(clone.send(b"x"))
        job = await either.do(inbox.receive())
        assert (job.data, job.attempts) == (b"x", 0)
        await either.do(job.ack())
        await either.do(channel.aclose())
        await either.do(clone.send(b"y"))
        assert await either.do(clone.receive()) == b"y"
        await either.do(inbox.aclose())


async def test_what_is_asked_for_while_no_daemon_is_there_waits_for_it(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        town.kill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, either, channel.send, b"x")
            await trio.to_thread.run_sync(town.start)
        assert await either.do(channel.receive()) == b"x"
        assert one.reconnects == 1


async def test_a_client_that_is_opened_while_no_daemon_is_there_waits_for_it(
    either: Any, town: Restarted, renewing: Any
) -> None:
    town.kill()
    beside = threading.Thread(target=town.start)
    beside.start()
    async with renewing() as one:
        await either.do(one.ping())
        assert one.reconnects == 0
    beside.join()


async def test_a_parked_receive_ends_in_doubt_and_the_next_one_receives(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        error = await loses(town, "jobs", "receive", lambda: call(either, channel.receive))
        assert (type(error).__name__, error.in_doubt) == ("ConnectionLost", True)
        assert "nothing of ours is lost" in str(error)
        if either.kind == "trio":
            assert isinstance(error, trio.BrokenResourceError)
        await either.do(channel.send(b"x"))
        assert await either.do(channel.receive()) == b"x"
        assert one.reconnects == 1


async def test_a_daemon_that_goes_in_order_says_that_nothing_happened_and_the_next_one_serves(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        in_order = Restarted.again_in_order
        error = await loses(
            town, "jobs", "receive", lambda: call(either, channel.receive), in_order
        )
        assert (type(error).__name__, error.reason, error.in_doubt) == (
            "OperationCancelled",
            "shutting down",
            False,
        )
        await either.do(channel.send(b"x"))
        assert await either.do(channel.receive()) == b"x"
        assert one.reconnects == 1


async def test_a_parked_acking_receive_says_that_the_message_comes_again(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        inbox = channel.acking()
        error = await loses(town, "jobs", "receive", lambda: call(either, inbox.receive))
        assert error.in_doubt
        assert "delivered again" in str(error)
        await either.do(inbox.aclose())


async def test_an_unanswered_send_is_in_doubt_and_the_next_one_sends(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("meet", kind="rendezvous"))
        error = await loses(town, "meet", "send", lambda: call(either, channel.send, b"lost"))
        assert isinstance(error, ConnectionLost)
        assert error.in_doubt
        assert "this send is in doubt" in str(error)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, either, channel.send, b"x")
            with blocking.open_client(town.path) as other:
                receives = await trio.to_thread.run_sync(lambda: other.open_channel("meet"))
                assert await trio.to_thread.run_sync(receives.receive) == b"x"
        assert one.reconnects == 1


async def test_an_unanswered_select_is_in_doubt_and_the_next_one_opens_its_channels(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        first = await either.do(one.open_channel("first"))
        second = await either.do(one.open_channel("second", kind="buffered", capacity=1))
        error = await loses(
            town,
            "first",
            "receive",
            lambda: call(either, one.select, first.receiving(), second.receiving()),
        )
        assert error.in_doubt
        assert "one of its clauses" in str(error)
        done = await either.do(one.select(first.receiving(), second.sending(b"x")))
        assert done.index == 1
        assert await either.do(second.receive()) == b"x"


async def test_a_held_delivery_cannot_acknowledge_another_of_the_next_daemon(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        await either.do(channel.send(b"old"))
        inbox = channel.acking()
        old = await either.do(inbox.receive())
        town.again()
        await either.do(channel.send(b"new"))
        new = await either.do(inbox.receive())
        assert new.data == b"new"
        assert new.delivery_id == old.delivery_id, "only then is there something to confuse"
        with pytest.raises(ConnectionLost, match="delivered again") as caught:
            await either.do(old.ack())
        assert not caught.value.in_doubt
        found = await either.do(channel.statistics())
        assert (found.depth, found.acks) == (1, 0)
        await either.do(new.ack())
        assert (await either.do(channel.statistics())).acks == 1
        await either.do(inbox.aclose())


async def test_a_job_whose_connection_is_lost_raises_at_the_end_of_its_block(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("jobs", kind="buffered", capacity=4))
        await either.do(channel.send(b"work"))
        inbox = channel.acking()
        job = await either.do(inbox.receive())
        with pytest.raises(ConnectionLost, match="delivered again"):
            if either.kind == "trio":
                async with job:
                    town.again()
            else:
                with job:
                    town.again()
        await either.do(inbox.aclose())
        await either.do(channel.send(b"more"))


async def test_an_open_lease_can_be_read_and_its_release_tells_nobody(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("frames", kind="buffered", capacity=4))
        with one.loan(SIZE) as block:
            block[:5] = b"first"
            await either.do(channel.send(block))
        lease = await either.do(channel.receive_lease())
        assert lease.is_shared
        town.again()
        await either.do(one.ping())
        assert bytes(lease.data[:5]) == b"first"
        with one.loan(SIZE) as block:
            block[:6] = b"second"
            await either.do(channel.send(block))
        later = await either.do(channel.receive_lease())
        assert one.leases_open == 1
        lease.release()
        await either.do(one.ping())
        assert (one.leases_open, bytes(later.data[:6])) == (1, b"second")
        (region,) = one._connection.side.pool.regions
        assert not region.space.idle, "the release of the old lease freed the new one"
        later.release()
        await either.do(one.ping())
        assert one.leases_open == 0


async def test_a_block_of_the_lost_connection_refuses_to_be_sent_and_a_new_one_goes(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("frames", kind="buffered", capacity=4))
        with one.loan(SIZE) as block, one.loan(100) as small:
            town.again()
            for through in ("send", "small", "batch", "select"):
                with pytest.raises(ClosedResourceError, match="another loan"):
                    if through == "batch":
                        await either.do(channel.send_many([block]))
                    elif through == "select":
                        await either.do(one.select(channel.sending(block)))
                    else:
                        await either.do(channel.send(block if through == "send" else small))
            block[0] = 1
        with one.loan(SIZE) as block:
            await either.do(channel.send(block))
        found = await either.do(channel.statistics())
        assert (found.depth, found.zref_sent) == (1, 1)


@pytest.mark.parametrize("noticed", [False, True])
async def test_who_begins_with_a_loan_comes_to_the_next_connection(
    either: Any, town: Restarted, renewing: Any, noticed: bool
) -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    async with renewing() as one:
        channel = await either.do(one.open_channel("frames", kind="buffered", capacity=4))
        with one.loan(SIZE) as block:
            await either.do(channel.send(block))
        await either.do(channel.receive())
        town.kill()
        one._link._dialer.keep_trying = 0.01
        with pytest.raises(NoDaemon):
            await either.do(channel.send(b"x"))
        one._link._dialer.keep_trying = 30.0
        with one.loan(SIZE) as block, one.loan(SIZE) as never:
            never[0] = 1
            block[:4] = b"next"
            array = one.empty((SIZE,), "u1")
            array[:] = 7
            town.start()
            if noticed:
                await either.do(one.ping())
            await either.do(channel.send(block))
            await either.do(channel.send(array))
        lease = await either.do(channel.receive_lease())
        assert bytes(lease.data[:4]) == b"next"
        lease.release()
        got = await either.do(channel.receive_array())
        assert numpy.array_equal(got, array)
        found = await either.do(channel.statistics())
        assert (found.zref_sent, found.zref_fallback_capacity) == (2, 0)
        del got, array
        await either.do(one.ping())
        await either.do(one.ping())
        (region,) = one._connection.side.pool.regions
        assert region.space.idle
        assert one.reconnects == 1


async def test_an_array_of_the_lost_connection_goes_as_a_copy(
    either: Any, town: Restarted, renewing: Any
) -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    async with renewing() as one:
        channel = await either.do(one.open_channel("frames", kind="buffered", capacity=4))
        array = one.empty((SIZE,), "u1")
        array[:] = 7
        town.again()
        await either.do(one.ping())
        await either.do(channel.send(array))
        assert array.flags.writeable
        got = await either.do(channel.receive_array())
        assert numpy.array_equal(got, array)
        del got


async def test_numbers_and_anonymous_channels_are_refused_and_never_mean_another(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        named = await either.do(one.open_channel("named", kind="buffered", capacity=4))
        number = named.chan_id
        by_number = await either.do(one.open_channel(number))
        anonymous = await either.do(one.make_channel(kind="buffered", capacity=4))
        town.again()
        with blocking.open_client(town.path) as other:
            usurper = other.make_channel("usurper", kind="buffered", capacity=4)
            assert usurper.chan_id == number, "only then is there something to confuse"
            with pytest.raises(ClosedResourceError, match=f"{number} was opened by its number"):
                await either.do(by_number.send(b"x"))
            with pytest.raises(ClosedResourceError, match="anonymous channel ends"):
                await either.do(anonymous.try_send(b"x"))
            with pytest.raises(ClosedResourceError, match="opened by its number"):
                await either.do(by_number.receive())
            with pytest.raises(ClosedResourceError, match="opened by its number"):
                await either.do(one.select(by_number.receiving()))
            await either.do(named.send(b"mine"))
            assert named.chan_id != number
            assert usurper.statistics().depth == 0


async def test_channels_are_opened_again_as_they_were_asked_for(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        await either.do(one.make_channel("there", kind="unlimited"))
        existing = await either.do(one.open_channel("there", existing=True, read=False))
        mine = await either.do(one.open_channel("mine", ephemeral=True, exclusive=True))
        town.again()
        with pytest.raises(NoSuchChannel, match="there"):
            await either.do(existing.send(b"x"))
        with blocking.open_client(town.path) as other:
            other.make_channel("there", kind="conflated")
        await either.do(existing.send(b"x"))
        assert existing.info.kind == "conflated"
        with pytest.raises(KcoroError, match="read=False"):
            await either.do(existing.receive())
        assert (await either.do(mine.statistics())).depth == 0
        town.again()
        with blocking.open_client(town.path) as other:
            other.make_channel(
                "mine", ephemeral=True
            )  # so it is there, which is no surprise the second time
            assert (await either.do(mine.statistics())).depth == 0


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
