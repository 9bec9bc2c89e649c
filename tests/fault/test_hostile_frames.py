"""Bytes that no honest client sends: the right code or the end, for that connection alone.

Numbers are those of the hostile list: slow and silent peers (1 to 6), broken frames (7 to 10),
forged deliveries (12, 13), selects (34), deadlines (36), names (37).
"""

import math
import socket

import pytest

from kcoro_ipc import _wire, blocking, tlv
from kcoro_ipc.errors import InvalidArgument
from tests.fault.house import House
from tests.fault.peer import REQ_ID, Peer, attribute, raw_frame, u32

BUFFERED = {"KIND": 1, "CAPACITY": 64}
EPROTO, EMSGSIZE, EINVAL = _wire.KC_EPROTO, _wire.KC_EMSGSIZE, _wire.KC_EINVAL
ENOENT, EBADF = _wire.KC_ENOENT, _wire.KC_EBADF

both_transports = pytest.mark.parametrize("transport", ["stream", "seqpacket"])


# --- 1 to 6: slow, silent, in pieces ---


def test_01_a_slow_reader_gets_everything_and_slows_nobody(house: House) -> None:
    """Contract 4.12: it reads one byte at a time; between any two, others are served whole."""
    with house.peer() as slow, house.peer() as quick:
        chan = quick.make(**BUFFERED)
        slow.open(chan)
        for number in range(20):
            slow.write("CHAN_RECV", REQ_ID=100 + number, CHAN_ID=chan, TIMEOUT_MS=-1)
        for number in range(20):
            assert quick.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"%02d" % number * 20) == 0
        got = b""
        while len(got) < 20 * (8 + 8 + 8 + 4 + 40):
            got += slow.socket.recv(1)
            if len(got) % 100 == 0:
                assert quick.lives()
        slow._unread += got
        answers = [slow.read() for _ in range(20)]
        assert [one["ELEMENT"] for one in answers if one] == [
            [b"%02d" % number * 20] for number in range(20)
        ]
        assert slow.lives()


def test_03_a_peer_that_never_says_hello_costs_one_descriptor(house: House) -> None:
    """Contract 4.12: nobody is thrown out for being silent."""
    silent = [house.peer(greet=False) for _ in range(10)]
    house.turns()
    with house.peer() as other:
        assert other.lives()
        assert house.process.descriptors() == house.descriptors + 11
    for peer in silent:
        peer.hello()
        assert peer.lives()
        peer.socket.close()


@both_transports
def test_04_half_a_frame_and_silence_hold_nothing_up(house: House, transport: str) -> None:
    """Contract 4.15, 4.16: the connection waits for the rest, which may come at any time."""
    with house.peer(transport) as half, house.peer() as other:
        data = half.frame("CHAN_MAKE", REQ_ID=5, NAME="half a frame", FLAGS=7)
        half.say(data[:11])
        house.turns()
        assert other.result("CHAN_OPEN", NAME="half a frame") == ENOENT
        half.say(data[11:])
        answer = half.read()
        assert answer is not None
        assert answer["RESULT"] == 0


@both_transports
def test_05_half_a_frame_and_the_end_did_nothing(house: House, transport: str) -> None:
    """Contract 4.15: a frame is a frame when it is whole."""
    with house.peer() as other:
        chan = other.make(**BUFFERED)
        with house.peer(transport) as half:
            half.open(chan)
            data = half.frame("CHAN_SEND", REQ_ID=5, CHAN_ID=chan, ELEMENT=b"x" * 1000)
            half.say(data[:-1])
        house.turns()
        assert other.result("CHAN_RECV", CHAN_ID=chan) == _wire.KC_EAGAIN


@both_transports
def test_06_frames_byte_by_byte_are_frames(house: House, transport: str) -> None:
    """Contract 4.15: the input in pieces of one byte gives the same answers."""
    with house.peer(transport) as peer:
        chan = peer.make(**BUFFERED)
        conversation = [
            peer.frame("CHAN_SEND", REQ_ID=11, CHAN_ID=chan, ELEMENT=b"one"),
            peer.frame("CHAN_RECV", REQ_ID=12, CHAN_ID=chan),
            peer.frame("PING", REQ_ID=13),
        ]
        for byte in b"".join(conversation):
            peer.say(bytes([byte]))
        answers = [peer.read() for _ in range(3)]
        assert [one and one["RESULT"] for one in answers] == [0, 0, 0]
        assert answers[1] and answers[1]["ELEMENT"] == [b"one"]


# --- 7 to 10: broken frames ---


