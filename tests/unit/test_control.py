"""Control frames: a request goes in as bytes, its answer comes out as attributes by name.

The engine and the pump are stand-ins that write down what was done to them; the real ones are
tested through the daemon (tests/e2e).
"""

import logging
from collections import deque
from typing import Any

import pytest

from kcoro_ipc import _wire, control, frames
from kcoro_ipc.broker import LEGACY_IDLE_NS, Broker
from kcoro_ipc.control import COMMANDS, Command, Then
from kcoro_ipc.errors import OperationCancelled, QuotaExceeded
from kcoro_ipc.logs import LINES_PER_WINDOW, WINDOW_NS
from kcoro_ipc.native import CLAUSE_SEND, ChannelConfig, Waiter
from kcoro_ipc.pump import SEQPACKET, STREAM, Closed, Control
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import Peer
from kcoro_ipc.registry import Registry

OWNER, STRANGER, ROOT = 1000, 1002, 0
READ, WRITE = _wire.FLAG_CHAN_READ, _wire.FLAG_CHAN_WRITE
EPHEMERAL, EXCLUSIVE = _wire.FLAG_CHAN_EPHEMERAL, _wire.FLAG_CHAN_EXCLUSIVE
LAST_SENDER, FIXED = _wire.FLAG_CHAN_CLOSE_ON_LAST_SENDER, _wire.FLAG_CHAN_FIXED_SIZE


class Engine:
    def __init__(self) -> None:
        self.made: list[ChannelConfig] = []
        self.done: list[tuple[str, int]] = []
        self.refuse_make: Exception | None = None
        self.waiters: list[Waiter] = []
        self.freed_accounts: list[int] = []

    def account_make(self, **limits: int) -> int:
        return 500

    def account_free(self, account: int) -> None:
        self.freed_accounts.append(account)

    def chan_make(self, config: ChannelConfig) -> int:
        if self.refuse_make:
            raise self.refuse_make
        self.made.append(config)
        return 70_000 + config.user

    def chan_close(self, chan: int) -> int:
        self.done.append(("close", chan - 70_000))
        return 0

    def chan_destroy(self, chan: int, reason: int, text: str) -> int:
        self.done.append((f"destroy: {text}", chan - 70_000))
        return 0

    def chan_drop(self, chan: int) -> int:
        self.done.append(("drop", chan - 70_000))
        return 0

    def chan_purge(self, chan: int) -> int:
        return 3

    def chan_reason(self, chan: int) -> str:
        return "enough"

    def chan_stats(self, chan: int) -> tuple[int, ...]:
        return tuple(range(100, 164))

    def chan_waiters(self, chan: int, dir: int, skip: int, most: int) -> list[Waiter]:
        return [waiter for waiter in self.waiters if waiter.dir == dir][skip : skip + most]


class Pump:
    def __init__(self) -> None:
        self.grants: dict[tuple[int, int], int] = {}
        self.finished: list[tuple[int, dict[str, Any]]] = []
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.refuse_grant = 0

    def grant(self, conn: int, chan_id: int, chan: int, rights: int) -> int:
        self.grants[conn, chan_id] = rights
        return self.refuse_grant

    def finish(self, conn: int, req_id: int, frame: bytes) -> int:
        self.finished.append((conn, read(frame)))
        return 0

    def event(self, conn: int, frame: bytes) -> int:
        self.events.append((conn, read(frame)))
        return 0

    def conn_of_waiter(self, user: int) -> int:
        return user


def read(frame: bytes, minor: int = 1) -> dict[str, Any]:
    """The command's name and every attribute by name; those that repeat as lists."""
    cmd = int.from_bytes(frame[:2])
    assert int.from_bytes(frame[4:8]) == len(frame) - 8
    found: dict[str, Any] = {"cmd": _wire.COMMAND_NAMES.get(cmd, cmd)}
    return found | named(frames.parse_payload(frame[8:], minor))


def named(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in pairs:
        name = _wire.ATTRIBUTE_NAMES[number]
        if number in _wire.REPEATABLE:
            found.setdefault(name, []).append(named(value))
        else:
            found[name] = value
    return found


class House:
    """A broker with a clock of its own, peers that greeted, and one call per request."""

    def __init__(self, **limits: int) -> None:
        self.engine, self.pump, self.now_ns = Engine(), Pump(), 0
        self.registry = Registry(Limits(**limits))
        stand_ins: Any = (self.engine, self.pump)
        self.broker = Broker(*stand_ins, self.registry, lambda: self.now_ns)
        self.last: control.Outcome | None = None

    def connect(self, uid: int = OWNER, transport: int = STREAM) -> Peer:
        conn = len(self.registry.peers) + 1
        user = self.broker.user(uid)
        peer = Peer(
            conn, user, gid=uid, groups=frozenset({uid}), pid=conn * 10, transport=transport
        )
        self.broker.join(peer)
        return peer

    def peer(self, uid: int = OWNER, minor: int = 1, transport: int = STREAM) -> Peer:
        peer = self.connect(uid, transport)
        self.ask(peer, "HELLO", ABI_MAJOR=1, ABI_MINOR=minor, CLIENT_NAME="test")
        return peer

    def ask(self, peer: Peer, command: str | int, req_id: int = 5, **attributes: Any) -> Any:
        """The answer, or None when the request was let go."""
        cmd = command if isinstance(command, int) else getattr(_wire, f"CMD_{command}")
        ungranted = attributes.pop("ungranted", False)
        greeted = attributes.pop("greeted", cmd != _wire.CMD_HELLO)
        pairs = [] if cmd == _wire.CMD_HELLO or not req_id else [(_wire.ATTR_REQ_ID, req_id)]
        pairs += [(getattr(_wire, f"ATTR_{key}"), value) for key, value in attributes.items()]
        return self.feed(peer, cmd, frames.build_payload(pairs, peer.minor), ungranted, greeted)

    def feed(
        self, peer: Peer, cmd: int, payload: bytes, ungranted: bool = False, greeted: bool = True
    ) -> Any:
        minor = peer.minor if greeted else 0
        asked = Control(peer.conn, cmd, minor, 0, greeted, ungranted, 0, payload)
        self.last = control.serve(self.broker, asked)
        return read(self.last.frame, peer.minor) if self.last.then is Then.REPLY else None

    def leave(self, peer: Peer) -> None:
        self.broker.depart(Closed(peer.conn, 0, 0, 0, 0, 0, 0, 0))


def refused(answer: dict[str, Any], code: int) -> bool:
    return bool(answer["RESULT"] == code and answer["REQ_ID"] == 5)


# --- hello ---


def test_a_1_0_client_gets_exactly_the_golden_answer() -> None:
    house = House()
    peer = house.connect()
    payload = bytes.fromhex("00010004000000010002000400000000")
    house.feed(peer, _wire.CMD_HELLO, payload, greeted=False)
    assert house.last is not None
    assert house.last.frame.hex() == "0001000000000010" + payload.hex()
    assert house.last.greet == (0, _wire.MAX_FRAME_BYTES)


@pytest.mark.parametrize(
    ("transport", "limit"),
    [(STREAM, _wire.MAX_FRAME_BYTES), (SEQPACKET, _wire.MAX_SEQPACKET_FRAME_BYTES)],
)
@pytest.mark.parametrize("minor", [1, 7])
def test_a_newer_client_gets_our_minor_and_the_frame_limit(
    transport: int, limit: int, minor: int
) -> None:
    house = House()
    answer = house.ask(house.connect(transport=transport), "HELLO", ABI_MAJOR=1, ABI_MINOR=minor)
    assert answer == {"cmd": "HELLO", "ABI_MAJOR": 1, "ABI_MINOR": 1, "CAPS": 0, "MAX_FRAME": limit}
    assert house.last is not None
    assert house.last.greet == (1, limit)


def test_a_client_may_ask_for_shorter_frames() -> None:
    house = House()
    house.ask(house.connect(), "HELLO", ABI_MAJOR=1, ABI_MINOR=1, MAX_FRAME=8192)
    assert house.last is not None
    assert house.last.greet == (1, 8192)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ABI_MAJOR": 2, "ABI_MINOR": 0}, _wire.KC_EPROTONOSUPPORT),
        ({"ABI_MAJOR": 0, "ABI_MINOR": 1}, _wire.KC_EPROTONOSUPPORT),
        ({"ABI_MAJOR": 0, "ABI_MINOR": 0}, _wire.KC_EINVAL),
        ({}, _wire.KC_EINVAL),
        ({"ABI_MAJOR": 1, "ABI_MINOR": 1, "MAX_FRAME": 10}, _wire.KC_EINVAL),
    ],
)
def test_a_hello_that_cannot_be_agreed_is_answered_with_our_numbers_and_the_end(
    attributes: dict[str, int], code: int
) -> None:
    house = House()
    answer = house.ask(house.connect(), "HELLO", **attributes)
    assert (answer["ABI_MAJOR"], answer["ABI_MINOR"], answer["RESULT"]) == (1, 1, code)
    assert house.last is not None
    assert (house.last.end, house.last.greet) == (code, None)


