"""CONNECTIONS, GET_STATS with HOLDERS or PACKED, and MAKE with TAP_OF."""

import struct
from typing import Any

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.records import Peer
from kcoro_ipc.reports import ConnectionInfo
from kcoro_ipc.structs import CLAUSE_SEND, NEVER, Waiter
from tests.unit.control.house import OWNER, READ, ROOT, STRANGER, WRITE, House, refused

HOLDERS, PACKED = _wire.FLAG_STATS_HOLDERS, _wire.FLAG_STATS_PACKED
KNOWN = dict.fromkeys(ConnectionInfo._fields, 0)


def pages(house: House, peer: Peer, command: str, **asked: Any) -> list[list[Any]]:
    """The ITEMs of every page; none is longer than the asker's frame."""
    found: list[list[Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = house.ask(peer, command, **asked, **cursor)
        assert answer["RESULT"] == 0
        assert house.last is not None
        assert len(house.last.frame) <= peer.max_frame
        found.append(answer.get("ITEM", []))
        if "CURSOR" not in answer:
            return found
        cursor = {"CURSOR": answer["CURSOR"]}


def items(house: House, peer: Peer, command: str, **asked: Any) -> list[Any]:
    return [item for page in pages(house, peer, command, **asked) for item in page]


def numbers(item: dict[str, Any]) -> dict[str, int]:
    values = struct.unpack(f">{len(item['NUMBERS']) // 8}Q", item["NUMBERS"])
    return dict(zip(_wire.CONNECTION_NUMBERS, values, strict=True))


def test_a_user_sees_his_own_connections_and_root_all() -> None:
    house = House()
    mine, other = house.peer(), house.peer(STRANGER)
    house.now_ns = 70
    also_mine = house.peer()
    root = house.peer(ROOT)
    house.now_ns = 100
    seen = items(house, mine, "CONNECTIONS")
    assert [item["VALUE"] for item in seen] == [mine.conn, also_mine.conn]
    assert (seen[0]["SENDER_UID"], seen[0]["SENDER_PID"]) == (OWNER, 10)
    assert seen[0]["CLIENT_NAME"] == b"test"
    assert [numbers(item)["age_ns"] for item in seen] == [100, 30]
    everybody = [mine, other, also_mine, root]
    assert [one["VALUE"] for one in items(house, root, "CONNECTIONS")] == [
        p.conn for p in everybody
    ]


def test_connections_come_in_pages_also_when_one_leaves_in_between() -> None:
    house = House()
    peers = [house.peer() for _ in range(7)]
    first = house.ask(peers[0], "CONNECTIONS", MAX_ITEMS=3)
    assert [item["VALUE"] for item in first["ITEM"]] == [1, 2, 3]
    house.leave(peers[2])
    house.leave(peers[3])
    rest = items(house, peers[0], "CONNECTIONS", CURSOR=first["CURSOR"])
    assert [item["VALUE"] for item in rest] == [5, 6, 7]


def test_many_connections_of_others_cost_a_bounded_page() -> None:
    house = House()
    mine = house.peer()
    for _ in range(40):
        house.peer(STRANGER)
    last = house.peer()
    found = pages(house, mine, "CONNECTIONS", MAX_ITEMS=1)
    assert [[item["VALUE"] for item in page] for page in found if page] == [
        [mine.conn],
        [last.conn],
    ]
    assert len(found) > 2  # at most 16 were looked at for each


@pytest.mark.parametrize("max_frame", [4096, 1 << 17])
def test_one_in_detail_tells_handles_then_what_waits_then_what_is_held(max_frame: int) -> None:
    house = House()
    peer = house.connect()
    house.ask(peer, "HELLO", ABI_MAJOR=1, ABI_MINOR=1, MAX_FRAME=max_frame)
    for i in range(60):
        house.ask(peer, "CHAN_MAKE", NAME=f"c{i}", FLAGS=WRITE if i else READ)
    house.ask(peer, "CHAN_OPEN", NAME="later", TIMEOUT_MS=-1, req_id=9)
    house.pump.info = lambda conn: ConnectionInfo(**KNOWN)  # type: ignore[assignment]
    house.engine.waiters = [
        Waiter(50 + i, 1, peer.conn, i, CLAUSE_SEND, "enqueued", 1, 0, 1001, NEVER)
        for i in range(99)
    ]
    house.engine.holding = [Waiter(7, 1, peer.conn, 5, 0, "claimed", 1, 0, 1002, 4_000_000)]
    seen = items(house, peer, "CONNECTIONS", VALUE=peer.conn)
    assert [item["CHAN_ID"] for item in seen[:60]] == list(range(1001, 1061))
    assert (seen[0]["FLAGS"], seen[1]["FLAGS"], seen[1]["NAME"]) == (READ, WRITE, b"c1")
    assert seen[60] == {"NAME": b"later", "WAITER_STATUS": b"opening"}
    assert [item["TOKEN"] for item in seen[61:160]] == list(range(50, 149))
    assert seen[61] == {
        "CHAN_ID": 1001,
        "NAME": b"c0",
        "WAITER_SIDE": _wire.WAITER_SENDS,
        "WAITER_STATUS": b"enqueued",
        "AGE_NS": 0,
        "TOKEN": 50,
    }
    assert (seen[160]["WAITER_STATUS"], seen[160]["TIMEOUT_MS"]) == (b"claimed", 4)
    assert len(seen) == 161


def test_one_of_another_user_is_not_to_be_known() -> None:
    house = House()
    mine, other = house.peer(), house.peer(STRANGER)
    assert refused(house.ask(mine, "CONNECTIONS", VALUE=other.conn), _wire.KC_ENOENT)
    assert refused(house.ask(mine, "CONNECTIONS", VALUE=77), _wire.KC_ENOENT)
    assert house.ask(house.peer(ROOT), "CONNECTIONS", VALUE=other.conn)["VALUE"] == other.conn


@pytest.mark.parametrize(
    "asked", [{"CURSOR": b"abc"}, {"MAX_ITEMS": 0}, {"VALUE": 1, "CURSOR": b"x"}]
)
def test_connections_refuses_a_strange_cursor_or_page(asked: dict[str, Any]) -> None:
    house = House()
    assert refused(house.ask(house.peer(), "CONNECTIONS", **asked), _wire.KC_EINVAL)


def test_a_manager_sees_who_has_a_handle_and_others_only_their_own_user() -> None:
    house = House()
    owner, guest, other_guest = house.peer(), house.peer(STRANGER), house.peer(1003)
    house.ask(owner, "CHAN_MAKE", NAME="jobs", FLAGS=READ, MODE=0o666)
    house.ask(guest, "CHAN_OPEN", NAME="jobs", FLAGS=WRITE)
    house.ask(other_guest, "CHAN_OPEN", NAME="jobs")
    house.engine.holding = [Waiter(7, 1, 1, 5, 0, "claimed", 1, 0, 1001)]
    seen = items(house, owner, "GET_STATS", NAME="jobs", FLAGS=HOLDERS)
    assert [item["VALUE"] for item in seen] == [owner.conn, guest.conn, other_guest.conn]
    assert [item["FLAGS"] for item in seen] == [READ, WRITE, READ | WRITE]
    assert [item["COUNT"] for item in seen] == [1, 1, 1]
    seen = items(house, guest, "GET_STATS", NAME="jobs", FLAGS=HOLDERS, MAX_ITEMS=1)
    assert [item.get("SENDER_PID") for item in seen] == [None, guest.pid, None]
    house.engine.waiters = [Waiter(1, 1, c.conn, 3, 0, "enqueued", 1, 0) for c in (owner, guest)]
    seen = items(house, guest, "GET_STATS", NAME="jobs", FLAGS=_wire.FLAG_STATS_WAITERS)
    assert [item.get("SENDER_UID") for item in seen] == [None, STRANGER]


def test_packed_counters_are_the_same_in_one_value() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    plain = house.ask(peer, "GET_STATS", NAME="jobs")
    packed = house.ask(peer, "GET_STATS", NAME="jobs", FLAGS=PACKED)
    values = struct.unpack(f">{len(_wire.STAT_NAMES)}Q", packed["NUMBERS"])
    assert list(values) == [stat["VALUE"] for stat in plain["STAT"]]
    assert "STAT" not in packed
    assert refused(house.ask(peer, "GET_STATS", NAME="jobs", FLAGS=HOLDERS | 1), _wire.KC_EINVAL)


def test_a_tap_is_buffered_never_full_and_of_its_maker_alone() -> None:
    house = House()
    peer = house.peer()
    source = house.ask(peer, "CHAN_MAKE", NAME="jobs")["CHAN_ID"]
    answer = house.ask(peer, "CHAN_MAKE", TAP_OF=source, FLAGS=READ)
    assert (answer["RESULT"], answer["KIND"], answer["CAPACITY"]) == (0, 1, 1024)
    assert answer["OVERFLOW"] == _wire.OVERFLOW_DROP_OLDEST
    assert house.engine.done[-1][0] == f"tap of {source}"
    sent = house.ask(house.peer(), "CHAN_OPEN", CHAN_ID=answer["CHAN_ID"], FLAGS=WRITE)
    assert sent["RESULT"] == _wire.KC_EACCES


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"NAME": "x"}, _wire.KC_EINVAL),
        ({"KIND": 1, "CAPACITY": 4}, _wire.KC_EINVAL),
        ({"ELEM_SIZE": 32}, _wire.KC_EINVAL),
        ({"FLAGS": _wire.FLAG_CHAN_ACK_REQUIRED}, _wire.KC_EINVAL),
        ({"TAP_OF": 4711}, _wire.KC_ENOENT),
    ],
)
def test_a_tap_that_cannot_be_is_refused(more: dict[str, Any], code: int) -> None:
    house = House()
    peer = house.peer()
    source = house.ask(peer, "CHAN_MAKE", NAME="jobs")["CHAN_ID"]
    assert refused(house.ask(peer, "CHAN_MAKE", **{"TAP_OF": source, **more}), code)
    assert len(house.registry.channels) == 1