@both_transports
def test_07_a_length_of_0_is_a_frame_without_a_request(house: House, transport: str) -> None:
    """PROTOCOL, requests: a request of 1.1 has a REQ_ID, so this is EPROTO and the end."""
    for cmd in (_wire.CMD_CHAN_SEND, _wire.CMD_CHAN_MAKE, _wire.CMD_PING, _wire.CMD_SELECT):
        with house.peer(transport) as peer:
            peer.say(raw_frame(cmd, b""))
            assert peer.last_word() == EPROTO


@both_transports
@pytest.mark.parametrize("length", [2**32 - 1, 2**31, _wire.MAX_FRAME_BYTES + 1])
def test_07_a_length_over_the_limit_is_emsgsize_and_the_end(
    house: House, transport: str, length: int
) -> None:
    """Contract 4.15: before any of it was kept."""
    with house.peer(transport) as peer:
        peer.say(raw_frame(_wire.CMD_CHAN_SEND, b"xxxx", length=length))
        assert peer.last_word() == EMSGSIZE


def test_07_a_packet_frame_over_128_kib_is_emsgsize_and_the_end(house: House) -> None:
    """PROTOCOL, transports: MAX_FRAME is 128 KiB there."""
    with house.peer("seqpacket") as peer:
        length = _wire.MAX_SEQPACKET_FRAME_BYTES + 1
        peer.say(raw_frame(_wire.CMD_CHAN_SEND, b"", length=length))
        assert peer.last_word() == EMSGSIZE


BROKEN = {
    "a value longer than the frame": REQ_ID + attribute(_wire.ATTR_ELEMENT, b"x", length=2),
    "a value far longer than the frame": REQ_ID + attribute(_wire.ATTR_NAME, b"", length=0xFFFE),
    "an extended length longer than the frame": REQ_ID
    + attribute(_wire.ATTR_ELEMENT, b"\xff\xff\xff\xff", length=0xFFFF),
    "half a head": REQ_ID + b"\0\1\0",
    "half an extended length": REQ_ID + attribute(_wire.ATTR_ELEMENT, b"\0\0", length=0xFFFF),
    "a scalar twice": REQ_ID + REQ_ID,
    "an unknown critical attribute": REQ_ID + attribute(0x8000 | 999, b"x"),
    "a reserved critical attribute": REQ_ID + attribute(0x8000 | 25, b"x"),
    "a scalar of three bytes": REQ_ID + attribute(_wire.ATTR_TIMEOUT_MS, b"xxx"),
    "a scalar of no byte": REQ_ID + attribute(_wire.ATTR_CHAN_ID, b""),
    "nesting in a nested attribute": REQ_ID
    + attribute(_wire.ATTR_CLAUSE, attribute(_wire.ATTR_CLAUSE, b"")),
    "a broken nested attribute": REQ_ID + attribute(_wire.ATTR_CLAUSE, b"\0\1\0\5x"),
    "a nested scalar twice": REQ_ID + attribute(_wire.ATTR_CLAUSE, u32(_wire.ATTR_CHAN_ID, 1) * 2),
}


@both_transports
@pytest.mark.parametrize("name", BROKEN)
def test_08_and_09_a_malformed_frame_is_eproto_and_the_end(
    house: House, transport: str, name: str
) -> None:
    """Contract 4.15, on hot and control commands alike."""
    for cmd in (_wire.CMD_CHAN_SEND, _wire.CMD_SELECT, _wire.CMD_CHAN_MAKE, _wire.CMD_LIST):
        with house.peer(transport) as peer:
            peer.say(raw_frame(cmd, BROKEN[name]))
            assert peer.last_word() == EPROTO


def test_09_a_thousand_nested_levels_cost_nothing(house: House) -> None:
    """Contract 4.15: depth is 1; no reader recurses into what a client nests."""
    value = b""
    for _ in range(1000):
        value = attribute(_wire.ATTR_CLAUSE, value)
    for cmd in (_wire.CMD_SELECT, _wire.CMD_CHAN_MAKE):
        with house.peer() as peer:
            peer.say(raw_frame(cmd, REQ_ID + value))
            assert peer.last_word() == EPROTO


def test_09_ten_thousand_attributes_are_read_once(house: House) -> None:
    """PROTOCOL, frame: unknown types are skipped, however many there are."""
    with house.peer() as peer:
        peer.say(raw_frame(_wire.CMD_PING, attribute(999, b"y" * 3) * 10_000 + REQ_ID))
        answer = peer.read()
        assert answer is not None
        assert (answer["REQ_ID"], answer["RESULT"]) == (5, 0)