def test_a_connection_over_the_quota_is_told_which_one_in_the_answer_to_hello() -> None:
    house = House(connections_per_uid=1)
    house.peer()
    answer = house.ask(house.connect(), "HELLO", ABI_MAJOR=1, ABI_MINOR=1)
    assert answer["RESULT"] == _wire.KC_EDQUOT
    assert answer["QUOTA_NAME"] == b"connections per uid"
    assert (answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (1, 2)
    assert answer["QUOTA_SETTING"] == b"limits.connections_per_uid"
    assert house.last is not None
    assert house.last.end == _wire.KC_EDQUOT


@pytest.mark.parametrize(("command", "greeted"), [("CHAN_MAKE", False), ("HELLO", True)])
def test_a_command_before_hello_and_a_second_hello_end_the_connection(
    command: str, greeted: bool
) -> None:
    house = House()
    answer = house.ask(house.connect(), command, greeted=greeted)
    assert answer == {"cmd": command, "RESULT": _wire.KC_EPROTO}
    assert house.last is not None
    assert house.last.end == _wire.KC_EPROTO


# --- bad input ---


@pytest.mark.parametrize(
    "payload",
    [
        "",  # no REQ_ID
        "001a000400000000",  # REQ_ID 0
        "001a00040000000500390009616263",  # an attribute longer than its frame
        "001a000400000005001a000400000006",  # REQ_ID twice
        "001a0004000000050005000200ff",  # a scalar of two bytes
        "001a000400000005c0010000",  # an unknown critical attribute
    ],
)
def test_a_malformed_request_is_answered_without_req_id_and_ends_the_connection(
    payload: str,
) -> None:
    house = House()
    answer = house.feed(house.peer(), _wire.CMD_CHAN_MAKE, bytes.fromhex(payload))
    assert answer == {"cmd": "CHAN_MAKE", "RESULT": _wire.KC_EPROTO}
    assert house.last is not None
    assert house.last.end == _wire.KC_EPROTO


@pytest.mark.parametrize("command", ["CHAN_TRY_SEND", "CHAN_TRY_RECV"])
def test_the_last_answer_repeats_the_command_that_came_also_a_try(command: str) -> None:
    house = House()
    assert house.ask(house.connect(), command, greeted=False) == {
        "cmd": command,
        "RESULT": _wire.KC_EPROTO,
    }


@pytest.mark.parametrize(
    ("text", "length"),
    [
        (b"\xff" * 255, 255),
        ("ä".encode() * 128, 254),
        (b"a" + b"\xf0" * 254, 253),
        (b"x" * 60_000, 255),
    ],
)
def test_texts_are_cut_to_255_bytes_after_they_were_mended(text: bytes, length: int) -> None:
    house = House()
    peer = house.connect()
    house.ask(peer, "HELLO", ABI_MAJOR=1, ABI_MINOR=1, CLIENT_NAME=text)
    assert peer.client_name is not None
    assert len(peer.client_name.encode()) == length
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.ask(peer, "CHAN_DESTROY", NAME="jobs", REASON=text)
    assert house.engine.done[0] == (f"destroy: {peer.client_name}", 1001)


def test_a_reason_is_cut_between_two_characters() -> None:
    error = OperationCancelled(reason="x" + 200 * "ä")
    pairs = dict(control.request.failure(error, minor=1))
    assert pairs[_wire.ATTR_REASON] == ("x" + 127 * "ä").encode()


@pytest.mark.parametrize("command", [99, 35, 65_535])
def test_an_unknown_command_is_enosys_and_the_connection_lives(command: int) -> None:
    house = House()
    assert refused(house.ask(house.peer(), command), _wire.KC_ENOSYS)
    assert house.last is not None
    assert house.last.end is None


@pytest.mark.parametrize(
    "command", ["CHAN_OPEN", "CHAN_RELEASE", "CHAN_PURGE", "SUBSCRIBE", "SELECT", "PING"]
)
def test_a_1_0_connection_does_not_know_the_commands_of_1_1(command: str) -> None:
    house = House()
    answer = house.ask(house.peer(minor=0), command, CHAN_ID=1001)
    assert answer == {"cmd": command, "REQ_ID": 5, "RESULT": _wire.KC_ENOSYS}


def test_a_fault_of_ours_costs_the_connection_and_is_logged_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setitem(COMMANDS, _wire.CMD_LIST, Command(0, broken))  # type: ignore[arg-type]
    house = House()
    with caplog.at_level(logging.ERROR, "kcoro"):
        answer = house.ask(house.peer(), "LIST")
    assert answer == {"cmd": "LIST", "RESULT": _wire.KC_ECONNRESET}
    assert house.last is not None
    assert house.last.end == _wire.KC_ECONNRESET
    assert "ZeroDivisionError: planted" in caplog.text
    assert house.ask(house.peer(), "GET_INFO")["RESULT"] == 0


def test_a_frame_of_a_connection_that_is_gone_is_let_go() -> None:
    house = House()
    peer = house.peer()
    house.leave(peer)
    assert house.ask(peer, "LIST") is None


# --- make ---


def test_make_answers_what_the_channel_is_and_grants_both_rights() -> None:
    house = House()
    answer = house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", KIND=1, CAPACITY=64)
    assert answer == {
        "cmd": "CHAN_MAKE",
        "REQ_ID": 5,
        "RESULT": 0,
        "CHAN_ID": 1001,
        "KIND": 1,
        "CAPACITY": 64,
        "ELEM_SIZE": _wire.MAX_ELEMENT_BYTES,
        "OVERFLOW": 0,
        "FLAGS": READ | WRITE,
    }
    assert house.pump.grants == {(1, 1001): READ | WRITE}


def test_make_hands_every_setting_to_the_engine() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="dead", KIND=-2)
    house.ask(
        peer,
        "CHAN_MAKE",
        NAME="jobs",
        KIND=1,
        CAPACITY=3,
        ELEM_SIZE=100,
        OVERFLOW=2,
        UNDELIVERED=3,
        MAX_ATTEMPTS=63,
        MAX_BYTES=1 << 40,
        DEAD_LETTER="dead",
        FLAGS=FIXED | _wire.FLAG_CHAN_ACK_REQUIRED,
    )
    assert house.engine.made[1] == ChannelConfig(
        kind=1,
        capacity=3,
        overflow=2,
        undelivered=3,
        elem_size=100,
        flags=3,
        max_attempts=63,
        account=500,
        max_bytes=1 << 40,
        user=1002,
        dead_letter=71_001,
    )


