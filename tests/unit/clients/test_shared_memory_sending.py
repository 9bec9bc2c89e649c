"""Loans and copies that a blocking client sends: what stands in the frames, whose the memory is."""

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import blocking, tlv
from kcoro_ipc.errors import (
    KC_ECANCELED,
    KC_EDQUOT,
    KC_EPIPE,
    KC_ETIME,
    BrokenResourceError,
    ClosedResourceError,
    ConnectionLost,
    InvalidArgument,
    MessageTooLong,
    OperationCancelled,
    QuotaExceeded,
    TimedOut,
)
from kcoro_ipc.regions.memory import PAGE, map_memory
from tests.unit.clients.peers import descriptor, ranges_of, serve_region

Played = Callable[..., AbstractContextManager[Path]]
KIB, MIB = 1 << 10, 1 << 20


def test_a_loan_is_registered_once_and_sent_without_its_bytes(shared: Any) -> None:
    seen = []

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, size = serve_region(peer, 77)
        for _ in range(2):
            frame = peer.serve("CHAN_SEND")
            ((region, offset, length),) = ranges_of(frame)
            seen.append((region, map_memory(number, size)[offset : offset + length]))
        os.close(number)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        for text in (b"first", b"second"):
            with client.loan(80 * KIB) as block:
                block[: len(text)] = text
                assert channel.send(block[: 70 * KIB])
                with pytest.raises(ValueError, match="released"):
                    block[0] = 1
    assert [(region, data.rstrip(b"\0"), len(data)) for region, data in seen] == [
        (77, b"first", 70 * KIB),
        (77, b"second", 70 * KIB),
    ]


def test_a_freed_range_is_used_again(shared: Any) -> None:
    offsets = []

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        for _ in range(4):
            frame = peer.expect("CHAN_SEND")
            (sent,) = ranges_of(frame)
            offsets.append(sent[1])
            freed = tlv.build_frame("REGION_FREED", [("DESC", descriptor(*sent, 0))], 1)
            peer.socket.sendall(freed)
            peer.reply(frame)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        for _ in range(4):
            with client.loan(MIB) as block:
                channel.send(block)
    assert offsets == [0, 0, 0, 0]