def test_of_a_tap_that_the_engine_refuses_nothing_is_left() -> None:
    house = House()
    peer = house.peer()
    source = house.ask(peer, "CHAN_MAKE", NAME="jobs")["CHAN_ID"]
    house.engine.refuse_tap = InvalidArgument("a tap of a tap")
    assert refused(house.ask(peer, "CHAN_MAKE", TAP_OF=source), _wire.KC_EINVAL)
    assert house.engine.done == [("drop", house.engine.made[-1].user)]
    assert list(house.registry.names) == ["jobs"]
    assert (peer.user.channels, house.registry.channels[source].taps) == (1, 0)


def test_only_who_manages_a_channel_and_may_receive_may_tap_it() -> None:
    house = House()
    source = house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=0o666)["CHAN_ID"]
    answer = house.ask(house.peer(STRANGER), "CHAN_MAKE", TAP_OF=source)
    assert refused(answer, _wire.KC_EACCES)
    source = house.ask(house.peer(), "CHAN_MAKE", NAME="open", MODE=0o667)["CHAN_ID"]
    assert house.ask(house.peer(STRANGER), "CHAN_MAKE", TAP_OF=source)["RESULT"] == 0
    source = house.ask(house.peer(), "CHAN_MAKE", NAME="deaf", MODE=0o661)["CHAN_ID"]
    assert refused(house.ask(house.peer(STRANGER), "CHAN_MAKE", TAP_OF=source), _wire.KC_EACCES)


