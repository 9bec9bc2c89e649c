"""Open files as no honest client passes them: wrong numbers, floods, cycles. The loss is the
attacker's, and what the daemon has open, counted in /proc, is as before.
"""

import os
import socket

import pytest

from kcoro_ipc import _wire
from tests.fault.house import House
from tests.fault.passing import BUFFERED, MOST, both_transports, house_with, pipe_of, send, texts
from tests.fault.sharer import Sharer, descriptors_settle, files_settle, sharer

EPROTO, EINVAL, EDQUOT, EAGAIN = _wire.KC_EPROTO, _wire.KC_EINVAL, _wire.KC_EDQUOT, _wire.KC_EAGAIN


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
            answer = send(peer, chan, [connected.fileno()])
            assert answer["RESULT"] == EINVAL
            assert answer["REASON"] == b"a connection to this daemon cannot be passed"
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