def test_a_notice_behind_a_reply_is_heard_before_the_pool_is_called_exhausted(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("CHAN_SEND")
        (sent,) = ranges_of(frame)
        freed = tlv.build_frame("REGION_FREED", [("DESC", descriptor(*sent, 0))], 1)
        peer.reply(frame)
        peer.socket.sendall(freed)
        peer.serve("PING")

    with shared(script) as path, blocking.open_client(path, pool_bytes=4 * MIB) as client:
        channel = client.make_channel("frames")
        with client.loan(4 * MIB) as block:
            channel.send(block)
        client.ping()
        with client.loan(4 * MIB) as block:
            assert len(block) == 4 * MIB


@pytest.mark.parametrize(
    ("code", "error"),
    [(KC_ETIME, TimedOut), (KC_EPIPE, BrokenResourceError), (KC_ECANCELED, OperationCancelled)],
)
def test_a_send_that_did_nothing_leaves_the_block_as_it_was(
    shared: Any, code: int, error: type[Exception]
) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("CHAN_SEND", code)
        peer.serve("CHAN_SEND")

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(64 * KIB) as block:
            with pytest.raises(error):
                channel.send(block, timeout=1)
            block[0] = 1
            channel.send(block)


def test_a_send_in_doubt_takes_the_block_away(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.expect("CHAN_SEND")

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(64 * KIB) as block, client.loan(64 * KIB) as other:
            with pytest.raises(ConnectionLost):
                channel.send(block)
            with pytest.raises(ValueError, match="released"):
                block[0] = 1
            other[0] = 1  # valid memory, of no further use
            with pytest.raises(ConnectionLost):
                channel.send(other)
            with pytest.raises(ClosedResourceError), client.loan(1):
                pass


def test_a_small_loan_goes_as_bytes_and_says_so(shared: Any) -> None:
    seen = []

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        seen.append(peer.serve("CHAN_SEND"))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(100) as block:
            block[:] = b"x" * 100
            channel.send(block)
            with pytest.raises(ValueError, match="released"):
                block[0] = 1
    (frame,) = seen
    assert (frame.get("ELEMENT"), frame.get("FLAGS")) == (b"x" * 100, 2)


def test_large_bytes_are_copied_once_and_small_ones_never(shared: Any) -> None:
    seen: list[Any] = []

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        peer.serve("CHAN_SEND", ELEMENT=b"small")
        number, size = serve_region(peer, 77)
        frame = peer.serve("CHAN_SEND", ELEMENT=None)
        ((_, offset, length),) = ranges_of(frame)
        seen.append(map_memory(number, size)[offset : offset + length])
        os.close(number)

    large = os.urandom(256 * KIB)
    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        channel.send(b"small")
        channel.send(large)
    assert seen == [large]


def test_zero_copy_can_be_turned_off(shared: Any) -> None:
    large = bytes(300 * KIB)

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        peer.serve("CHAN_SEND", ELEMENT=large)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("CHAN_SEND", ELEMENT=None)

    with (
        shared(script) as path,
        blocking.open_client(path, zero_copy_from=None, inline_below=None) as client,
    ):
        channel = client.make_channel("frames")
        channel.send(large)
        with client.loan(1) as block:
            channel.send(block)


def test_an_exhausted_pool_makes_copies_go_as_bytes_and_says_so(shared: Any) -> None:
    large = bytes(300 * KIB)

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        peer.serve("CHAN_SEND", ELEMENT=large, FLAGS=4)

    with shared(script) as path, blocking.open_client(path, pool_bytes=PAGE) as client:
        client.make_channel("frames").send(large)


def test_a_daemon_without_room_for_a_region_gets_copies_as_bytes_but_no_loan(shared: Any) -> None:
    large = bytes(300 * KIB)

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        peer.serve("REGION_ADD", KC_EDQUOT)
        peer.serve("CHAN_SEND", ELEMENT=large, FLAGS=4)
        peer.serve("REGION_ADD", KC_EDQUOT)
        peer.serve("REGION_ADD", KC_EDQUOT)
        peer.serve("CHAN_SEND", ELEMENT=large, FLAGS=4)
        [os.close(number) for number in peer.files]

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        channel.send(large)
        with client.loan(64 * KIB) as block:
            with pytest.raises(QuotaExceeded):
                channel.send(block)
            block[0] = 1
        assert channel.send_many([large]) == 1


def test_packets_carry_what_is_too_long_for_them_as_descriptors(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("CHAN_SEND", ELEMENT=None)

    with shared(script, max_frame=128 * KIB) as path, blocking.open_client(path) as client:
        client.make_channel("frames").send(bytes(200 * KIB))


def test_loans_and_leases_need_a_channel_of_bytes(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames", codec="json")
        with client.loan(64 * KIB) as block, pytest.raises(InvalidArgument, match="of bytes"):
            channel.send(block)
        for ask in (
            channel.receive_lease,
            lambda: channel.receiving(lease=True),
            lambda: channel.acking(lease=True),
            lambda: channel.receive_many(lease=True),
        ):
            with pytest.raises(InvalidArgument, match="of bytes"):
                ask()


def test_elem_size_bounds_a_loan_too(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=100)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(64 * KIB) as block:
            with pytest.raises(MessageTooLong):
                channel.send(block)
            block[0] = 1


def test_a_copy_that_was_not_sent_goes_back_to_the_pool(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("CHAN_SEND", KC_ETIME)

    with shared(script) as path, blocking.open_client(path) as client:
        with pytest.raises(TimedOut):
            client.make_channel("frames").send(bytes(300 * KIB), timeout=1)
        assert client._connection.side.pool.regions[0].space.idle


def test_after_a_part_was_refused_the_whole_can_be_sent(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("CHAN_SEND", KC_ETIME)
        assert ranges_of(peer.serve("CHAN_SEND"))[0][2] == 80 * KIB

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(80 * KIB) as block:
            with pytest.raises(TimedOut):
                channel.send(block[: 70 * KIB], timeout=1)
            channel.send(block)


def test_an_interrupted_send_that_happened_takes_the_block(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("CHAN_SEND")
        os.kill(os.getpid(), signal.SIGUSR1)
        peer.expect("CANCEL")
        peer.reply(frame)

    class Interrupt(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with shared(script) as path, blocking.open_client(path) as client:
            channel = client.make_channel("frames")
            with client.loan(64 * KIB) as block:
                with pytest.raises(Interrupt):
                    channel.send(block)
                with pytest.raises(ValueError, match="released"):
                    block[0] = 1
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_batch_that_is_left_early_gives_back_what_was_copied_for_it(shared: Any) -> None:
    """The second copy is made before the first, which fills a frame, goes out."""

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("CHAN_SEND", KC_ETIME)

    with shared(script) as path, blocking.open_client(path) as client:
        with pytest.raises(TimedOut):
            client.make_channel("frames").send_many([bytes(16 * MIB), bytes(16 * MIB)], timeout=1)
        assert [region.space.idle for region in client._connection.side.pool.regions] == [True] * 2
