"""Files whose close(2) waits for somebody else, passed in every way: only who passed them waits.

What the daemon has open is counted in /proc.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from struct import pack

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.acceptor import OVER_QUOTA_MOST
from tests.fault.house import House
from tests.fault.passing import BUFFERED, MOST, both_transports, house_with, pipe_of, send
from tests.fault.sharer import Sharer, descriptors_settle, files_settle, sharer

EPROTO, EINVAL, EDQUOT, ENOMEM = _wire.KC_EPROTO, _wire.KC_EINVAL, _wire.KC_EDQUOT, _wire.KC_ENOMEM
TAKERS = 4  # threads that close files of one user (KC_FILE_TAKERS)
OVER = 20 + 253  # KC_FILE_SURPLUS over a limit of 20
FOREVER_S = 3600  # of a close that lingers: longer than any test


@contextmanager
def lingering() -> Iterator[tuple[int, socket.socket]]:
    """A TCP socket that closes only when all it holds was read or its other end closes; both."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sender = socket.create_connection(server.getsockname())
        reader, _ = server.accept()
    linger = pack("ii", 1, FOREVER_S)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    sender.setblocking(False)
    try:
        while True:
            sender.send(b"x" * 65536)
    except BlockingIOError:
        pass
    sender.setblocking(True)
    try:
        yield sender.detach(), reader
    finally:
        reader.close()


def test_a_close_that_lingers_does_not_stall_the_daemon(house: House) -> None:
    """An hour, if the loop waited for it: the PINGs behind it would time out."""
    with sharer(house) as peer, house.peer() as other, lingering() as (number, reader):
        chan = peer.make(**BUFFERED)
        assert send(peer, chan, [number])["RESULT"] == 0
        os.close(number)
        assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1
        for _ in range(10):
            assert peer.lives()
            assert other.lives()
            house.turns()
        while reader.recv(1 << 20):
            pass
        assert peer.lives()


def in_a_refused_region(house: House, peer: Sharer, number: int) -> None:
    with house.process.stopped():
        peer.write_files("REGION_ADD", [number], REQ_ID=5, SIZE=4096)
        os.close(number)
    answer = peer.read()
    assert answer is not None
    assert answer["RESULT"] == EINVAL


def in_a_frame_that_takes_none(house: House, peer: Sharer, number: int) -> None:
    with house.process.stopped():
        peer.write_files("PING", [number], REQ_ID=5)
        os.close(number)
    answer = peer.read()
    assert answer is not None
    assert answer["RESULT"] == EINVAL


def behind_the_last_frame(house: House, _: Sharer, number: int) -> None:
    with sharer(house, "seqpacket") as other:
        with house.process.stopped():
            other.say(b"\0\0\xff\xff\0\0\0\0")
            other.write_files("PING", [number], REQ_ID=5)
            os.close(number)
        assert other.last_word() == EPROTO


@pytest.mark.parametrize(
    "pass_it", [in_a_refused_region, in_a_frame_that_takes_none, behind_the_last_frame]
)
def test_a_file_that_lingers_stalls_nobody_wherever_it_came(
    house: House, pass_it: Callable[[House, Sharer, int], None]
) -> None:
    """The daemon's is the last copy of it: its close(2) waits for an hour."""
    with sharer(house) as peer, lingering() as (number, reader):
        pass_it(house, peer, number)
        for _ in range(10):
            assert peer.lives()
            house.turns()
        while reader.recv(1 << 20):
            pass
        assert peer.lives()


@both_transports
def test_files_that_linger_and_find_no_descriptor_stall_nobody(
    house: House, transport: str
) -> None:
    """What finds no descriptor the kernel would close within the daemon's read of it."""
    with sharer(house) as other, lingering() as (number, reader), ExitStack() as stack:
        before = house.process.limit_descriptors(house.process.descriptors() + 4)
        try:
            peer = stack.enter_context(sharer(house, transport))
            pipe = pipe_of(peer, b"x")
            with house.process.stopped():
                peer.write_files("PING", [pipe] * (MOST - 1) + [number], REQ_ID=5)
                os.close(number)
            if transport == "stream":  # behind a reset no packet is heard
                assert peer.last_word() == ENOMEM
            for _ in range(10):
                assert other.lives()
                house.turns()
            assert "passed files lost" in house.process.log()
        finally:
            house.process.limit_descriptors(before)
        reader.close()


# --- files that linger, of one user, and everybody else ---


