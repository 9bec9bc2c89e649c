"""Open files as no honest client passes them: the loss is the attacker's, and every file is closed
exactly once.

A file that is closed twice would close somebody else's number: canaries that wait in a channel of
their own tell. What the daemon has open is counted in /proc.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.acceptor import OVER_QUOTA_MOST
from tests.e2e.harness import running_daemon
from tests.fault.house import House
from tests.fault.sharer import Sharer, descriptors_settle, files_settle, memfd, sharer

BUFFERED = {"KIND": 1, "CAPACITY": 64}
EPROTO, EINVAL, EDQUOT, EAGAIN = _wire.KC_EPROTO, _wire.KC_EINVAL, _wire.KC_EDQUOT, _wire.KC_EAGAIN
MOST = _wire.MAX_MESSAGE_FILES
FOREVER_S = 3600  # of a close that lingers: longer than any test

both_transports = pytest.mark.parametrize("transport", ["stream", "seqpacket"])


def pipe_of(peer: Sharer, text: bytes) -> int:
    """The reading end of a pipe that holds `text`; closed with the peer."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return peer.own(reading)


def send(peer: Sharer, chan: int, files: list[int], data: bytes = b"x") -> Any:
    return peer.ask_files("CHAN_SEND", files, CHAN_ID=chan, TIMEOUT_MS=0, ELEMENT=data)


def texts(answer: Any) -> list[bytes]:
    """What the pipes of an answer hold."""
    return [os.read(number, 100) for number in answer["files"]]


def ended(peer: Sharer) -> None:
    """The daemon ends it, with EPROTO if there is a word; what was before may be answered."""
    while (answer := peer.read()) is not None:
        assert answer.get("RESULT") in (0, EPROTO)


# --- numbers of files ---