def test_09_unknown_flags_in_the_header_are_eproto(house: House) -> None:
    """PROTOCOL, frame: the high byte must be 0; a file that did not come is missing."""
    for flags in (0x0100, 0x8000, 0x0001, 0x00FD):
        with house.peer() as peer:
            peer.say(raw_frame(_wire.CMD_PING, REQ_ID, flags=flags))
            assert peer.last_word() == EPROTO


def test_09_files_are_refused_and_closed(house: House) -> None:
    """PROTOCOL, transports: surplus files end the connection; none stays open in the daemon."""
    with house.peer() as peer:
        data = peer.frame("PING", REQ_ID=5)
        socket.send_fds(peer.socket, [data], [peer.socket.fileno()] * 3)
        while peer.read() is not None:
            pass  # the PING itself may have been answered before the files were found too many
    with house.peer() as peer:
        socket.send_fds(peer.socket, [data[:3]], [peer.socket.fileno()] * 200)
        peer.say(data[3:])
        while peer.read() is not None:
            pass


@both_transports
def test_10_another_version_is_told_ours_and_ended(house: House, transport: str) -> None:
    """PROTOCOL, greeting: numbers, RESULT -EPROTONOSUPPORT, the end."""
    with house.peer(transport, greet=False) as peer:
        peer.write("HELLO", ABI_MAJOR=2, ABI_MINOR=0)
        answer = peer.read()
        assert answer is not None
        assert (answer["ABI_MAJOR"], answer["RESULT"]) == (1, _wire.KC_EPROTONOSUPPORT)
        assert peer.is_ended()


@both_transports
def test_10_hello_twice_is_eproto_and_the_end(house: House, transport: str) -> None:
    """PROTOCOL, greeting."""
    with house.peer(transport) as peer:
        peer.write("HELLO", ABI_MAJOR=1, ABI_MINOR=1)
        assert peer.last_word() == EPROTO


@both_transports
@pytest.mark.parametrize("command", ["CHAN_SEND", "CHAN_MAKE", "PING", "LIST", "SELECT", "CANCEL"])
def test_10_a_command_before_hello_is_eproto_and_the_end(
    house: House, transport: str, command: str
) -> None:
    """PROTOCOL, greeting."""
    with house.peer(transport, greet=False) as peer:
        peer.write(command, REQ_ID=5, CHAN_ID=1001)
        assert peer.last_word() == EPROTO


def test_10_an_unknown_command_is_enosys_and_the_connection_lives(house: House) -> None:
    """Contract 4.15."""
    with house.peer() as peer:
        for cmd in (0, 5, 31, 35, 52, 999, 0xFFFF):
            peer.say(raw_frame(cmd, REQ_ID))
            answer = peer.read()
            assert answer is not None
            assert (answer["REQ_ID"], answer["RESULT"]) == (5, _wire.KC_ENOSYS)
        assert peer.lives()


def test_10_a_live_request_id_twice_is_eproto_and_the_end(house: House) -> None:
    """PROTOCOL, requests: a live duplicate; the parked request is cancelled with its connection."""
    with house.peer() as other:
        chan = other.make()
        with house.peer() as peer:
            peer.open(chan)
            peer.write("CHAN_RECV", REQ_ID=7, CHAN_ID=chan, TIMEOUT_MS=-1)
            peer.write("CHAN_RECV", REQ_ID=7, CHAN_ID=chan, TIMEOUT_MS=-1)
            assert peer.last_word() == EPROTO
        assert other.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"x") == _wire.KC_EAGAIN


def test_a_channel_without_a_handle_is_ebadf(house: House) -> None:
    """ARCHITECTURE rule 5, contract 4.15: C answers, whether the channel exists or not."""
    with house.peer() as peer:
        for chan in (house.filled, 0, 1, 2**32 - 1):
            assert peer.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"x") == EBADF
            assert peer.result("CHAN_RECV", CHAN_ID=chan) == EBADF
        assert peer.lives()


# --- 12, 13: deliveries of others ---