def unheard(house: House, uid: int = 12_345, transport: str = "stream") -> Sharer:
    """Connected as another user: who calls connect(2) is who is there (unix(7), SO_PEERCRED)."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it connects as another user")
    os.seteuid(uid)
    try:
        return Sharer(house.process.connect(transport))
    finally:
        os.seteuid(0)


def stranger(house: House) -> Sharer:
    made = unheard(house)
    made.hello()
    return made


def comes_to_its_end(house: House, reading: int) -> bool:
    """Whether the daemon closes the writing end of this empty pipe."""
    for _ in range(2_000):
        try:
            return os.read(reading, 1) == b""
        except BlockingIOError:
            house.turns()
    return False


def closes_files(house: House, peer: Sharer) -> bool:
    """A pipe whose writing end is purged comes to its end."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    chan = peer.make(**BUFFERED)
    try:
        assert send(peer, chan, [writing])["RESULT"] == 0
        os.close(writing)
        assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1
        return comes_to_its_end(house, reading)
    finally:
        os.close(reading)
        peer.result("CHAN_RELEASE", CHAN_ID=chan, FLAGS=3)


def hang(
    house: House, stack: ExitStack, peer: Sharer, batches: int = TAKERS
) -> Iterator[socket.socket]:
    """One file that lingers in each of so many batches; yields who lets it go. What is being closed
    has no number any more: that is how each thread is seen to be in its close."""
    chan = peer.make(**BUFFERED)
    here = house.process.descriptors()
    for batch in range(batches):
        number, reader = stack.enter_context(lingering())
        assert send(peer, chan, [number])["RESULT"] == 0
        os.close(number)
        assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1
        if batch < TAKERS:
            descriptors_settle(house, here)
        yield reader


def test_closes_of_one_user_that_hang_leave_threads_for_the_others() -> None:
    """One in each of 40 batches, in front of 16 threads; they are charged until they are closed."""
    with house_with() as house, ExitStack() as stack:
        attacker, other = stack.enter_context(stranger(house)), stack.enter_context(sharer(house))
        readers = list(hang(house, stack, attacker, 40))
        assert attacker.usage()["files"] == 40
        assert closes_files(house, other)
        files_settle(house, other, 0)
        assert attacker.usage()["files"] == 40
        for reader in readers:
            reader.close()
        files_settle(house, attacker, 0)
        assert closes_files(house, attacker)


def flood(house: House, stack: ExitStack, peer: Sharer) -> Iterator[socket.socket]:
    """400 files that linger, passed once each; yields, a write after another, who lets them go. A
    user with a limit of 20 may bring OVER of them and the rest of a write.

    The threads of their user hang before, so that the daemon's close(2) is the last one, not ours:
    stopping it until ours are closed would end the waits of its threads.
    """
    here = house.process.descriptors()
    yield from hang(house, stack, peer)
    for _ in range(25):
        pairs = [stack.enter_context(lingering()) for _ in range(MOST)]
        peer.write_files("PING", [number for number, _ in pairs], REQ_ID=5)
        for number, reader in pairs:
            os.close(number)
            yield reader
        house.turns()
    while house.process.descriptors() <= here + OVER - TAKERS:
        house.turns()  # until a second has gone without a close, for up to then these may only lag


def test_a_flood_of_files_that_linger_is_bounded_and_its_user_is_not_read() -> None:
    """Refused ones count: with 253 over its limit a uid brings no more, on whatever connection."""
    most = OVER + MOST
    with house_with("files_per_uid=20") as house, ExitStack() as stack:
        attacker, second = (stack.enter_context(stranger(house)) for _ in range(2))
        other = stack.enter_context(sharer(house))
        before = house.process.descriptors()
        readers = []
        for reader in flood(house, stack, attacker):
            readers.append(reader)
            assert house.process.descriptors() <= before + most
        second.write_files("PING", [second.socket.fileno()] * MOST, REQ_ID=5)
        for _ in range(20):
            house.turns()
            # One that is being closed has no number any more.
            assert before + OVER - TAKERS < house.process.descriptors() <= before + most
        assert other.lives()
        assert closes_files(house, other)
        for reader in readers:
            reader.close()
        for peer, answers in ((attacker, 25), (second, 1)):
            for _ in range(answers):
                answer = peer.read()
                assert answer is not None
                assert answer["RESULT"] == EINVAL
        files_settle(house, attacker, 0)
        descriptors_settle(house, before)


