"""Shared memory through the blocking client: what stands in the frames, and whose the memory is."""

import os
import signal
import socket
import threading
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
    ProtocolError,
    QuotaExceeded,
    TimedOut,
)
from kcoro_ipc.regions.memory import PAGE, create_memory, map_memory
from tests.unit.clients.conftest import reply_to
from tests.unit.clients.peers import descriptor, ranges_of, serve_region

Played = Callable[..., AbstractContextManager[Path]]
KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def shared(played: Played, hello: Callable[..., bytes]) -> Any:
    """`played`, by a daemon that takes shared memory and files."""

    def play(script: Any, **limits: int) -> AbstractContextManager[Path]:
        return played(script, hello(caps=3, **limits))

    return play


# --- sending ---


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


def test_a_batch_goes_in_runs_of_one_kind_and_counts_over_all(shared: Any) -> None:
    seen: list[tuple[int, int]] = []

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        for counts in ((2, 0), (0, 3), (1, 0)):
            if counts == (0, 3):
                number, _ = serve_region(peer, 77)
                os.close(number)
            frame = peer.expect("CHAN_SEND")
            seen.append((len(frame.all("ELEMENT")), len(frame.all("DESC"))))
            peer.reply(frame, 0, ("COUNT", sum(counts)))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(100) as one, client.loan(64 * KIB) as two:
            values = [b"a", b"b", one, two, bytes(300 * KIB), b"c"]
            assert channel.send_many(values) == 6
    assert seen == [(2, 0), (0, 3), (1, 0)]


