"""Clients that connect again: a daemon is killed and started again at the same path, in each state
of what it was doing for them. Memory that is shared: test_clients_reconnect_memory.py; who waits
for a daemon: test_clients_reconnect_waiting.py."""

import threading
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import blocking
from kcoro_ipc.errors import (
    ClosedResourceError,
    ConnectionLost,
    KcoroError,
    NoSuchChannel,
)
from tests.e2e.clients.restarted import SIZE, Restarted, call, loses


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
