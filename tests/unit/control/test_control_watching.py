"""SUBSCRIBE: events at an interval that tell what changed, and none that waits behind another."""

from typing import Any

import pytest

from kcoro_ipc import _wire, control
from kcoro_ipc.books import STATS_WIDTH
from kcoro_ipc.records import Peer
from tests.unit.control.house import STRANGER, House, refused


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


@pytest.fixture
def house() -> House:
    """With the channel jobs, 1001, that has counted nothing, and its owner's subscription."""
    house = House(subscriptions_per_uid=3)
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=0o604)
    house.engine.stats[1001] = [0] * STATS_WIDTH
    subscribe(house, house.registry.peers[1], 5)
    return house


def subscribe(house: House, peer: Peer, req_id: int) -> Any:
    return house.ask(peer, "SUBSCRIBE", req_id=req_id, NAME="jobs", INTERVAL_MS=100)


def pass_time(house: House, **counters: int) -> None:
    """The counters change, and the next events are due."""
    for name, value in counters.items():
        house.engine.stats[1001][_wire.STAT_NAMES.index(name) + 1] = value
    house.now_ns += 100_000_000
    control.due(house.broker, 64)


def told(event: dict[str, Any]) -> dict[str, int]:
    return {_wire.STAT_NAMES[one["STAT_ID"] - 1]: one["VALUE"] for one in event.get("STAT", [])}


def test_the_first_event_tells_all_and_the_next_what_changed(house: House) -> None:
    pass_time(house)
    pass_time(house, total_sends=5, depth=2)
    pass_time(house)
    pass_time(house, depth=1)
    first, *later = (told(event) for _, event in house.pump.events)
    names = set(_wire.STAT_NAMES) - {"handles_read", "handles_write"}
    assert {name: first[name] for name in names} == dict.fromkeys(names, 0)
    assert later == [{"total_sends": 5, "depth": 2}, {}, {"depth": 1}]


def test_while_an_event_waits_the_next_are_skipped_and_the_one_after_says_so(house: House) -> None:
    pass_time(house)
    house.pump.deaf = True
    pass_time(house, total_sends=1)  # the first one was read, this one waits
    for sends in (2, 3, 4):
        pass_time(house, total_sends=sends, depth=1)
    assert len(house.pump.events) == 2
    house.pump.deaf = False
    pass_time(house)
    _, event = house.pump.events[2]
    assert event["EVENTS_SKIPPED"] == 3
    assert told(event) == {"total_sends": 4, "depth": 1}
    pass_time(house)
    assert "EVENTS_SKIPPED" not in house.pump.events[3][1]
    assert (house.broker.books.events, house.broker.books.skipped) == (4, 3)


def test_an_event_waits_for_one_of_another_users_however_many_are_due() -> None:
    house = House()
    flooder, stranger = house.peer(), house.peer(STRANGER)
    house.ask(flooder, "CHAN_MAKE", NAME="jobs", MODE=0o604)
    for req_id in range(10, 60):
        subscribe(house, flooder, req_id)
    subscribe(house, stranger, 5)
    control.due(house.broker, 2)
    assert [conn for conn, _ in house.pump.events] == [flooder.conn, stranger.conn]
    control.due(house.broker, 64)
    assert [conn for conn, _ in house.pump.events[2:]] == [flooder.conn] * 49


def test_subscriptions_of_one_connection_do_not_skip_for_each_other(house: House) -> None:
    peer = house.registry.peers[1]
    house.pump.deaf = True
    subscribe(house, peer, 6)
    subscribe(house, peer, 7)
    pass_time(house)
    assert [event["REQ_ID"] for _, event in house.pump.events] == [5, 6, 7]
    pass_time(house)
    assert len(house.pump.events) == 3


def test_an_event_that_the_pump_refuses_counts_as_skipped(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(house.pump, "event", lambda conn, frame: _wire.KC_EAGAIN)
        pass_time(house, total_sends=1)
    pass_time(house)
    ((_, event),) = house.pump.events
    assert (event["EVENTS_SKIPPED"], told(event)["total_sends"]) == (1, 1)


def test_a_users_subscriptions_are_bounded_over_all_its_connections(house: House) -> None:
    peers = [house.peer() for _ in range(3)]
    for peer in peers[:2]:
        assert subscribe(house, peer, 5) is None
    answer = subscribe(house, peers[2], 5)
    assert refused(answer, _wire.KC_EDQUOT)
    assert answer["QUOTA_SETTING"] == b"limits.subscriptions_per_uid"
    assert subscribe(house, house.peer(STRANGER), 5) is None
    house.leave(peers[0])
    assert subscribe(house, peers[2], 5) is None
    control.cancelled(house.broker, peers[2].conn, 5)
    assert subscribe(house, peers[2], 6) is None