def test_a_batch_that_ends_early_keeps_the_loans_that_were_not_sent(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("CHAN_SEND", 0, ("COUNT", 1))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(64 * KIB) as one, client.loan(64 * KIB) as two:
            assert channel.send_many([one, two, b"never"]) == 1
            with pytest.raises(ValueError, match="released"):
                one[0] = 1
            two[0] = 1


def test_a_batch_of_loans_goes_in_one_frame_however_large_they_are(shared: Any) -> None:
    """Cutting it is for copies, whose memory is wanted back early."""

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        for region_id in (77, 78, 79):
            number, _ = serve_region(peer, region_id)
            os.close(number)
        frame = peer.serve("CHAN_SEND", 0, ("COUNT", 3))
        assert len(frame.all("DESC")) == 3

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(9 * MIB) as one, client.loan(9 * MIB) as two, client.loan(9 * MIB) as tre:
            assert channel.send_many([one, two, tre]) == 3


def test_only_the_winning_clause_of_a_select_takes_its_loan(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("SELECT")
        clauses = [dict(clause) for clause in frame.all("CLAUSE")]
        desc = tlv.ATTRIBUTES["DESC"].number
        assert [desc in clause for clause in clauses] == [True, True, False]
        peer.reply(frame, 0, ("INDEX", 1))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(64 * KIB) as one, client.loan(64 * KIB) as two:
            clauses = [channel.sending(one), channel.sending(two), channel.receiving()]
            assert client.select(*clauses).index == 1
            one[0] = 1
            with pytest.raises(ValueError, match="released"):
                two[0] = 1
        (region,) = client._connection.side.pool.regions
        assert region.size - region.space.free_bytes == 64 * KIB  # the winner's


def test_one_loan_in_several_clauses_is_sent_by_the_one_that_wins(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("SELECT", KC_ETIME)
        peer.serve("SELECT", 0, ("INDEX", 1))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(64 * KIB) as block:
            clauses = [channel.sending(block), channel.sending(block)]
            with pytest.raises(TimedOut):
                client.select(*clauses, timeout=1)
            block[0] = 1
            client.select(*clauses)
            with pytest.raises(ValueError, match="released"):
                block[0] = 1


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


# --- receiving ---


def announce(peer: Any, region_id: int, content: bytes) -> None:
    """What a daemon says before the first descriptor in a region."""
    memory, file = create_memory(PAGE)
    memory[: len(content)] = content
    data = tlv.build_frame("REGION_MAP", [("REGION_ID", region_id), ("SIZE", PAGE)], 1, 1)
    socket.send_fds(peer.socket, [data], [file[0]])


def test_receive_gives_bytes_of_a_range_and_releases_it_at_once(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))
        peer.expect("RELEASE", LEASE_ID=900, REQ_ID=None)

    with shared(script) as path, blocking.open_client(path) as client:
        assert client.make_channel("frames").receive() == b"234"


def test_receive_lease_gives_the_memory_and_releases_it_with_the_block(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))
        peer.serve("PING")
        peer.expect("RELEASE", LEASE_ID=900)
        frame = peer.serve("CHAN_RECV", 0, ("ELEMENT", b"inline"))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with channel.receive_lease() as view:
            client.ping()
            assert (bytes(view), client.leases_open) == (b"234", 1)
        assert client.leases_open == 0
        with channel.receive_lease() as view:
            assert bytes(view) == b"inline"


def test_many_leases_are_released_with_one_frame(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV", MAX_ITEMS=8)
        announce(peer, 5, b"0123456789")
        ranges = [("DESC", descriptor(5, place, 1, 900 + place)) for place in range(3)]
        peer.reply(frame, 0, *ranges)
        assert peer.expect("RELEASE").all("LEASE_ID") == [900, 901, 902]

    with shared(script) as path, blocking.open_client(path) as client:
        leases = client.make_channel("frames").receive_many(8, lease=True)
        assert [bytes(lease.data) for lease in leases] == [b"0", b"1", b"2"]
        client.release(*leases)
        assert client.leases_open == 0


def test_a_select_gives_a_lease_when_it_is_asked_for_one(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        for _ in range(2):
            frame = peer.expect("SELECT")
            announce(peer, 5, b"0123456789")
            peer.reply(frame, 0, ("INDEX", 0), ("DESC", descriptor(5, 0, 2, 1)))
            peer.expect("RELEASE", LEASE_ID=1)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.select(channel.receiving(lease=True)).value as view:
            assert bytes(view) == b"01"
        assert client.select(channel.receiving()).value == b"01"


def test_a_job_has_a_lease_when_it_is_asked_for_one(shared: Any) -> None:
    def item(lease: int) -> Any:
        desc = ("DESC", descriptor(5, 0, 2, lease))
        return ("ITEM", [desc, ("DELIVERY_ID", 7), ("REDELIVERED", 0)])

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV", FLAGS=1)
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, item(1))
        peer.serve("ACK", 0, ("COUNT", 1), DELIVERY_ID=7)
        peer.expect("RELEASE", LEASE_ID=1)
        peer.serve("CHAN_RECV", 0, item(2))
        peer.expect("RELEASE", LEASE_ID=2)
        peer.serve("ACK", 0, ("COUNT", 1), DELIVERY_ID=7)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with channel.acking(lease=True) as inbox, inbox.receive() as job:
            assert (bytes(job.data), job.lease.is_shared) == (b"01", True)
        with channel.acking() as inbox, inbox.receive() as job:
            assert (job.data, job.lease) == (b"01", None)


def test_a_region_that_could_shrink_ends_the_connection(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        number = os.memfd_create("bad", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(number, PAGE)
        data = tlv.build_frame("REGION_MAP", [("REGION_ID", 5), ("SIZE", PAGE)], 1, 1)
        answer = reply_to(frame, 0, ("DESC", descriptor(5, 0, 2, 1)))
        socket.send_fds(peer.socket, [data + answer], [number])
        os.close(number)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with pytest.raises(ProtocolError, match="not sealed against shrinking"):
            channel.receive()
        with pytest.raises(ProtocolError):
            client.ping()


def test_a_lease_outlives_its_connection(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))

    with shared(script) as path, blocking.open_client(path) as client:
        lease = client.make_channel("frames").receive_lease()
        client.aclose()
        assert bytes(lease.data) == b"234"
        lease.release()


def test_a_child_of_fork_takes_no_loan_and_releases_nothing(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))
        peer.serve("PING")  # and no RELEASE before it
        peer.expect("RELEASE", LEASE_ID=900)

    with shared(script) as path, blocking.open_client(path) as client:
        lease = client.make_channel("frames").receive_lease()
        child = os.fork()
        if child == 0:
            refused = False
            try:
                with client.loan(1):
                    pass
            except ClosedResourceError:
                refused = True
            lease.release()
            os._exit(0 if refused else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.ping()
        lease.release()


def test_a_lease_that_ends_while_another_thread_waits_is_told_with_the_next_request(
    shared: Any,
) -> None:
    waits = threading.Event()
    go_on = threading.Event()

    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))
        frame = peer.expect("CHAN_RECV")
        waits.set()
        go_on.wait()
        peer.reply(frame, 0, ("ELEMENT", b"x"))
        peer.expect("RELEASE", LEASE_ID=900)
        peer.serve("PING")

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        lease = channel.receive_lease()
        thread = threading.Thread(target=channel.receive)
        thread.start()
        waits.wait()
        lease.release()
        go_on.set()
        thread.join()
        client.ping()