@both_transports
def test_253_files_in_a_packet_are_einval_and_closed(house: House, transport: str) -> None:
    """As many as the kernel passes at once; a message takes 16."""
    with sharer(house, transport) as peer:
        chan = peer.make(**BUFFERED)
        before = house.process.descriptors()
        number = pipe_of(peer, b"x")
        for count in (MOST + 1, 100, 253):
            assert send(peer, chan, [number] * count)["RESULT"] == EINVAL
        assert peer.result("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0) == EAGAIN
        files_settle(house, peer, 0)
        descriptors_settle(house, before)
        assert send(peer, chan, [number] * MOST)["RESULT"] == 0


@both_transports
@pytest.mark.parametrize("count", [1, 16, 253])
def test_files_that_no_frame_names_are_the_end(house: House, transport: str, count: int) -> None:
    before = house.process.descriptors()
    with sharer(house, transport) as peer:
        peer.write_files("PING", [pipe_of(peer, b"x")] * count, count=0, REQ_ID=5)
        ended(peer)
    descriptors_settle(house, before)


@both_transports
@pytest.mark.parametrize(("named", "came"), [(1, 0), (2, 1), (16, 15), (253, 1), (1, 2), (0, 3)])
def test_more_or_fewer_files_than_the_header_says_are_the_end(
    house: House, transport: str, named: int, came: int
) -> None:
    """Nothing is sent by such a frame when files are missing."""
    before = house.process.descriptors()
    with sharer(house) as keeper:
        chan = keeper.make(**BUFFERED)
        with sharer(house, transport) as peer:
            peer.open(chan)
            files = [pipe_of(peer, b"x") for _ in range(came)]
            words = {"REQ_ID": 5, "CHAN_ID": chan, "TIMEOUT_MS": 0, "ELEMENT": b"x"}
            if came:
                peer.write_files("CHAN_SEND", files, count=named, **words)
            else:
                peer.say(peer.frame_files("CHAN_SEND", named, **words))
            ended(peer)
        if came < named:
            assert keeper.result("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0) == EAGAIN
    descriptors_settle(house, before)


def test_files_with_half_a_frame_and_silence_are_closed_with_their_connection(house: House) -> None:
    before = house.process.descriptors()
    with sharer(house) as peer:
        chan = peer.make(**BUFFERED)
        words = {"REQ_ID": 5, "CHAN_ID": chan, "ELEMENT": b"x" * 100}
        data = peer.frame_files("CHAN_SEND", MOST, **words)
        peer.say_files(data[:50], [pipe_of(peer, b"x")] * MOST)
        house.turns()
        assert house.process.descriptors() == before + 1 + MOST
    descriptors_settle(house, before)


def test_files_ahead_of_their_frame_by_a_second_write_are_the_end(house: House) -> None:
    """Half a header says nothing yet; files of two writes are counted together."""
    before = house.process.descriptors()
    with sharer(house) as peer:
        chan = peer.make(**BUFFERED)
        data = peer.frame_files("CHAN_SEND", 1, REQ_ID=5, CHAN_ID=chan, ELEMENT=b"x")
        number = pipe_of(peer, b"x")
        peer.say_files(data[:3], [number])
        house.turns()
        peer.say_files(data[3:5], [number])
        house.turns()
        peer.say(data[5:])
        ended(peer)
    descriptors_settle(house, before)


@pytest.mark.parametrize(
    "command",
    ["PING", "CHAN_RECV", "CHAN_MAKE", "LIST", "ACK", "NACK", "REGION_DROP", "RELEASE", "GET_INFO"],
)
@both_transports
def test_files_on_a_frame_that_takes_none_are_einval_and_the_connection_lives(
    house: House, transport: str, command: str
) -> None:
    before = house.process.descriptors()
    with sharer(house, transport) as peer:
        number = pipe_of(peer, b"x")
        for count in (1, MOST, 100):
            assert peer.ask_files(command, [number] * count)["RESULT"] == EINVAL
        assert peer.lives()
        files_settle(house, peer, 0)
        descriptors_settle(house, before + 1)


def test_files_with_several_elements_none_or_a_range_are_einval(house: House) -> None:
    with sharer(house) as peer:
        chan = peer.make(**BUFFERED)
        before = house.process.descriptors()
        files = [pipe_of(peer, b"x")]
        one, desc = ("ELEMENT", b"x"), ("DESC", b"\1" * 24)
        for pairs in ([one, one], [], [desc], [desc, desc]):
            answer = peer.ask_files("CHAN_SEND", files, *pairs, CHAN_ID=chan, TIMEOUT_MS=0)
            assert answer["RESULT"] == EINVAL
        for wrong in (0, 2, 17, 2**32 - 1):
            clause = [("CHAN_ID", chan), ("ELEMENT", b"x"), ("FILES", wrong)]
            answer = peer.ask_files("SELECT", files, ("CLAUSE", clause), TIMEOUT_MS=0)
            assert answer["RESULT"] == EINVAL
        assert peer.result("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0) == EAGAIN
        descriptors_settle(house, before)


def test_who_cannot_take_files_gets_enotsup_and_the_message_stays(house: House) -> None:
    with sharer(house) as able, house.peer() as unable:
        chan = able.make(**BUFFERED)
        unable.open(chan)
        assert send(able, chan, [pipe_of(able, b"mine")])["RESULT"] == 0
        assert unable.result("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0) == _wire.KC_ENOTSUP
        assert texts(able.receive(chan)) == [b"mine"]


# --- limits ---


@both_transports
def test_files_that_the_daemon_has_no_room_for_are_the_end_of_their_sender_alone(
    house: House, transport: str
) -> None:
    """MSG_CTRUNC: the kernel has dropped some of them, so no frame would get its own. The limit is
    named, for EPROTO would blame the sender."""
    with sharer(house) as other, sharer(house, transport) as peer:
        chan = other.make(**BUFFERED)
        peer.open(chan)
        files = [pipe_of(peer, b"x")] * MOST
        before_files = house.process.descriptors()
        before = house.process.limit_descriptors(before_files + 3)
        try:
            words = {"REQ_ID": 5, "CHAN_ID": chan, "TIMEOUT_MS": 0, "ELEMENT": b"x"}
            peer.write_files("CHAN_SEND", files, **words)
            answer = peer.read()
            assert answer is not None
            assert answer["RESULT"] == _wire.KC_ENOMEM
            assert answer["QUOTA_NAME"] == b"open files of the daemon"
            assert answer["QUOTA_SETTING"] == b"LimitNOFILE"
            assert answer["QUOTA_LIMIT"] == before_files + 3
            assert peer.read() is None
            assert other.result("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0) == EAGAIN
            assert "passed files lost" in house.process.log()
            assert f"descriptors={before_files + 3}" in house.process.log()
            assert send(other, chan, files[:1])["RESULT"] == 0
            assert texts(other.receive(chan)) == [b"x"]
        finally:
            house.process.limit_descriptors(before)


@contextmanager
def house_with(*limits: str) -> Iterator[House]:
    """One that every user may connect to."""
    directory = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    directory.chmod(0o755)
    options = [word for limit in limits for word in ("--limit", limit)]
    try:
        with running_daemon(directory, "--socket-mode", "666", *options) as daemon:
            made = House(daemon)
            yield made
            made.check()
            made.finish()
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("limit", "name"), [("files_per_uid", b"files per uid"), ("files", b"files")]
)
def test_a_flood_of_files_names_quota_limit_usage_and_setting(limit: str, name: bytes) -> None:
    """The refused ones are closed at the door, and room comes back with the first receive."""
    with house_with(f"{limit}=20") as house, sharer(house) as peer, sharer(house) as second:
        chan = peer.make(KIND=_wire.KIND_UNLIMITED)
        second.open(chan)
        number = pipe_of(peer, b"x")
        before = house.process.descriptors()
        for _ in range(5):
            assert send(peer, chan, [number] * 4)["RESULT"] == 0
        for flooding in (peer, second) * 10:
            for count in (1, MOST):
                answer = send(flooding, chan, [number] * count)
                assert answer["RESULT"] == EDQUOT
                assert answer["QUOTA_NAME"] == name
                assert answer["QUOTA_SETTING"] == b"limits." + limit.encode()
                assert answer["QUOTA_LIMIT"] == 20
                assert answer["QUOTA_USAGE"] >= 20, "those that are being closed count"
        files_settle(house, peer, 20)
        assert peer.usage()["files"] == 20
        descriptors_settle(house, before + 20)
        assert len(peer.receive(chan)["files"]) == 4
        files_settle(house, peer, 16)
        assert send(second, chan, [number] * 4)["RESULT"] == 0
        assert send(second, chan, [number])["RESULT"] == EDQUOT


@both_transports
def test_the_first_refusal_of_a_frames_files_answers_it_and_only_a_quota_is_named(
    transport: str,
) -> None:
    with house_with("files_per_uid=1") as house, sharer(house, transport) as peer:
        chan = peer.make(**BUFFERED)
        own, pipe = peer.socket.fileno(), pipe_of(peer, b"x")
        refused = send(peer, chan, [own, pipe, pipe])
        assert refused["RESULT"] == EINVAL
        assert "QUOTA_NAME" not in refused
        files_settle(house, peer, 0)
        refused = send(peer, chan, [pipe, pipe, own])
        assert refused["RESULT"] == EDQUOT
        assert refused["QUOTA_NAME"] == b"files per uid"
        files_settle(house, peer, 0)
        assert send(peer, chan, [pipe])["RESULT"] == 0


# --- files that are dangerous to have ---


@both_transports
@pytest.mark.parametrize("passed", ["stream", "seqpacket"])
def test_a_connection_to_this_daemon_is_einval(house: House, transport: str, passed: str) -> None:
    """It would keep itself alive: a message that holds its own sender's connection."""
    with sharer(house, transport) as peer, sharer(house, passed) as other:
        chan = peer.make(**BUFFERED)
        before = house.process.descriptors()
        unaccepted = house.process.connect(passed)
        for connected in (peer.socket, other.socket, unaccepted):
            assert send(peer, chan, [connected.fileno()])["RESULT"] == EINVAL
            mixed = [pipe_of(peer, b"x"), connected.fileno(), pipe_of(peer, b"x")]
            assert send(peer, chan, mixed)["RESULT"] == EINVAL
        unaccepted.close()
        assert peer.lives()
        files_settle(house, peer, 0)
        house.turns()
        descriptors_settle(house, before)


def test_sockets_that_hold_themselves_and_each_other_leave_nothing(house: House) -> None:
    """The kernel collects such cycles when the last outside reference, the daemon's, is closed."""
    with sharer(house) as peer:
        chan = peer.make(**BUFFERED)
        before = house.process.descriptors()
        watched, writing = os.pipe()
        for _ in range(20):
            one, other = socket.socketpair()
            socket.send_fds(one, [b"x"], [one.fileno(), other.fileno(), writing])
            socket.send_fds(other, [b"x"], [one.fileno(), other.fileno()])
            assert send(peer, chan, [one.fileno(), other.fileno()])["RESULT"] == 0
            one.close()
            other.close()
        os.close(writing)
        assert house.process.descriptors() == before + 40
        assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 20
        descriptors_settle(house, before)
        for one in socket.socketpair():
            one.close()  # which lets the kernel look for cycles
        assert os.read(watched, 1) == b"", "the pipe in the cycles is still open"
        os.close(watched)


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


def test_flags_that_a_sender_changes_behind_a_file_are_its_receivers_and_stop_nobody_else(
    house: House,
) -> None:
    """One open file description: the receiver's reads would block now. We never read it."""
    with sharer(house) as peer, sharer(house) as other:
        chan = peer.make(**BUFFERED)
        other.open(chan)
        reading, writing = os.pipe2(os.O_NONBLOCK)
        peer.own(writing)
        assert send(peer, chan, [peer.own(reading)])["RESULT"] == 0
        os.set_blocking(reading, True)
        assert other.lives()
        house.turns()
        (received,) = other.ask("CHAN_RECV", CHAN_ID=chan)["files"]
        assert os.get_blocking(received)
        os.set_blocking(reading, False)
        assert not os.get_blocking(received)


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


def closes_files(house: House, peer: Sharer) -> bool:
    """A pipe whose writing end is purged comes to its end."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    chan = peer.make(**BUFFERED)
    try:
        assert send(peer, chan, [writing])["RESULT"] == 0
        os.close(writing)
        assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1
        for _ in range(2_000):
            try:
                return os.read(reading, 1) == b""
            except BlockingIOError:
                house.turns()
        return False
    finally:
        os.close(reading)
        peer.result("CHAN_RELEASE", CHAN_ID=chan, FLAGS=3)


def test_closes_of_one_user_that_hang_leave_threads_for_the_others() -> None:
    """One in each of 40 batches, in front of 16 threads; they are charged until they are closed."""
    with house_with() as house, ExitStack() as stack:
        attacker, other = stack.enter_context(stranger(house)), stack.enter_context(sharer(house))
        chan = attacker.make(**BUFFERED)
        readers = []
        for _ in range(40):
            number, reader = stack.enter_context(lingering())
            readers.append(reader)
            assert send(attacker, chan, [number])["RESULT"] == 0
            os.close(number)
            assert attacker.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1
            house.turns()
        assert attacker.usage()["files"] == 40
        assert closes_files(house, other)
        files_settle(house, other, 0)
        assert attacker.usage()["files"] == 40
        for reader in readers:
            reader.close()
        files_settle(house, attacker, 0)
        assert closes_files(house, attacker)


def flood(house: House, stack: ExitStack, peer: Sharer) -> Iterator[socket.socket]:
    """400 files that linger, passed once each; yields, a write after another, who lets them go."""
    for _ in range(25):
        pairs = [stack.enter_context(lingering()) for _ in range(MOST)]
        peer.write_files("PING", [number for number, _ in pairs], REQ_ID=5)
        for number, reader in pairs:
            os.close(number)
            yield reader
        house.turns()


def test_a_flood_of_files_that_linger_is_bounded_and_its_user_is_not_read() -> None:
    """Refused ones count: with 253 over its limit a uid brings no more, on whatever connection."""
    most = 20 + 253 + MOST
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
            assert before + 20 + 253 < house.process.descriptors() <= before + most
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


# --- files that work ---


def a_socket() -> int:
    return socket.socket(socket.AF_INET).detach()


def a_unix_socket() -> int:
    one, other = socket.socketpair()
    other.close()
    return one.detach()


def a_pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


def a_regular_file() -> int:
    with tempfile.TemporaryFile(dir="/tmp") as file:
        return os.dup(file.fileno())


KINDS: dict[str, Callable[[], int]] = {
    "socket": a_socket,
    "unix socket": a_unix_socket,
    "pipe": a_pipe,
    "pidfd": lambda: os.pidfd_open(os.getpid()),
    "directory": lambda: os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY),
    "memfd": lambda: memfd(4096, seals=0),
    "regular": a_regular_file,
    "path only": lambda: os.open("/tmp", os.O_PATH),
}


@both_transports
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_file_of_any_kind_arrives_as_itself(house: House, transport: str, kind: str) -> None:
    with sharer(house, transport) as sender, sharer(house, transport) as receiver:
        chan = sender.make(**BUFFERED)
        receiver.open(chan)
        number = sender.own(KINDS[kind]())
        assert send(sender, chan, [number], b"")["RESULT"] == 0
        answer = receiver.receive(chan)
        (got,) = answer["files"]
        assert answer["ELEMENT"] == [b""]
        assert got != number
        assert os.path.samestat(os.fstat(got), os.fstat(number))
        assert os.readlink(f"/proc/self/fd/{got}") == os.readlink(f"/proc/self/fd/{number}")


@both_transports
def test_files_outlive_their_sender(house: House, transport: str) -> None:
    with sharer(house) as keeper:
        chan = keeper.make(**BUFFERED)
        with sharer(house, transport) as sender:
            sender.open(chan)
            files = [pipe_of(sender, b"%d" % number) for number in range(MOST)]
            words = {"REQ_ID": 5, "CHAN_ID": chan, "ELEMENT": b"the last words"}
            sender.write_files("CHAN_SEND", files, **words)
        house.turns()
        answer = keeper.receive(chan)
        assert answer["ELEMENT"] == [b"the last words"]
        assert texts(answer) == [b"%d" % number for number in range(MOST)]


# --- whose files ---

PLAN = [[b"a"], [], [b"b", b"c"], [], [], [b"d"]]  # the files of six messages


def conversation(peer: Sharer, chan: int) -> list[tuple[bytes, list[int]]]:
    """Frames and their files."""
    return [
        (
            peer.frame_files(
                "CHAN_SEND", len(names), REQ_ID=9 + number, CHAN_ID=chan, ELEMENT=b"%d" % number
            ),
            [pipe_of(peer, name) for name in names],
        )
        for number, names in enumerate(PLAN)
    ]


def say_cut(peer: Sharer, said: list[tuple[bytes, list[int]]], cut: Callable[[int], bool]) -> None:
    """Files go with the first byte of their frame; further writes begin where `cut` says."""
    data = b"".join(frame for frame, _ in said)
    starts, at = {}, 0
    for frame, files in said:
        starts[at] = files
        at += len(frame)
    edges = [at for at in range(len(data)) if starts.get(at) or cut(at) or at == 0]
    for begin, end in zip(edges, [*edges[1:], len(data)], strict=True):
        if starts.get(begin):
            peer.say_files(data[begin:end], starts[begin])
        else:
            peer.say(data[begin:end])


def check_whose(peer: Sharer, receiver: Sharer, chan: int) -> None:
    for _ in PLAN:
        answer = peer.read()
        assert answer is not None
        assert answer["RESULT"] == 0
    for number, names in enumerate(PLAN):
        answer = receiver.receive(chan)
        assert (answer["ELEMENT"], texts(answer)) == ([b"%d" % number], names)


def test_a_stream_that_is_cut_anywhere_attaches_files_to_their_own_message(house: House) -> None:
    """Every byte as the place of a cut, every byte alone, and no cut but those that files make."""
    with sharer(house) as receiver:
        chan = receiver.make(**BUFFERED)
        whole = sum(len(frame) for frame, _ in conversation(receiver, chan))
        for place in range(whole + 2):
            with sharer(house) as peer:
                peer.open(chan)
                every = place == whole + 1
                say_cut(peer, conversation(peer, chan), lambda at, p=place, e=every: e or at == p)
                check_whose(peer, receiver, chan)


@pytest.mark.parametrize("runs", [[6], [1, 5], [2, 4], [1] * 6, [3, 3], [5, 1]])
def test_packets_of_any_number_of_frames_attach_files_to_their_own_message(
    house: House, runs: list[int]
) -> None:
    with sharer(house) as receiver, sharer(house, "seqpacket") as peer:
        chan = receiver.make(**BUFFERED)
        peer.open(chan)
        said = conversation(peer, chan)
        for count in runs:
            data = b"".join(frame for frame, _ in said[:count])
            files = [number for _, numbers in said[:count] for number in numbers]
            peer.say_files(data, files) if files else peer.say(data)
            del said[:count]
        check_whose(peer, receiver, chan)


class Nibbler(Sharer):
    """Reads byte by byte, and knows with which byte files came."""

    def hello(self, **attributes: Any) -> Any:
        self.heard = 0
        self.came_at: list[int] = []
        return super().hello(**attributes)

    def _receive(self) -> bytes:
        before = len(self._came)
        data, ancillary, _, _ = self.socket.recvmsg(1, socket.CMSG_SPACE(4 * MOST))
        for _, _, numbers in ancillary:
            self._came.extend(memoryview(numbers).cast("i"))
        if len(self._came) > before:
            self.came_at.append(self.heard)
        self.heard += len(data)
        return data


def test_files_reach_a_reader_of_single_bytes_with_the_first_byte_of_their_frame(
    house: House,
) -> None:
    with sharer(house) as sender:
        chan = sender.make(**BUFFERED)
        with Nibbler(house.process.connect()) as nibbler:
            nibbler.hello()
            nibbler.open(chan)
            for number in range(len(PLAN)):
                nibbler.write("CHAN_RECV", REQ_ID=20 + number, CHAN_ID=chan, TIMEOUT_MS=-1)
            say_cut(sender, conversation(sender, chan), lambda _: False)
            begins = []
            for names in PLAN:
                begin = nibbler.heard
                answer = nibbler.read()
                assert texts(answer) == names
                if names:
                    begins.append(begin)
            assert nibbler.came_at == begins


# --- exactly once ---

ROUNDS = 30


@contextmanager
def canaries(house: House) -> Iterator[None]:
    """Files that wait meanwhile: afterwards they are there, and they are what they were."""
    with sharer(house) as keeper:
        chan = keeper.make(**BUFFERED)
        for number in range(ROUNDS):
            assert send(keeper, chan, [pipe_of(keeper, b"%d" % number)])["RESULT"] == 0
        yield
        for number in range(ROUNDS):
            assert texts(keeper.receive(chan)) == [b"%d" % number]


def purge(peer: Sharer, number: int) -> None:
    chan = peer.make(**BUFFERED)
    assert send(peer, chan, [number] * 3)["RESULT"] == 0
    assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1


def destroy(peer: Sharer, number: int) -> None:
    chan = peer.make(**BUFFERED)
    assert send(peer, chan, [number] * 3)["RESULT"] == 0
    assert peer.result("CHAN_DESTROY", CHAN_ID=chan) == 0


def last_handle(peer: Sharer, number: int) -> None:
    chan = peer.make(**BUFFERED)
    assert send(peer, chan, [number] * 3)["RESULT"] == 0
    assert peer.result("CHAN_RELEASE", CHAN_ID=chan, FLAGS=3) == 0


def evict(peer: Sharer, number: int) -> None:
    chan = peer.make(KIND=1, CAPACITY=1, OVERFLOW=_wire.OVERFLOW_DROP_OLDEST)
    for _ in range(3):
        assert send(peer, chan, [number] * 2)["RESULT"] == 0
    assert len(peer.receive(chan)["files"]) == 2
    peer.close_files()


def turn_away(peer: Sharer, number: int) -> None:
    chan = peer.make(KIND=1, CAPACITY=1, OVERFLOW=_wire.OVERFLOW_DROP_NEWEST)
    for _ in range(3):
        send(peer, chan, [number] * 2)
    assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1


def conflate(peer: Sharer, number: int) -> None:
    chan = peer.make(KIND=_wire.KIND_CONFLATED)
    for _ in range(3):
        assert send(peer, chan, [number] * 2)["RESULT"] == 0
    assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1


def cancel(peer: Sharer, number: int) -> None:
    chan = peer.make()
    words = {"REQ_ID": 5, "CHAN_ID": chan, "TIMEOUT_MS": -1, "ELEMENT": b"x"}
    peer.write_files("CHAN_SEND", [number] * 2, **words)
    peer.write("CANCEL", REQ_ID=5)
    answer = peer.read()
    assert answer is not None
    assert answer["RESULT"] == _wire.KC_ECANCELED


def expire(peer: Sharer, number: int) -> None:
    chan = peer.make(**BUFFERED, FILE_TTL_MS=1)
    assert send(peer, chan, [number] * 2)["RESULT"] == 0
    for _ in range(100_000):
        if peer.usage()["files"] == ROUNDS:
            return
    raise AssertionError("files that are too old still wait")


def refuse(peer: Sharer, number: int) -> None:
    assert send(peer, 2**31, [number] * 3)["RESULT"] == _wire.KC_EBADF


ENDS = [purge, destroy, last_handle, evict, turn_away, conflate, cancel, expire, refuse]


@pytest.mark.parametrize("end", ENDS)
def test_files_that_nobody_gets_are_closed_exactly_once(
    house: House, end: Callable[[Sharer, int], None]
) -> None:
    with canaries(house), sharer(house) as peer:
        before = house.process.descriptors()
        reading, writing = os.pipe()
        for _ in range(ROUNDS):
            end(peer, writing)
        os.close(writing)
        descriptors_settle(house, before)
        assert house.process.descriptors() == before
        assert os.read(reading, 1) == b""
        os.close(reading)


def test_files_of_a_peer_that_dies_in_a_parked_send_are_closed_exactly_once(house: House) -> None:
    with canaries(house), sharer(house) as keeper:
        chan = keeper.make()
        before = house.process.descriptors()
        for _ in range(ROUNDS):
            with sharer(house) as peer:
                peer.open(chan)
                words = {"REQ_ID": 5, "CHAN_ID": chan, "TIMEOUT_MS": -1, "ELEMENT": b"x"}
                peer.write_files("CHAN_SEND", [pipe_of(peer, b"x")] * 2, **words)
                assert peer.lives()
        house.turns()
        descriptors_settle(house, before)
        assert house.process.descriptors() == before
