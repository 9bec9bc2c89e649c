"""LIST, GET_INFO, GET_STATS."""

from typing import Any

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.records import Peer
from kcoro_ipc.reports import Share
from kcoro_ipc.structs import CLAUSE_SEND, Waiter, WaitingFiles
from tests.unit.control.house import OWNER, READ, STRANGER, House, refused


def test_list_pages_through_what_the_peer_may_see() -> None:
    house = House()
    owner = house.peer()
    for i in range(5):
        mode = 0o600 if i == 2 else 0o604
        house.ask(owner, "CHAN_MAKE", NAME=f"c{i}", KIND=i + 2, MODE=mode, FLAGS=READ)
    first = house.ask(house.peer(STRANGER), "LIST", MAX_ITEMS=3)
    assert [item["NAME"] for item in first["ITEM"]] == [b"c0", b"c1", b"c3"]
    assert first["ITEM"][0] == {
        "NAME": b"c0",
        "CHAN_ID": 1001,
        "KIND": 1,
        "CAPACITY": 2,
        "MODE": 0o604,
        "OWNER_UID": OWNER,
        "OWNER_GID": OWNER,
    }
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
        "TOKEN": 1,
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


def pages_of_files(house: House, peer: Peer, **asked: Any) -> list[list[Any]]:
    pages: list[list[Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = house.ask(peer, "GET_STATS", NAME="jobs", FLAGS=2, **asked, **cursor)
        assert house.last is not None
        assert len(house.last.frame) <= peer.max_frame
        pages.append(answer.get("ITEM", []))
        if "CURSOR" not in answer:
            return pages
        cursor = {"CURSOR": answer["CURSOR"]}


def test_get_stats_with_files_tells_whose_wait_oldest_first_page_by_page() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    gone = 99
    house.engine.files = [
        WaitingFiles(1, 30, peer.user.account, 2),
        WaitingFiles(gone, 20, peer.user.account, 16),
        WaitingFiles(gone, 10, peer.user.account + 1, 1),
    ]
    first, second = pages_of_files(house, peer, MAX_ITEMS=2)
    assert first[0] == {
        "COUNT": 2,
        "AGE_NS": 30,
        "VALUE": 1,
        "SENDER_UID": OWNER,
        "SENDER_PID": 10,
        "CLIENT_NAME": b"test",
    }
    assert first[1] == {"COUNT": 16, "AGE_NS": 20, "SENDER_UID": OWNER}  # it hung up
    assert second == [{"COUNT": 1, "AGE_NS": 10}]  # its user has left altogether


@pytest.mark.parametrize("max_frame", [4096, 8192])
def test_a_page_of_files_never_exceeds_the_askers_max_frame(max_frame: int) -> None:
    house = House()
    peer = house.connect()
    house.ask(
        peer, "HELLO", ABI_MAJOR=1, ABI_MINOR=1, MAX_FRAME=max_frame, CLIENT_NAME=b"\xff" * 255
    )
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.engine.files = [WaitingFiles(1, age, 0, 1) for age in range(600)]
    pages = pages_of_files(house, peer, MAX_ITEMS=1024)
    assert [item["AGE_NS"] for page in pages for item in page] == list(range(600))


@pytest.mark.parametrize("attributes", [{"FLAGS": 3}, {"FLAGS": 2, "CURSOR": b"abcde"}])
def test_get_stats_refuses_waiters_and_files_at_once_and_a_strange_cursor(
    attributes: dict[str, Any],
) -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    assert refused(house.ask(peer, "GET_STATS", NAME="jobs", **attributes), _wire.KC_EINVAL)


def test_get_info_tells_what_the_asking_user_has_here() -> None:
    house = House()
    peer = house.peer()
    house.peer(STRANGER)
    house.engine.paid_files = 4
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    told = {item["NAME"]: item["VALUE"] for item in house.ask(peer, "GET_INFO")["ITEM"]}
    assert told == {
        b"connections": 1,
        b"channels": 1,
        b"parked": 1,
        b"held": 2,
        b"bytes": 3,
        b"regions": 0,
        b"region_bytes": 0,
        b"leases": 0,
        b"files": 4,
        b"messages": 5,
        b"slowed": 0,
    }


@pytest.mark.parametrize(("mine", "of_others"), [(1, 600), (600, 2)])
def test_get_info_asks_the_pump_once_however_many_connections_there_are(
    mine: int, of_others: int
) -> None:
    house = House()
    own = [house.connect() for _ in range(mine - 1)] + [house.peer()]
    for _ in range(of_others):
        house.connect(STRANGER)
    house.pump.shares[own[0].user.account] = Share(mine, leases=7, slowed=9)
    house.pump.asked = 0
    told = {item["NAME"]: item["VALUE"] for item in house.ask(own[-1], "GET_INFO")["ITEM"]}
    assert house.pump.asked == 1
    assert (told[b"connections"], told[b"leases"], told[b"slowed"]) == (mine, 7, 9)


def test_get_info_forgets_a_connection_that_left() -> None:
    house = House()
    first, second = house.peer(), house.peer()
    house.leave(first)
    told = {item["NAME"]: item["VALUE"] for item in house.ask(second, "GET_INFO")["ITEM"]}
    assert told[b"connections"] == 1