@pytest.mark.parametrize(
    ("attributes", "kind", "capacity"),
    [
        ({}, 0, 0),
        ({"KIND": 5}, 1, 5),
        ({"KIND": 5, "CAPACITY": 5}, 1, 5),
        ({"KIND": -1}, -1, 0),
        ({"KIND": -2, "CAPACITY": 0}, -2, 0),
        ({"KIND": 1, "CAPACITY": 1 << 20}, 1, 1 << 20),
    ],
)
def test_kinds_and_capacities_are_exact(
    attributes: dict[str, int], kind: int, capacity: int
) -> None:
    house = House()
    answer = house.ask(house.peer(), "CHAN_MAKE", **attributes)
    assert (answer["KIND"], answer["CAPACITY"]) == (kind, capacity)
    assert house.engine.made[0][:2] == (kind, capacity)


@pytest.mark.parametrize(
    "attributes",
    [
        {"KIND": 1},
        {"KIND": 1, "CAPACITY": 0},
        {"KIND": 1, "CAPACITY": (1 << 20) + 1},
        {"KIND": (1 << 20) + 1},
        {"KIND": 5, "CAPACITY": 6},
        {"KIND": -3},
        {"KIND": -7},
        {"KIND": 0, "CAPACITY": 4},
        {"KIND": -1, "CAPACITY": 4},
        {"KIND": 0, "OVERFLOW": 1},
        {"KIND": -2, "OVERFLOW": 2},
        {"KIND": 1, "CAPACITY": 4, "OVERFLOW": 3},
        {"ELEM_SIZE": 0},
        {"ELEM_SIZE": (16 << 20) + 1},
        {"FLAGS": FIXED},
        {"FLAGS": 1 << 20},
        {"MODE": 0o1000},
        {"UNDELIVERED": 4},
        {"UNDELIVERED": 3},
        {"MAX_ATTEMPTS": 64},
        {"KIND": -1, "FLAGS": _wire.FLAG_CHAN_ACK_REQUIRED},
        {"NAME": ""},
        {"NAME": "a/b"},
        {"NAME": "a\0b"},
        {"NAME": b"\xff"},
    ],
)
def test_what_no_channel_can_be_is_einval_with_a_reason(attributes: dict[str, Any]) -> None:
    house = House()
    answer = house.ask(house.peer(), "CHAN_MAKE", **attributes)
    assert refused(answer, _wire.KC_EINVAL)
    assert answer["REASON"]
    assert house.registry.channels == {}


def test_a_name_of_256_bytes_is_too_long() -> None:
    house = House()
    assert refused(house.ask(house.peer(), "CHAN_MAKE", NAME="x" * 256), _wire.KC_ENAMETOOLONG)


def test_make_of_an_existing_name_opens_it_when_everything_given_agrees() -> None:
    house = House()
    first, second = house.peer(), house.peer()
    house.ask(first, "CHAN_MAKE", NAME="jobs", KIND=1, CAPACITY=4, FLAGS=EPHEMERAL | READ)
    for again in (
        {},
        {"KIND": 4},
        {"CAPACITY": 4, "KIND": 1},
        {"FLAGS": EPHEMERAL},
        {"MODE": 0o600},
    ):
        answer = house.ask(second, "CHAN_MAKE", NAME="jobs", **({"KIND": 1, "CAPACITY": 4} | again))
        assert (answer["RESULT"], answer["CHAN_ID"]) == (0, 1001)
    assert len(house.engine.made) == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"KIND": 0, "CAPACITY": 0},
        {"KIND": 1, "CAPACITY": 5},
        {"KIND": 8},
        {"KIND": 1, "CAPACITY": 4, "OVERFLOW": 1},
        {"KIND": 1, "CAPACITY": 4, "ELEM_SIZE": 7},
        {"KIND": 1, "CAPACITY": 4, "MODE": 0o666},
        {"KIND": 1, "CAPACITY": 4, "FLAGS": EPHEMERAL},
        {"KIND": 1, "CAPACITY": 4, "FLAGS": EXCLUSIVE},
        {"KIND": 1, "CAPACITY": 4, "MAX_BYTES": 9},
    ],
)
def test_make_of_an_existing_name_that_differs_or_is_exclusive_is_eexist(
    attributes: dict[str, int],
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", KIND=1, CAPACITY=4)
    other = house.peer()
    assert refused(house.ask(other, "CHAN_MAKE", NAME="jobs", **attributes), _wire.KC_EEXIST)
    assert other.handles == {}


def test_make_of_a_name_that_another_user_hides_is_eacces() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    answer = house.ask(house.peer(STRANGER), "CHAN_MAKE", NAME="jobs")
    assert refused(answer, _wire.KC_EACCES)


def test_an_exclusive_make_is_eexist_also_where_another_user_hides_the_name() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    answer = house.ask(house.peer(STRANGER), "CHAN_MAKE", NAME="jobs", FLAGS=EXCLUSIVE)
    assert refused(answer, _wire.KC_EEXIST)


def test_a_refusal_by_quota_names_quota_limit_usage_and_setting() -> None:
    house = House()
    house.engine.refuse_make = QuotaExceeded(
        quota="channels_per_uid", limit=2, usage=2, setting="limits.channels_per_uid"
    )
    answer = house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    assert refused(answer, _wire.KC_EDQUOT)
    assert (answer["QUOTA_NAME"], answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (
        b"channels_per_uid",
        2,
        2,
    )
    assert house.registry.names == {}


def test_a_channel_whose_maker_gets_no_handle_does_not_stay() -> None:
    house = House()
    house.pump.refuse_grant = _wire.KC_ENOMEM
    answer = house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    assert refused(answer, _wire.KC_ENOMEM)
    assert (house.registry.names, house.registry.channels) == ({}, {})
    assert house.engine.done[-1] == ("drop", 1001)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"NAME": "dead", "KIND": 0}, _wire.KC_EINVAL),
        ({"NAME": "elsewhere", "KIND": -2}, _wire.KC_ENOENT),
    ],
)
def test_a_dead_letter_channel_exists_and_is_unlimited(target: dict[str, Any], code: int) -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", **target)
    answer = house.ask(peer, "CHAN_MAKE", NAME="jobs", DEAD_LETTER="dead")
    assert refused(answer, code)