@both_transports
def test_who_is_over_its_limit_of_files_leaves_no_descriptor_by_coming_and_going(
    transport: str,
) -> None:
    """Only a connection that holds files waits for the closes of its user; this one's bytes, or
    none, are dropped."""
    with house_with("files_per_uid=20") as house, ExitStack() as stack:
        attacker = stack.enter_context(stranger(house))
        other = stack.enter_context(sharer(house))
        readers = list(flood(house, stack, attacker))
        before = house.process.descriptors()
        for said in (b"", b"x", b"x" * 100_000) * 20:
            with unheard(house, transport=transport) as gone:
                if said:
                    gone.say(said)
            house.turns()
        descriptors_settle(house, before)
        assert other.lives()
        pipes = [os.pipe() for _ in range(3)]
        for _, writing in pipes:
            with unheard(house, transport=transport) as gone:
                gone.say_files(b"x", [writing])
            os.close(writing)
        house.turns()
        assert house.process.descriptors() == before + len(pipes), "connections with files in them"
        for reader in readers:
            reader.close()
        for reading, _ in pipes:
            assert os.read(reading, 1) == b""
            os.close(reading)


@pytest.mark.parametrize("empty", [1, 2, 5])
def test_a_file_that_lingers_behind_empty_packets_stalls_nobody(empty: int) -> None:
    """They read like the end of the connection; closing it then would close the file."""
    with house_with("files_per_uid=20") as house, ExitStack() as stack:
        attacker = stack.enter_context(stranger(house))
        other = stack.enter_context(sharer(house))
        readers = list(flood(house, stack, attacker))  # so that its packets are not read before
        number, reader = stack.enter_context(lingering())
        with house.process.stopped(), unheard(house, transport="seqpacket") as gone:
            gone.say(b"\0\0\xff\xff\0\0\0\0")
            for _ in range(empty):
                gone.say(b"")
            gone.write_files("PING", [number], REQ_ID=5)
            os.close(number)
        for _ in range(10):
            assert other.lives()
            house.turns()
        for lingers in (*readers, reader):
            lingers.close()


def test_a_file_that_lingers_on_a_connection_that_is_refused_stalls_nobody() -> None:
    with house_with("connections_per_uid=8") as house, ExitStack() as stack:
        other = stack.enter_context(sharer(house))
        for _ in range(8 + OVER_QUOTA_MOST):
            stack.enter_context(unheard(house))
        house.turns()
        number, reader = stack.enter_context(lingering())
        with house.process.stopped():
            refused = stack.enter_context(unheard(house))
            refused.say_files(b"x", [number])
            os.close(number)
        for _ in range(10):
            assert other.lives()
            house.turns()
        assert "connection refused" in house.process.log()
        reader.close()


def refused(house: House, stack: ExitStack, uid: int, files: list[int]) -> Sharer:
    """Connects while no connection is left for it, with these files in the socket, ours no more."""
    made = stack.enter_context(unheard(house, uid))
    made.say(b"x") if not files else made.say_files(b"x", files)
    for number in files:
        os.close(number)
    return made


def test_files_on_refused_connections_that_linger_delay_their_user_alone_who_pays() -> None:
    """All are accepted in one turn, the others' behind them."""
    with house_with("connections_per_uid=8") as house, ExitStack() as stack:
        attacker = stack.enter_context(stranger(house))
        for uid, count in ((12_345, 7), (23_456, 8)):
            for _ in range(count + OVER_QUOTA_MOST):
                stack.enter_context(unheard(house, uid))
        house.turns()
        before = house.process.descriptors()
        lingers = [stack.enter_context(lingering()) for _ in range(TAKERS + 2)]
        reading, writing = os.pipe2(os.O_NONBLOCK)
        stack.callback(os.close, reading)
        with house.process.stopped():
            for number, _ in lingers:
                refused(house, stack, 12_345, [number])
            other = refused(house, stack, 23_456, [writing])
        assert comes_to_its_end(house, reading)
        assert other.last_word() == EDQUOT
        assert attacker.usage()["files"] == len(lingers)
        for _, reader in lingers:
            reader.close()
        files_settle(house, attacker, 0)
        descriptors_settle(house, before)


def test_a_refused_connection_without_files_waits_for_no_close_also_of_who_has_no_account() -> None:
    """Nobody pays for files of such a user: its sockets wait whole, but only those with files."""
    with house_with("accounts=2") as house, ExitStack() as stack:
        stack.enter_context(stranger(house))
        house.turns()
        before = house.process.descriptors()
        lingers = [stack.enter_context(lingering()) for _ in range(3)]
        with house.process.stopped():
            for number, _ in lingers:
                refused(house, stack, 23_456, [number])
            others = [refused(house, stack, 34_567, []) for _ in range(5)]
        for other in others:
            assert other.last_word() == EDQUOT
        # Of a socket that is being closed there is no number any more.
        descriptors_settle(house, before + len(lingers) - 1)
        for _, reader in lingers:
            reader.close()
        descriptors_settle(house, before)
