"""Shared memory through the trio client: tasks that share a region, and cancelled sends."""

import os
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from kcoro_ipc import tlv
from kcoro_ipc.client import open_client
from kcoro_ipc.errors import KC_ECANCELED, ClosedResourceError, OperationCancelled
from kcoro_ipc.regions.memory import PAGE, create_memory, map_memory
from tests.unit.clients.peers import descriptor, ranges_of, serve_region

KIB, MIB = 1 << 10, 1 << 20
PATIENCE_S = 60.0  # bounds a test that hangs; nothing is judged by time
Played = Callable[..., AbstractContextManager[Path]]


@pytest.fixture
def shared(played: Played, hello: Callable[..., bytes]) -> Any:
    return lambda script: played(script, hello(caps=3))


async def test_tasks_that_send_from_one_region_register_it_once(shared: Any) -> None:
    seen = []

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, size = serve_region(peer, 77)
        for _ in range(8):
            ((region, offset, _),) = ranges_of(peer.serve("CHAN_SEND"))
            seen.append((region, map_memory(number, size)[offset : offset + 1]))
        os.close(number)
        peer.serve("CHAN_RELEASE")

    async def send(client: Any, channel: Any, place: int) -> None:
        with client.loan(64 * KIB) as block:
            block[0] = place
            await channel.send(block)

    with shared(script) as path:
        async with (
            open_client(path) as client,
            await client.make_channel("frames") as channel,
            trio.open_nursery() as nursery,
        ):
            for place in range(8):
                nursery.start_soon(send, client, channel, place)
    assert sorted(seen) == [(77, bytes([place])) for place in range(8)]


async def cancelled_when(seen: threading.Event, work: Callable[[], Awaitable[Any]]) -> list[Any]:
    """What `work` answered before it was cancelled, which is when the daemon has seen its frame."""
    answers: list[Any] = []

    async def answer() -> None:
        answers.append(await work())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        assert await trio.to_thread.run_sync(seen.wait, PATIENCE_S)
        nursery.cancel_scope.cancel()
    return answers


async def test_a_cancelled_send_leaves_the_block_as_it_was(shared: Any) -> None:
    sent = threading.Event()

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("CHAN_SEND")
        sent.set()
        peer.expect("CANCEL")
        peer.reply(frame, KC_ECANCELED)
        peer.serve("CHAN_SEND")
        peer.serve("CHAN_RELEASE")

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            with client.loan(64 * KIB) as block:
                assert await cancelled_when(sent, lambda: channel.send(block)) == []
                block[0] = 1
                await channel.send(block)
                with pytest.raises(ValueError, match="released"):
                    block[0] = 1


async def test_a_cancelled_send_that_happened_takes_the_block(shared: Any) -> None:
    sent = threading.Event()

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("CHAN_SEND")
        sent.set()
        peer.expect("CANCEL")
        peer.reply(frame)
        peer.serve("CHAN_RELEASE")

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            with client.loan(64 * KIB) as block:
                assert await cancelled_when(sent, lambda: channel.send(block)) == [True]
                with pytest.raises(ValueError, match="released"):
                    block[0] = 1


async def test_a_confirmed_send_whose_end_is_unclear_never_uses_its_range_again(
    shared: Any,
) -> None:
    """The channel was destroyed: before the message was accepted, or after?"""

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("CHAN_SEND", FLAGS=1)
        peer.reply(frame, KC_ECANCELED, ("REASON", "destroyed"))
        peer.serve("REGION_DROP", REGION_ID=77, FLAGS=1)
        number, _ = serve_region(peer, 78)
        os.close(number)
        assert ranges_of(peer.serve("CHAN_SEND"))[0][0] == 78
        peer.serve("CHAN_RELEASE")

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            with client.loan(64 * KIB) as block:
                with pytest.raises(OperationCancelled):
                    await channel.send(block, confirm=True)
                with pytest.raises(ValueError, match="released"):
                    block[0] = 1
            with client.loan(64 * KIB) as block:
                await channel.send(block)