# --- 1.0 ---


@pytest.mark.parametrize(
    ("attributes", "kind", "capacity"),
    [
        ({"KIND": 1, "CAPACITY": 2}, 1, 2),
        ({"KIND": 1}, 1, 1),
        ({"KIND": 0, "CAPACITY": 9}, 0, 0),
        ({"KIND": 5}, 1, 5),
        ({"KIND": 5, "CAPACITY": 3}, 1, 3),
        ({"KIND": -2, "CAPACITY": 64}, -2, 0),
    ],
)
def test_a_1_0_make_is_answered_without_result_and_has_a_fixed_size(
    attributes: dict[str, int], kind: int, capacity: int
) -> None:
    house = House()
    answer = house.ask(house.peer(minor=0), "CHAN_MAKE", ELEM_SIZE=4, **attributes)
    assert answer == {"cmd": "CHAN_MAKE", "REQ_ID": 5, "CHAN_ID": 1001}
    made = house.engine.made[0]
    assert (made.kind, made.capacity, made.elem_size, made.flags) == (kind, capacity, 4, 1)


@pytest.mark.parametrize("size", [None, 0, 65_536])
def test_a_1_0_make_that_fails_is_answered_with_result_alone(size: int | None) -> None:
    house = House()
    given = {} if size is None else {"ELEM_SIZE": size}
    answer = house.ask(house.peer(minor=0), "CHAN_MAKE", **given)
    assert answer == {"cmd": "CHAN_MAKE", "REQ_ID": 5, "RESULT": _wire.KC_EINVAL}


def test_a_1_0_first_use_gets_a_handle_and_is_tried_again() -> None:
    house = House()
    house.ask(house.peer(minor=0), "CHAN_MAKE", ELEM_SIZE=4)
    other = house.peer(minor=0)
    assert house.ask(other, "CHAN_TRY_SEND", CHAN_ID=1001, ungranted=True) is None
    assert house.last is not None
    assert house.last.then is Then.RESUBMIT
    assert house.pump.grants[other.conn, 1001] == READ | WRITE


@pytest.mark.parametrize(
    ("uid", "made_by", "attributes", "code"),
    [
        (OWNER, 0, {"CHAN_ID": 999}, _wire.KC_ENOENT),
        (OWNER, 0, {}, _wire.KC_EINVAL),
        (STRANGER, 0, {"CHAN_ID": 1001}, _wire.KC_ENOENT),
        (OWNER, 1, {"CHAN_ID": 1001}, _wire.KC_EINVAL),  # elements of any size
    ],
)
def test_a_1_0_first_use_is_refused_under_the_plain_command(
    uid: int, made_by: int, attributes: dict[str, int], code: int
) -> None:
    house = House()
    house.ask(house.peer(minor=made_by), "CHAN_MAKE", ELEM_SIZE=4)
    peer = house.peer(uid, minor=0)
    answer = house.ask(peer, "CHAN_TRY_RECV", ungranted=True, **attributes)
    assert answer == {"cmd": "CHAN_RECV", "REQ_ID": 5, "RESULT": code}


def test_a_1_0_first_use_by_a_large_frame_comes_without_its_payload() -> None:
    house = House()
    house.ask(house.peer(minor=0), "CHAN_MAKE", ELEM_SIZE=60_000)
    other = house.peer(minor=0)
    large = Control(other.conn, _wire.CMD_CHAN_SEND, 0, 9, True, True, 1001, b"")
    assert control.serve(house.broker, large).then is Then.RESUBMIT
    unknown = control.serve(house.broker, large._replace(chan_id=4321))
    assert read(unknown.frame, 0) == {"cmd": "CHAN_SEND", "REQ_ID": 9, "RESULT": _wire.KC_ENOENT}


def test_a_1_0_first_use_gets_what_the_mode_gives_and_no_more() -> None:
    house = House()
    house.ask(
        house.peer(), "CHAN_MAKE", NAME="jobs", ELEM_SIZE=4, FLAGS=FIXED, MODE=0o602, req_id=1
    )
    peer = house.peer(STRANGER, minor=0)
    assert house.ask(peer, "CHAN_SEND", CHAN_ID=1001, ungranted=True) is None
    assert house.pump.grants[peer.conn, 1001] == WRITE
    answer = house.ask(peer, "CHAN_RECV", CHAN_ID=1001, ungranted=True)
    assert answer["RESULT"] == _wire.KC_EACCES


def test_a_1_0_destroy_closes_and_releases_without_an_answer() -> None:
    house = House()
    peer = house.peer(minor=0)
    house.ask(peer, "CHAN_MAKE", ELEM_SIZE=4)
    assert house.ask(peer, "CHAN_DESTROY", CHAN_ID=1001) is None
    assert house.ask(peer, "CHAN_DESTROY", CHAN_ID=4321) is None
    assert house.engine.done == [("close", 1001)]
    assert house.pump.grants[peer.conn, 1001] == 0
    assert 1001 in house.registry.channels