def test_a_tap_over_the_limit_is_refused_until_one_is_forgotten() -> None:
    house = House(taps_per_channel=2)
    peer, other = house.peer(), house.peer()
    source, another = (house.ask(peer, "CHAN_MAKE", NAME=name)["CHAN_ID"] for name in "ab")
    taps = [house.ask(one, "CHAN_MAKE", TAP_OF=source)["CHAN_ID"] for one in (peer, other)]
    over = house.ask(peer, "CHAN_MAKE", TAP_OF=source)
    assert refused(over, _wire.KC_EDQUOT)
    assert (over["QUOTA_SETTING"], over["QUOTA_USAGE"]) == (b"limits.taps_per_channel", 2)
    assert house.ask(peer, "CHAN_MAKE", TAP_OF=another)["RESULT"] == 0
    house.leave(other)
    assert taps[1] not in house.registry.channels
    assert house.ask(peer, "CHAN_MAKE", TAP_OF=source)["RESULT"] == 0
    assert refused(house.ask(peer, "CHAN_MAKE", TAP_OF=source), _wire.KC_EDQUOT)


def test_a_tap_may_outlive_the_channel_it_listened_to() -> None:
    house = House()
    peer, other = house.peer(), house.peer()
    source = house.ask(peer, "CHAN_MAKE", NAME="jobs")["CHAN_ID"]
    tap = house.ask(other, "CHAN_MAKE", TAP_OF=source)["CHAN_ID"]
    house.ask(peer, "CHAN_DESTROY", CHAN_ID=source)
    house.leave(peer)
    assert list(house.registry.channels) == [tap]
    house.leave(other)
    assert not house.registry.channels