def test_12_and_13_forged_and_foreign_deliveries_are_no_deliveries(house: House) -> None:
    """Contract 4.9: ENOENT, or silence without a REQ_ID; the bystander's message stays held."""
    held = house.held.delivery
    guesses = [held, held + 1, held ^ (1 << 32), held & 0xFFFFFFFF, 0, 1, 2**64 - 1, 2**63]
    with house.peer() as thief:
        thief.open(house.filled)
        for guess in guesses:
            assert thief.result("ACK", DELIVERY_ID=guess) == ENOENT
            assert thief.result("NACK", DELIVERY_ID=guess) == ENOENT
            thief.write("ACK", DELIVERY_ID=guess)
        many = [("DELIVERY_ID", guess) for guess in guesses] * 100
        assert thief.result("ACK", *many) == ENOENT
        thief.write("CHAN_RECV", *many, REQ_ID=6, CHAN_ID=house.filled, FLAGS=1)
        answer = thief.read()
        assert answer is not None
        delivery = answer["ITEM"][0]["DELIVERY_ID"]
        assert thief.result("NACK", DELIVERY_ID=delivery) == 0
        assert thief.result("ACK", DELIVERY_ID=delivery) == ENOENT


# --- 34: selects ---


def clause(**attributes: object) -> tuple[str, object]:
    return "CLAUSE", list(attributes.items())


def test_34_a_select_of_none_or_65_clauses_is_einval_and_the_connection_lives(
    house: House,
) -> None:
    """PROTOCOL, commands: 1 to 64; nothing was done on any channel."""
    with house.peer() as peer:
        chan = peer.make(**BUFFERED)
        assert peer.result("SELECT") == EINVAL
        arms = [clause(CHAN_ID=chan, ELEMENT=b"x")]
        assert peer.result("SELECT", *arms * 65) == EINVAL
        assert peer.result("CHAN_RECV", CHAN_ID=chan) == _wire.KC_EAGAIN
        assert peer.result("SELECT", *arms * 64) == 0
        assert peer.result("CHAN_RECV", CHAN_ID=chan) == 0
        assert peer.result("CHAN_RECV", CHAN_ID=chan) == _wire.KC_EAGAIN


def test_34_a_select_on_both_sides_of_one_channel_waits_for_another(house: House) -> None:
    """Contract 4.6: it never meets itself, twice the same channel is fine."""
    with house.peer() as peer, house.peer() as other:
        chan = peer.make()
        other.open(chan)
        arms = [clause(CHAN_ID=chan, ELEMENT=b"x"), clause(CHAN_ID=chan)] * 2
        assert peer.result("SELECT", *arms) == _wire.KC_EAGAIN
        peer.write("SELECT", *arms, REQ_ID=8, TIMEOUT_MS=-1)
        assert peer.lives()
        assert other.ask("CHAN_RECV", CHAN_ID=chan)["ELEMENT"] == [b"x"]
        answer = peer.read()
        assert answer is not None
        assert (answer["REQ_ID"], answer["RESULT"], answer["INDEX"] % 2) == (8, 0, 0)


def test_34_a_clause_without_a_channel_or_with_unknown_flags_is_refused(house: House) -> None:
    """Contract 4.15: with its index; the connection lives."""
    with house.peer() as peer:
        chan = peer.make(**BUFFERED)
        answer = peer.ask("SELECT", clause(CHAN_ID=chan), clause(ELEMENT=b"x"))
        assert (answer["RESULT"] < 0, answer.get("INDEX")) == (True, 1)
        answer = peer.ask("SELECT", clause(CHAN_ID=chan, FLAGS=0xFF))
        assert (answer["RESULT"], answer.get("INDEX")) == (EINVAL, 0)
        assert peer.lives()


# --- 36: deadlines ---


def test_36_the_most_negative_timeout_waits_for_ever(house: House) -> None:
    """PROTOCOL, values: the top bit means for ever."""
    with house.peer() as peer, house.peer() as other:
        chan = peer.make()
        other.open(chan)
        peer.write("CHAN_RECV", REQ_ID=8, CHAN_ID=chan, TIMEOUT_MS=-(2**31))
        assert peer.lives()
        assert other.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"x") == 0
        answer = peer.read()
        assert answer is not None
        assert answer["ELEMENT"] == [b"x"]


def test_36_the_largest_timeout_does_not_overflow(house: House) -> None:
    """Contract 4.1: 2^31 - 1 ms are 24 days, not the past."""
    with house.peer() as peer:
        chan = peer.make()
        peer.write("CHAN_RECV", REQ_ID=8, CHAN_ID=chan, TIMEOUT_MS=2**31 - 1)
        assert peer.lives()
        peer.write("CANCEL", REQ_ID=8)
        answer = peer.read()
        assert answer is not None
        assert answer["RESULT"] == _wire.KC_ECANCELED