def test_channels_of_1_0_clients_outlive_them_until_their_user_was_gone_for_60_s() -> None:
    house = House()
    peer = house.peer(minor=0)
    house.ask(peer, "CHAN_MAKE", ELEM_SIZE=4)
    house.leave(peer)
    assert house.broker.next_deadline_ns() == LEGACY_IDLE_NS
    house.now_ns = LEGACY_IDLE_NS - 1
    control.due(house.broker, 64)
    assert list(house.registry.channels) == [1001]
    house.now_ns = LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert house.registry.channels == {}
    assert house.engine.done[-1] == ("drop", 1001)
    assert house.engine.freed_accounts == [500]
    assert house.broker.next_deadline_ns() is None


def test_the_account_of_a_user_goes_with_its_last_channel_when_it_is_gone_for_long() -> None:
    house = House()
    peer, other = house.peer(), house.peer(STRANGER)
    house.ask(peer, "CHAN_MAKE", NAME="jobs", MODE=0o607)
    house.leave(peer)
    house.now_ns = LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert house.engine.freed_accounts == []  # its channel is still charged to it
    house.ask(other, "CHAN_OPEN", NAME="jobs")
    house.ask(other, "CHAN_DESTROY", NAME="jobs")
    assert house.engine.freed_accounts == []  # the handle keeps the record
    house.ask(other, "CHAN_RELEASE", CHAN_ID=1001)
    assert house.engine.freed_accounts == [500]
    house.peer()  # and the user may come back
    house.leave(other)
    house.now_ns = 3 * LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert house.engine.freed_accounts == [500, 500]


def test_a_user_without_channels_keeps_its_account_for_60_s_after_its_last_connection() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs", FLAGS=EPHEMERAL)
    house.leave(peer)
    assert house.registry.channels == {}
    assert house.engine.freed_accounts == []
    house.now_ns = LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert house.engine.freed_accounts == [500]


def test_a_flood_of_refusals_is_counted_in_the_log_and_hides_nobody_elses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    stranger, other = house.peer(STRANGER), house.peer(STRANGER + 1)
    with caplog.at_level(logging.WARNING, "kcoro"):
        for _ in range(LINES_PER_WINDOW + 30):
            house.ask(stranger, "CHAN_OPEN", NAME="jobs")
        house.ask(other, "CHAN_OPEN", NAME="jobs")
        assert [record.fields["uid"] for record in caplog.records] == (  # type: ignore[attr-defined]
            [STRANGER] * LINES_PER_WINDOW + [STRANGER + 1]
        )
        assert house.broker.next_deadline_ns() == WINDOW_NS
        house.now_ns = WINDOW_NS
        control.due(house.broker, 64)
    assert caplog.records[-1].getMessage() == "log lines left out"
    assert caplog.records[-1].fields == {"uid": STRANGER, "count": 30}  # type: ignore[attr-defined]
    assert house.broker.next_deadline_ns() is None


def test_a_user_that_comes_back_keeps_its_1_0_channels() -> None:
    house = House()
    peer = house.peer(minor=0)
    house.ask(peer, "CHAN_MAKE", ELEM_SIZE=4)
    house.leave(peer)
    house.peer(minor=0)
    house.now_ns = 10 * LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert list(house.registry.channels) == [1001]


# --- open ---


def test_open_by_name_and_by_number_grant_what_was_asked() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", KIND=3, ELEM_SIZE=9)
    other = house.peer()
    answer = house.ask(other, "CHAN_OPEN", NAME="jobs", FLAGS=READ)
    assert (answer["KIND"], answer["CAPACITY"], answer["ELEM_SIZE"]) == (1, 3, 9)
    assert answer["FLAGS"] == READ
    assert house.pump.grants[other.conn, 1001] == READ
    assert house.ask(other, "CHAN_OPEN", CHAN_ID=1001, FLAGS=WRITE)["FLAGS"] == READ | WRITE


@pytest.mark.parametrize(
    ("uid", "attributes", "code"),
    [
        (OWNER, {"NAME": "none"}, _wire.KC_ENOENT),
        (OWNER, {"CHAN_ID": 77}, _wire.KC_ENOENT),
        (OWNER, {"CHAN_ID": 77, "TIMEOUT_MS": -1}, _wire.KC_ENOENT),
        (OWNER, {}, _wire.KC_EINVAL),
        (OWNER, {"NAME": "a/b", "TIMEOUT_MS": -1}, _wire.KC_EINVAL),
        (OWNER, {"NAME": "jobs", "FLAGS": EXCLUSIVE}, _wire.KC_EINVAL),
        (OWNER, {"NAME": "jobs", "FLAGS": EPHEMERAL}, _wire.KC_EEXIST),
        (STRANGER, {"NAME": "secret"}, _wire.KC_ENOENT),
        (STRANGER, {"NAME": "jobs"}, _wire.KC_EACCES),
    ],
)
def test_open_refuses(uid: int, attributes: dict[str, Any], code: int) -> None:
    house = House()
    maker = house.peer()
    house.ask(maker, "CHAN_MAKE", NAME="jobs", MODE=0o604)
    house.ask(maker, "CHAN_MAKE", NAME="secret")
    peer = house.peer(uid)
    assert refused(house.ask(peer, "CHAN_OPEN", **attributes), code)
    assert (peer.handles, peer.openings) == ({}, {})


@pytest.mark.parametrize(("uid", "hidden"), [(STRANGER, True), (STRANGER, False)])
def test_a_refusal_of_rights_is_one_line_of_the_log(
    uid: int, hidden: bool, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=0o600 if hidden else 0o604)
    peer = house.peer(uid)
    with caplog.at_level(logging.WARNING, "kcoro"):
        house.ask(peer, "CHAN_OPEN", NAME="jobs")
        house.ask(peer, "CHAN_OPEN", NAME="no such name")
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in lines] == ["refused"]
    said = lines[0].fields  # type: ignore[attr-defined]
    assert (said["uid"], said["name"]) == (STRANGER, "jobs")
    assert said["code"] == ("ENOENT" if hidden else "EACCES")


def test_open_with_a_timeout_waits_for_the_make_that_brings_the_name() -> None:
    house = House()
    waiting, maker = house.peer(), house.peer()
    assert house.ask(waiting, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, FLAGS=READ) is None
    house.ask(maker, "CHAN_MAKE", NAME="other")
    assert house.pump.finished == []
    house.ask(maker, "CHAN_MAKE", NAME="late", KIND=2)
    assert house.broker.next_deadline_ns() == 0  # due in this very turn
    control.due(house.broker, 64)
    ((conn, answer),) = house.pump.finished
    assert conn == waiting.conn
    assert (answer["cmd"], answer["REQ_ID"], answer["RESULT"]) == ("CHAN_OPEN", 5, 0)
    assert (answer["CHAN_ID"], answer["KIND"], answer["FLAGS"]) == (1002, 1, READ)
    assert house.pump.grants[waiting.conn, 1002] == READ
    assert house.registry.openings == {}


