"""Copies for which the daemon has no region left go as bytes, and what is broken off then says how
far it came; regions that are dropped are dropped in the end."""

import os
import signal
import threading
from typing import Any

import pytest
import trio

from kcoro_ipc import blocking, tlv
from kcoro_ipc.client import open_client
from kcoro_ipc.errors import KC_ECANCELED, KC_EDQUOT, KC_ENOENT
from tests.unit.clients.conftest import reply_to
from tests.unit.clients.peers import descriptor, ranges_of, serve_region

KIB, MIB = 1 << 10, 1 << 20
LARGE = bytes(300 * KIB)
NO_FRAME = b"\xff" * 8


def has_no_region(peer: Any) -> None:
    peer.serve("REGION_ADD", KC_EDQUOT)
    os.close(peer.files.pop())


def breaks_after_the_first(peer: Any) -> None:
    peer.opens(ELEM_SIZE=16 * MIB)
    has_no_region(peer)
    peer.socket.sendall(reply_to(peer.expect("CHAN_SEND", ELEMENT=LARGE)) + NO_FRAME)


def test_a_batch_of_bytes_that_breaks_before_the_second_counts_the_first(shared: Any) -> None:
    with shared(breaks_after_the_first) as path, blocking.open_client(path) as client:
        assert client.make_channel("frames").send_many([LARGE, LARGE]) == 1


async def test_a_trio_batch_of_bytes_that_breaks_before_the_second_counts_the_first(
    shared: Any,
) -> None:
    with shared(breaks_after_the_first) as path:
        async with open_client(path) as client:
            channel = await client.make_channel("frames")
            assert await channel.send_many([LARGE, LARGE]) == 1


async def test_a_batch_of_bytes_that_is_cancelled_at_the_second_counts_the_first(
    shared: Any,
) -> None:
    waits = threading.Event()

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        has_no_region(peer)
        peer.serve("CHAN_SEND", ELEMENT=LARGE)
        frame = peer.expect("CHAN_SEND", ELEMENT=LARGE)
        waits.set()
        peer.expect("CANCEL")
        peer.reply(frame, KC_ECANCELED)
        peer.serve("CHAN_RELEASE")

    counts: list[int] = []

    async def send(channel: Any, scope: trio.CancelScope) -> None:
        with scope:
            counts.append(await channel.send_many([LARGE, LARGE, LARGE]))

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            scope = trio.CancelScope()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, channel, scope)
                await trio.to_thread.run_sync(waits.wait)
                scope.cancel()
    assert counts == [1]


async def test_what_went_as_bytes_takes_no_range_from_who_got_its_memory_next(shared: Any) -> None:
    waits = threading.Event()

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        has_no_region(peer)
        first = peer.expect("CHAN_SEND", ELEMENT=LARGE)
        waits.set()
        number, _ = serve_region(peer, 77)
        os.close(number)
        (sent,) = ranges_of(peer.serve("CHAN_SEND", ELEMENT=None))
        assert sent[:2] == (77, 0)
        peer.expect("CANCEL")
        peer.reply(first, KC_ECANCELED)
        ping = peer.expect("PING")  # the cancelled task has ended by now
        freed = tlv.build_frame("REGION_FREED", [("DESC", descriptor(*sent, 0))], 1)
        peer.socket.sendall(freed)
        peer.reply(ping)
        peer.serve("CHAN_RELEASE")

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(channel.send_many, [LARGE])
                await trio.to_thread.run_sync(waits.wait)
                await channel.send(LARGE)
                nursery.cancel_scope.cancel()
            await client.ping()
            (region,) = client._connection.side.pool.regions
            assert (region.region_id, region.sent, region.space.idle) == (77, {}, True)


def is_cancelled_while_it_drops(peer: Any, stop: Any) -> None:
    """The first region is dropped and the client stopped meanwhile; the next send drops it."""
    peer.opens(ELEM_SIZE=16 * MIB)
    number, _ = serve_region(peer, 77)
    os.close(number)
    (sent,) = ranges_of(peer.serve("CHAN_SEND"))
    peer.socket.sendall(tlv.build_frame("REGION_FREED", [("DESC", descriptor(*sent, 0))], 1))
    peer.serve("PING")
    frame = peer.expect("REGION_DROP", REGION_ID=77)
    stop()
    peer.expect("CANCEL")
    peer.reply(frame, KC_ECANCELED)
    peer.serve("REGION_DROP", KC_ENOENT, REGION_ID=77)
    number, _ = serve_region(peer, 78)
    os.close(number)
    peer.serve("CHAN_SEND")


class Interrupt(Exception):
    pass


def test_an_interrupted_drop_is_made_up_for_by_the_next_send(shared: Any) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupt

    def script(peer: Any) -> None:
        is_cancelled_while_it_drops(peer, lambda: os.kill(os.getpid(), signal.SIGUSR1))

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with shared(script) as path, blocking.open_client(path) as client:
            channel = client.make_channel("frames")
            channel.send(LARGE)
            client.ping()
            pool = client._connection.side.pool
            pool._drop_idle(0)
            with pytest.raises(Interrupt):
                channel.send(LARGE)
            channel.send(LARGE)
            assert pool.doomed == []
    finally:
        signal.signal(signal.SIGUSR1, before)


async def test_a_cancelled_drop_is_made_up_for_by_the_next_send(shared: Any) -> None:
    drops = threading.Event()

    def script(peer: Any) -> None:
        is_cancelled_while_it_drops(peer, drops.set)
        peer.serve("CHAN_RELEASE")

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            await channel.send(LARGE)
            await client.ping()
            pool = client._connection.side.pool
            pool._drop_idle(0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(channel.send, LARGE)
                await trio.to_thread.run_sync(drops.wait)
                nursery.cancel_scope.cancel()
            await channel.send(LARGE)
            assert pool.doomed == []