def test_36_a_timeout_that_is_no_number_is_refused_by_the_client(house: House) -> None:
    """Contract 4.1: NaN is an error with a sentence; huge and infinite ones wait; a negative one is
    over. Nothing reaches the daemon out of range."""
    with blocking.open_client(house.process.address()) as client:
        chan = client.make_channel(kind="buffered", capacity=1)
        with pytest.raises(InvalidArgument, match="number of seconds"):
            chan.receive(timeout=math.nan)
        for timeout in (math.inf, 1e300, 2.0**63):
            chan.send(b"x", timeout=timeout)
            assert chan.receive(timeout=timeout) == b"x"


# --- 37: names ---


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b"a\0b",
        b"a/b",
        b"/",
        b"a\nb",
        b"\x1b[31m",
        b"\x7f",
        b"\xff\xfe",
        b"\xc0\x80",
        b"\xed\xa0\x80",
    ],
)
def test_37_a_name_that_is_none_is_einval_and_the_connection_lives(
    house: House, name: bytes
) -> None:
    """PROTOCOL, handles: UTF-8 without NUL, control characters or '/'."""
    with house.peer() as peer:
        named = REQ_ID + attribute(_wire.ATTR_NAME, name)
        for cmd in (_wire.CMD_CHAN_MAKE, _wire.CMD_CHAN_OPEN):
            peer.say(raw_frame(cmd, named + u32(_wire.ATTR_FLAGS, 3)))
            answer = peer.read()
            assert answer is not None
            assert (answer["REQ_ID"], answer["RESULT"]) == (5, EINVAL)
        assert peer.lives()


def test_37_a_name_that_is_too_long_is_enametoolong(house: House) -> None:
    """PROTOCOL, handles: 255 bytes. A name of 64 KiB makes a frame that is too long for a control
    frame; the connection lives all the same."""
    with house.peer() as peer:
        assert peer.result("CHAN_MAKE", NAME="n" * 256) == _wire.KC_ENAMETOOLONG
        for length in (60_000, 65_536):
            code = peer.result("CHAN_MAKE", NAME="n" * length)
            assert code in (_wire.KC_ENAMETOOLONG, EMSGSIZE)
        assert peer.make("n" * 255, FLAGS=7)
        assert peer.lives()


def test_37_a_hostile_client_name_does_not_write_the_log(house: House) -> None:
    """CLIENT_NAME is for eyes: no control character of it reaches the log or a listing."""
    with house.peer(greet=False) as peer:
        peer.say(
            raw_frame(
                _wire.CMD_HELLO,
                u32(_wire.ATTR_ABI_MAJOR, 1)
                + u32(_wire.ATTR_ABI_MINOR, 1)
                + attribute(_wire.ATTR_CLIENT_NAME, b"\x1b[2Jevil\nroot: all is well"),
            )
        )
        assert peer.read() is not None
        peer.say(raw_frame(_wire.CMD_CHAN_MAKE, REQ_ID + attribute(_wire.ATTR_NAME, b"a/b")))
        assert peer.read() is not None
    log = house.process.log()
    assert "\x1b" not in log
    assert "\nroot: all is well" not in log


BEHIND = 0x12345678  # no edge: an answer to this PING is no answer to anything else


# --- every command with every attribute at its edges ---


def test_edges_of_every_attribute_get_an_answer_or_an_end(house: House) -> None:
    """Contract 4.15: each command with each scalar at 0, 1, its top bit and all ones. The daemon
    answers, parks or ends that connection; it never falls over."""
    edges = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    commands = [number for number in tlv.COMMAND_NAMES if number != _wire.CMD_HELLO]
    scalars = [number for number, kind in _wire.ATTRIBUTE_TYPES.items() if kind in ("u32", "i32")]
    peer: Peer | None = None
    for cmd in commands:
        for number in scalars:
            for value in edges:
                if peer is None:
                    peer = house.peer()
                    chan = peer.make(**BUFFERED)
                own = u32(_wire.ATTR_REQ_ID, 9) if number != _wire.ATTR_REQ_ID else b""
                to = u32(_wire.ATTR_CHAN_ID, chan) if number != _wire.ATTR_CHAN_ID else b""
                peer = _after_edge(peer, raw_frame(cmd, own + to + u32(number, value)))
    if peer is not None:
        peer.socket.close()


def _after_edge(peer: Peer, data: bytes) -> Peer | None:
    """Says it, with a CANCEL and a PING behind it; None when the daemon ended the connection."""
    peer.say(data + peer.frame("CANCEL", REQ_ID=9) + peer.frame("PING", REQ_ID=BEHIND))
    while (answer := peer.read()) is not None:
        if answer["cmd"] == "PING" and answer.get("REQ_ID") == BEHIND:
            return peer
    peer.socket.close()
    return None