def test_one_make_answers_all_who_wait_in_their_order_and_not_those_who_may_not_see() -> None:
    house = House()
    peers = [house.peer(), house.peer(STRANGER), house.peer()]
    for peer in peers:
        house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=1000)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late")
    control.due(house.broker, 64)
    assert [conn for conn, _ in house.pump.finished] == [peers[0].conn, peers[2].conn]
    assert [opening.conn for opening in house.registry.openings["late"]] == [peers[1].conn]


def test_an_open_that_waited_and_lacks_a_right_is_refused_by_the_make() -> None:
    house = House()
    house.ask(house.peer(STRANGER), "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late", MODE=0o604)
    control.due(house.broker, 64)
    assert house.pump.finished[0][1]["RESULT"] == _wire.KC_EACCES


def test_an_open_that_waited_is_held_to_its_properties_as_a_direct_one() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, FLAGS=READ | EPHEMERAL)
    house.ask(house.peer(), "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, FLAGS=READ | FIXED)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late", ELEM_SIZE=4, FLAGS=FIXED)
    control.due(house.broker, 64)
    (refusal, opened) = (answer for _, answer in house.pump.finished)
    assert refused(refusal, _wire.KC_EEXIST)
    assert (opened["RESULT"], opened["FLAGS"]) == (0, READ | FIXED)


def test_a_name_that_many_wait_for_is_answered_in_order_a_bounded_number_per_turn() -> None:
    house = House()
    peers = [house.peer() for _ in range(8)]
    for peer in peers:
        house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late")
    told: list[int] = []
    for expected in (3, 6, 7):
        control.due(house.broker, 3)
        told = [conn for conn, _ in house.pump.finished]
        assert len(told) == expected
        if expected == 3:
            house.leave(peers[4])  # who is gone by then is left out
    assert told == [peer.conn for peer in peers if peer is not peers[4]]
    control.due(house.broker, 3)
    assert (house.registry.openings, house.broker.next_deadline_ns()) == ({}, None)


def test_who_was_not_answered_before_the_channel_went_waits_for_the_next_of_that_name() -> None:
    house = House()
    peers = [house.peer() for _ in range(3)]
    for peer in peers:
        house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    maker = house.peer()
    house.ask(maker, "CHAN_MAKE", NAME="late")
    control.due(house.broker, 1)
    house.ask(maker, "CHAN_DESTROY", NAME="late")
    control.due(house.broker, 64)
    assert [conn for conn, _ in house.pump.finished] == [peers[0].conn]
    house.ask(maker, "CHAN_MAKE", NAME="late")
    control.due(house.broker, 64)
    assert [conn for conn, _ in house.pump.finished] == [peer.conn for peer in peers]
    assert [answer["CHAN_ID"] for _, answer in house.pump.finished] == [1001, 1002, 1002]


@pytest.mark.parametrize("code", [_wire.KC_OK, _wire.KC_ETIME])
def test_due_work_stops_when_its_time_is_up_but_not_before_its_first(code: int) -> None:
    house = House()
    for _ in range(4):
        house.ask(house.peer(), "CHAN_OPEN", NAME="late", TIMEOUT_MS=1 if code else -1)
    if code == _wire.KC_OK:
        house.ask(house.peer(), "CHAN_MAKE", NAME="late")
    house.now_ns = 1_000_000
    for answered in (1, 2, 3, 4):
        control.due(house.broker, 64, until_ns=house.now_ns)
        assert len(house.pump.finished) == answered
    assert {answer["RESULT"] for _, answer in house.pump.finished} == {code}