async def test_a_confirmed_send_that_was_not_taken_leaves_the_block_as_it_was(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("CHAN_SEND", FLAGS=1)
        peer.reply(frame, KC_ECANCELED, ("FLAGS", 0), ("REASON", "destroyed"))
        assert ranges_of(peer.serve("CHAN_SEND"))[0][0] == 77
        peer.serve("CHAN_RELEASE")

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            with client.loan(64 * KIB) as block:
                with pytest.raises(OperationCancelled):
                    await channel.send(block, confirm=True)
                block[0] = 1
                await channel.send(block)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_confirmed_send_that_was_taken_uses_its_range_again_when_it_is_called_free(
    shared: Any, cancelled: bool
) -> None:
    """Also if the words of whoever destroyed the channel are those of a cancel."""
    spots: list[Any] = []

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("CHAN_SEND", FLAGS=1)
        if cancelled:
            peer.expect("CANCEL")
        spots.append(ranges_of(frame)[0])
        peer.reply(frame, KC_ECANCELED, ("FLAGS", 1), ("REASON", "cancelled"))
        ping = peer.expect("PING")
        region, offset, length = spots[0][:3]
        peer.socket.sendall(
            tlv.build_frame("REGION_FREED", [("DESC", descriptor(region, offset, length, 1))], 1)
        )
        peer.reply(ping)
        spots.append(ranges_of(peer.serve("CHAN_SEND"))[0])
        peer.serve("CHAN_RELEASE")

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            with client.loan(64 * KIB) as block:
                with pytest.raises(OperationCancelled), trio.CancelScope() as scope:
                    if cancelled:
                        scope.deadline = trio.current_time() + 0.05
                    await channel.send(block, confirm=True)
                with pytest.raises(ValueError, match="released"):
                    block[0] = 1
            await client.ping()
            with client.loan(64 * KIB) as block:
                await channel.send(block)
    assert spots[0] == spots[1]


async def test_closing_the_handle_leaves_the_block_of_a_waiting_send(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("CHAN_SEND")
        sent.set()
        peer.expect("CANCEL")
        peer.reply(frame, KC_ECANCELED)
        peer.serve("CHAN_RELEASE")

    sent = threading.Event()

    async def close(channel: Any) -> None:
        await trio.to_thread.run_sync(sent.wait)
        await channel.aclose()

    with shared(script) as path:
        async with open_client(path) as client, trio.open_nursery() as nursery:
            channel = await client.make_channel("frames")
            with client.loan(64 * KIB) as block:
                nursery.start_soon(close, channel)
                with pytest.raises(ClosedResourceError):
                    await channel.send(block)
                block[0] = 1


async def test_a_lease_of_trio_is_released_without_waiting(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        memory, file = create_memory(PAGE)
        memory[:3] = b"abc"
        data = tlv.build_frame("REGION_MAP", [("REGION_ID", 5), ("SIZE", PAGE)], 1, 1)
        socket.send_fds(peer.socket, [data], [file[0]])
        peer.reply(frame, 0, ("DESC", descriptor(5, 0, 3, 9)))
        peer.expect("RELEASE", LEASE_ID=9)
        peer.serve("SELECT", 0, ("INDEX", 0), ("DESC", descriptor(5, 1, 1, 10)))
        peer.expect("RELEASE", LEASE_ID=10)
        peer.serve("CHAN_RELEASE")

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            with await channel.receive_lease() as view:
                assert (bytes(view), client.leases_open) == (b"abc", 1)
            assert client.leases_open == 0
            done = await client.select(channel.receiving(lease=True))
            with done.value as view:
                assert bytes(view) == b"b"


async def test_a_batch_mixes_loans_and_bytes_and_counts_over_all(shared: Any) -> None:
    seen = []

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        for count in (1, 2, 1):
            if count == 2:
                number, _ = serve_region(peer, 77)
                os.close(number)
            frame = peer.serve("CHAN_SEND", 0, ("COUNT", count))
            seen.append((len(frame.all("ELEMENT")), len(frame.all("DESC"))))
        peer.serve("CHAN_RELEASE")

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("frames") as channel:
            with client.loan(100) as one, client.loan(64 * KIB) as two:
                assert await channel.send_many([b"a", one, two, b"c"]) == 4
    assert seen == [(1, 0), (0, 2), (1, 0)]