@pytest.mark.parametrize(
    ("limits", "quota", "setting"),
    [
        ({"openings_per_connection": 2}, b"openings per connection", "openings_per_connection"),
        ({"openings_per_uid": 2}, b"openings per uid", "openings_per_uid"),
    ],
)
def test_opens_that_wait_are_a_quota_and_an_end_makes_room(
    limits: dict[str, int], quota: bytes, setting: str
) -> None:
    house = House(**limits)
    peer = house.peer()
    for req_id in (6, 7):
        house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, req_id=req_id)
    answer = house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    assert refused(answer, _wire.KC_EDQUOT)
    assert (answer["QUOTA_NAME"], answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (quota, 2, 2)
    assert answer["QUOTA_SETTING"] == f"limits.{setting}".encode()
    assert house.ask(house.peer(STRANGER), "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1) is None
    control.cancelled(house.broker, peer.conn, 7)
    assert house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1) is None
    house.leave(peer)
    assert peer.user.openings == 0


def test_handles_are_a_quota_of_the_connection_and_a_refused_make_leaves_nothing() -> None:
    house = House(handles_per_connection=2)
    peer = house.peer()
    for name in ("a", "b"):
        house.ask(peer, "CHAN_MAKE", NAME=name)
    answer = house.ask(peer, "CHAN_MAKE", NAME="c")
    assert refused(answer, _wire.KC_EDQUOT)
    assert (answer["QUOTA_NAME"], answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (
        b"handles per connection",
        2,
        2,
    )
    assert answer["QUOTA_SETTING"] == b"limits.handles_per_connection"
    assert sorted(house.registry.names) == ["a", "b"]
    assert house.ask(peer, "CHAN_OPEN", NAME="a")["RESULT"] == 0  # no handle more than before
    house.ask(house.peer(), "CHAN_MAKE", NAME="c")
    assert refused(house.ask(peer, "CHAN_OPEN", NAME="c"), _wire.KC_EDQUOT)


def test_an_open_that_waited_too_long_is_etime_at_its_deadline_and_not_before() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_OPEN", NAME="late", TIMEOUT_MS=200)
    assert house.broker.next_deadline_ns() == 200_000_000
    house.now_ns = 199_999_999
    control.due(house.broker, 64)
    assert house.pump.finished == []
    house.now_ns = 200_000_000
    control.due(house.broker, 64)
    assert house.pump.finished[0][1]["RESULT"] == _wire.KC_ETIME
    assert (house.registry.openings, house.broker.next_deadline_ns()) == ({}, None)


def test_an_open_that_waits_ends_by_cancel_once() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    control.cancelled(house.broker, peer.conn, 5)
    control.cancelled(house.broker, peer.conn, 5)
    control.cancelled(house.broker, 4321, 5)
    ((_, answer),) = house.pump.finished
    assert (answer["RESULT"], answer["REASON"]) == (_wire.KC_ECANCELED, b"cancelled")


def test_an_open_that_waits_dies_with_its_connection() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=10)
    house.leave(peer)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late")
    assert house.registry.arrivals == deque()
    house.now_ns = 10**9
    control.due(house.broker, 64)
    assert house.pump.finished == []


# --- lives ---


def test_an_ephemeral_channel_is_destroyed_with_its_last_handle() -> None:
    house = House()
    first, second = house.peer(), house.peer()
    house.ask(first, "CHAN_MAKE", NAME="jobs", FLAGS=EPHEMERAL)
    house.ask(second, "CHAN_OPEN", NAME="jobs")
    house.ask(first, "CHAN_RELEASE", CHAN_ID=1001)
    assert house.engine.done == []
    house.leave(second)
    assert house.engine.done == [("destroy: its last handle was released", 1001), ("drop", 1001)]
    assert (house.registry.names, house.registry.channels) == ({}, {})


@pytest.mark.parametrize(("name", "stays"), [("jobs", True), (None, False)])
def test_a_named_channel_stays_without_handles_and_an_anonymous_one_does_not(
    name: str | None, stays: bool
) -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", **({} if name is None else {"NAME": name}))
    house.leave(peer)
    assert (1001 in house.registry.channels) is stays


def test_close_on_last_sender_acts_when_the_last_sender_goes_and_never_before_the_first() -> None:
    house = House()
    receiver, sender, other = house.peer(), house.peer(), house.peer()
    house.ask(receiver, "CHAN_MAKE", NAME="jobs", FLAGS=LAST_SENDER | READ)
    house.leave(house.peer())
    house.ask(sender, "CHAN_OPEN", NAME="jobs", FLAGS=WRITE)
    house.ask(other, "CHAN_OPEN", NAME="jobs", FLAGS=READ | WRITE)
    house.ask(other, "CHAN_RELEASE", CHAN_ID=1001, FLAGS=READ)
    house.ask(other, "CHAN_RELEASE", CHAN_ID=1001, FLAGS=WRITE)
    assert house.engine.done == []
    house.leave(sender)
    assert house.engine.done == [("close", 1001)]
    house.leave(receiver)
    assert house.engine.done == [("close", 1001)]


def test_release_takes_counted_rights_and_more_than_it_holds_is_ebadf() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.ask(peer, "CHAN_OPEN", NAME="jobs", FLAGS=READ)
    assert house.ask(peer, "CHAN_RELEASE", CHAN_ID=1001)["RESULT"] == 0
    assert house.pump.grants[peer.conn, 1001] == READ
    assert refused(house.ask(peer, "CHAN_RELEASE", CHAN_ID=1001, FLAGS=WRITE), _wire.KC_EBADF)
    assert house.ask(peer, "CHAN_RELEASE", CHAN_ID=1001)["RESULT"] == 0
    assert refused(house.ask(peer, "CHAN_RELEASE", CHAN_ID=1001), _wire.KC_EBADF)


@pytest.mark.parametrize("command", ["CHAN_CLOSE", "CHAN_DESTROY", "CHAN_PURGE"])
@pytest.mark.parametrize(
    ("uid", "mode", "code"),
    [
        (OWNER, 0o600, 0),
        (OWNER, 0o000, 0),
        (ROOT, 0o000, 0),
        (STRANGER, 0o601, 0),
        (STRANGER, 0o606, _wire.KC_EACCES),
        (STRANGER, 0o600, _wire.KC_ENOENT),
    ],
)
def test_close_destroy_and_purge_are_for_owner_root_and_those_with_x(
    command: str, uid: int, mode: int, code: int
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=mode)
    for key in ({"CHAN_ID": 1001}, {"NAME": "jobs"}):
        assert house.ask(house.peer(uid), command, **key)["RESULT"] == code
        if command == "CHAN_DESTROY" and not code:
            break  # its name is gone now


def test_a_maker_gets_the_rights_it_asks_for_and_the_mode_counts_afterwards() -> None:
    house = House()
    maker = house.peer()
    assert house.ask(maker, "CHAN_MAKE", NAME="jobs", MODE=0o200)["FLAGS"] == READ | WRITE
    assert refused(house.ask(maker, "CHAN_OPEN", NAME="jobs", FLAGS=READ), _wire.KC_EACCES)


def test_purge_answers_how_many_it_dropped() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    assert house.ask(peer, "CHAN_PURGE", CHAN_ID=1001)["COUNT"] == 3


def test_after_destroy_the_name_is_free_and_old_handles_hear_the_reason() -> None:
    house = House()
    destroyer, holder = house.peer(), house.peer()
    house.ask(destroyer, "CHAN_MAKE", NAME="jobs")
    house.ask(holder, "CHAN_OPEN", NAME="jobs")
    house.ask(destroyer, "CHAN_DESTROY", CHAN_ID=1001, REASON="enough")
    assert house.engine.done == [("destroy: enough", 1001)]
    for command in ("CHAN_CLOSE", "CHAN_PURGE", "CHAN_OPEN", "SUBSCRIBE"):
        answer = house.ask(
            holder,
            command,
            CHAN_ID=1001,
            **({"INTERVAL_MS": 100} if command == "SUBSCRIBE" else {}),
        )
        assert (answer["RESULT"], answer["REASON"]) == (_wire.KC_ECANCELED, b"enough")
    assert house.ask(holder, "CHAN_DESTROY", CHAN_ID=1001)["RESULT"] == 0
    assert house.ask(house.peer(), "CHAN_OPEN", CHAN_ID=1001)["RESULT"] == _wire.KC_ENOENT
    assert house.ask(holder, "CHAN_MAKE", NAME="jobs")["CHAN_ID"] == 1002
    house.leave(destroyer)
    house.leave(holder)
    assert house.engine.done == [("destroy: enough", 1001), ("drop", 1001)]


# --- looking ---


def test_list_pages_through_what_the_peer_may_see() -> None:
    house = House()
    owner = house.peer()
    for i in range(5):
        mode = 0o600 if i == 2 else 0o604
        house.ask(owner, "CHAN_MAKE", NAME=f"c{i}", KIND=i + 2, MODE=mode, FLAGS=READ)
    first = house.ask(house.peer(STRANGER), "LIST", MAX_ITEMS=3)
    assert [item["NAME"] for item in first["ITEM"]] == [b"c0", b"c1", b"c3"]
    assert first["ITEM"][0] == {"NAME": b"c0", "CHAN_ID": 1001, "KIND": 1, "CAPACITY": 2}
    last = house.ask(house.peer(STRANGER), "LIST", MAX_ITEMS=3, CURSOR=first["CURSOR"])
    assert [item["NAME"] for item in last["ITEM"]] == [b"c4"]
    assert "CURSOR" not in last


@pytest.mark.parametrize("attributes", [{"CURSOR": b"abc"}, {"MAX_ITEMS": 0}, {"MAX_ITEMS": 1025}])
def test_list_refuses_a_strange_cursor_or_page(attributes: dict[str, Any]) -> None:
    house = House()
    assert refused(house.ask(house.peer(), "LIST", **attributes), _wire.KC_EINVAL)


def test_get_info_tells_versions_and_limits() -> None:
    house = House()
    answer = house.ask(house.peer(), "GET_INFO")
    assert (answer["RESULT"], answer["ABI_MAJOR"], answer["ABI_MINOR"]) == (0, 1, 1)
    assert answer["MAX_FRAME"] == _wire.MAX_FRAME_BYTES
    legacy = house.ask(house.peer(minor=0), "GET_INFO")
    assert legacy == {
        "cmd": "GET_INFO",
        "REQ_ID": 5,
        "RESULT": 0,
        "ABI_MAJOR": 1,
        "ABI_MINOR": 0,
        "CAPS": 0,
    }


def test_get_stats_tells_every_counter_and_the_registrys_handles() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs", FLAGS=READ)
    answer = house.ask(peer, "GET_STATS", NAME="jobs")
    stats = {stat["STAT_ID"]: stat["VALUE"] for stat in answer["STAT"]}
    assert list(stats) == list(range(1, len(_wire.STAT_NAMES) + 1))
    assert (stats[1], stats[52], stats[53]) == (101, 1, 0)
    legacy = house.ask(house.peer(minor=0), "GET_STATS", CHAN_ID=1001)
    assert (legacy["RESULT"], legacy["SEND_OPS"], legacy["RECV_OPS"]) == (0, 101, 102)


def waiter(conn: int, dir: int, age_ns: int) -> Waiter:
    return Waiter(1, 1, conn, age_ns, dir, "enqueued", 1, 0)


def test_get_stats_with_waiters_tells_who_waits_in_queue_order_page_by_page() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.engine.waiters = [waiter(1, CLAUSE_SEND, 30), waiter(9, 0, 20), waiter(1, 0, 10)]
    seen: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = house.ask(peer, "GET_STATS", NAME="jobs", FLAGS=1, MAX_ITEMS=2, **cursor)
        seen += answer.get("ITEM", [])
        if "CURSOR" not in answer:
            break
        cursor = {"CURSOR": answer["CURSOR"]}
    assert [(item["WAITER_SIDE"], item["AGE_NS"]) for item in seen] == [(0, 30), (1, 20), (1, 10)]
    assert seen[0] == {
        "WAITER_SIDE": 0,
        "WAITER_STATUS": b"enqueued",
        "AGE_NS": 30,
        "VALUE": 1,
        "SENDER_UID": OWNER,
        "SENDER_PID": 10,
        "CLIENT_NAME": b"test",
    }
    assert "VALUE" not in seen[1]  # not a connection of this daemon


@pytest.mark.parametrize("max_frame", [4096, 8192, 1 << 17])
def test_a_page_of_waiters_never_exceeds_the_askers_max_frame(max_frame: int) -> None:
    house = House()
    peer = house.connect()
    house.ask(
        peer,
        "HELLO",
        ABI_MAJOR=1,
        ABI_MINOR=1,
        MAX_FRAME=max_frame,
        CLIENT_NAME=b"\xff" * 255,
    )
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.engine.waiters = [waiter(1, CLAUSE_SEND, age) for age in range(300)]
    house.engine.waiters += [waiter(1, 0, age) for age in range(300, 600)]
    seen: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = house.ask(peer, "GET_STATS", NAME="jobs", FLAGS=1, MAX_ITEMS=1024, **cursor)
        assert house.last is not None
        assert len(house.last.frame) <= max_frame
        assert len(answer["STAT"]) == len(_wire.STAT_NAMES)
        seen += answer["ITEM"]
        if "CURSOR" not in answer:
            break
        cursor = {"CURSOR": answer["CURSOR"]}
    assert [item["AGE_NS"] for item in seen] == list(range(600))


def test_a_subscription_tells_at_once_and_every_interval_until_cancel() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    assert house.ask(peer, "SUBSCRIBE", NAME="jobs", INTERVAL_MS=100) is None
    control.due(house.broker, 64)
    assert house.broker.next_deadline_ns() == 100_000_000
    house.now_ns = 100_000_000
    control.due(house.broker, 64)
    assert len(house.pump.events) == 2
    event = house.pump.events[1][1]
    assert (event["cmd"], event["REQ_ID"], event["CHAN_ID"]) == ("SUBSCRIBE", 5, 1001)
    assert "RESULT" not in event
    control.cancelled(house.broker, peer.conn, 5)
    assert house.pump.finished[0][1]["RESULT"] == _wire.KC_ECANCELED
    house.now_ns = 10**12
    control.due(house.broker, 64)
    assert len(house.pump.events) == 2


@pytest.mark.parametrize("interval_ms", [0, 99])
def test_a_subscription_that_is_too_fast_is_einval(interval_ms: int) -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    answer = house.ask(peer, "SUBSCRIBE", NAME="jobs", INTERVAL_MS=interval_ms)
    assert refused(answer, _wire.KC_EINVAL)


def test_a_subscription_ends_with_its_channel() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.ask(peer, "SUBSCRIBE", NAME="jobs", INTERVAL_MS=100)
    house.ask(peer, "CHAN_DESTROY", NAME="jobs", REASON="enough")
    control.due(house.broker, 64)
    ((_, answer),) = house.pump.finished
    assert (answer["RESULT"], answer["REASON"]) == (_wire.KC_ECANCELED, b"enough")


# --- shutting down ---


@pytest.mark.parametrize("command", ["CHAN_MAKE", "CHAN_OPEN"])
def test_while_draining_make_and_open_are_cancelled_with_the_reason(command: str) -> None:
    house = House()
    peer = house.peer()
    house.broker.draining = True
    answer = house.ask(peer, command, NAME="jobs")
    assert (answer["RESULT"], answer["REASON"]) == (_wire.KC_ECANCELED, b"shutting down")


def test_at_the_end_everything_that_was_let_go_hears_of_it() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.ask(peer, "SUBSCRIBE", NAME="jobs", INTERVAL_MS=100, req_id=8)
    house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, req_id=9)
    control.end_waiting(house.broker, openings_only=True)
    assert [answer["REQ_ID"] for _, answer in house.pump.finished] == [9]
    control.end_waiting(house.broker, openings_only=False)
    assert [answer["REQ_ID"] for _, answer in house.pump.finished] == [9, 8]
    assert {answer["REASON"] for _, answer in house.pump.finished} == {b"shutting down"}
