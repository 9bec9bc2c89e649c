"""Requests meet their replies; places are kept for every side; the daemon's last word is heard."""

import pytest

from kcoro_ipc import _wire, tlv
from kcoro_ipc.errors import (
    EndOfChannel,
    MessageTooLong,
    OperationCancelled,
    ProtocolError,
    QuotaExceeded,
    VersionMismatch,
)
from kcoro_ipc.protocol.exchange import (
    EVENTS,
    IN_FLIGHT,
    LAST_REQ_ID,
    OWN_PLACES,
    SHARED_PLACES,
    Exchange,
)
from kcoro_ipc.protocol.greeting import check_greeting
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply, ReplyReader


def answer(req_id: int, result: int = 0) -> bytes:
    return tlv.build_frame("CHAN_SEND", [("REQ_ID", req_id), ("RESULT", result)], 1)


def read(cmd: str, *pairs: tuple[str, object]) -> Reply:
    (reply,) = ReplyReader().feed(tlv.build_frame(cmd, pairs, 1))
    return reply


def test_replies_in_any_order_find_who_asked() -> None:
    exchange: Exchange[str] = Exchange()
    for who in ("a", "b", "c"):
        exchange.add(exchange.new_id(), who)
    got = exchange.feed(answer(3) + answer(1, -11))
    assert [(who, reply.result) for who, reply in got] == [("c", 0), ("a", -11)]
    assert exchange.drain() == ["b"]
    assert exchange.drain() == []


def test_an_id_is_not_given_out_again_while_its_request_lives() -> None:
    exchange: Exchange[str] = Exchange()
    parked = exchange.new_id()
    exchange.add(parked, "parked for days")
    exchange._last_id = LAST_REQ_ID - 1
    assert [exchange.new_id() for _ in range(3)] == [LAST_REQ_ID, parked + 1, parked + 2]


def test_an_event_does_not_end_its_request() -> None:
    exchange: Exchange[str] = Exchange()
    req_id = exchange.new_id()
    exchange.add(req_id, "watcher", EVENTS)
    event = tlv.build_frame("SUBSCRIBE", [("REQ_ID", req_id)], 1)
    assert [who for who, _ in exchange.feed(event + event)] == ["watcher", "watcher"]
    assert [who for who, _ in exchange.feed(answer(req_id))] == ["watcher"]
    assert exchange.in_flight == {}


def test_an_answer_without_a_result_is_no_answer_and_ends_the_connection() -> None:
    exchange: Exchange[str] = Exchange()
    exchange.add(exchange.new_id(), "a")
    assert exchange.feed(tlv.build_frame("PING", [("REQ_ID", 1)], 1)) == []
    assert isinstance(exchange.failure, ProtocolError)
    assert "request 1 has no result" in str(exchange.failure)
    assert exchange.drain() == ["a"]


def test_an_answer_to_nothing_ends_the_connection_after_the_replies_before_it() -> None:
    exchange: Exchange[str] = Exchange()
    exchange.add(exchange.new_id(), "a")
    assert [who for who, _ in exchange.feed(answer(1) + answer(99))] == ["a"]
    assert isinstance(exchange.failure, ProtocolError)
    assert "request 99, which was never made" in str(exchange.failure)


def test_a_word_about_the_connection_becomes_its_failure() -> None:
    exchange: Exchange[str] = Exchange()
    exchange.add(exchange.new_id(), "a")
    exchange.feed(tlv.build_frame("CHAN_SEND", [("RESULT", _wire.KC_EMSGSIZE)], 1))
    assert type(exchange.failure) is MessageTooLong


@pytest.mark.parametrize("side", ["send", "receive", "select"])
def test_one_side_can_fill_all_places_but_the_others_own(side: str) -> None:
    exchange: Exchange[int] = Exchange()
    count = 0
    while exchange.has_place(side):
        exchange.add(exchange.new_id(), count, side)
        count += 1
    assert count == SHARED_PLACES + OWN_PLACES
    others = {"send", "receive", "select"} - {side}
    for other in others:
        for place in range(OWN_PLACES):
            assert exchange.has_place(other), (other, place)
            exchange.add(exchange.new_id(), count, other)
        assert not exchange.has_place(other)
    assert len(exchange.in_flight) == IN_FLIGHT
    assert exchange.has_place("")


def test_a_reply_gives_its_place_back() -> None:
    exchange: Exchange[int] = Exchange()
    while exchange.has_place("receive"):
        exchange.add(exchange.new_id(), 0, "receive")
    exchange.feed(answer(5))
    assert exchange.has_place("receive")


def test_a_refusal_carries_all_that_the_reply_said() -> None:
    reply = read(
        "CHAN_SEND",
        ("REQ_ID", 1),
        ("RESULT", _wire.KC_EDQUOT),
        ("QUOTA_NAME", "account_bytes"),
        ("QUOTA_LIMIT", 1 << 28),
        ("QUOTA_USAGE", 1 << 27),
        ("QUOTA_SETTING", "quota.bytes"),
        ("INDEX", 2),
    )
    error = failure_of(reply, "send", channel="jobs")
    assert type(error) is QuotaExceeded
    assert (error.quota, error.limit, error.usage) == ("account_bytes", 1 << 28, 1 << 27)
    assert (error.setting, error.index) == ("quota.bytes", 2)
    assert "channel jobs" in str(error)


def test_a_closed_channel_is_seen_from_its_side() -> None:
    reply = read("CHAN_RECV", ("REQ_ID", 1), ("RESULT", _wire.KC_EPIPE))
    assert type(failure_of(reply, "receive")) is EndOfChannel
    gone = read("CHAN_RECV", ("REQ_ID", 1), ("RESULT", _wire.KC_ECANCELED), ("REASON", "over"))
    error = failure_of(gone, "receive")
    assert type(error) is OperationCancelled
    assert error.reason == "over"


def test_a_greeting_gives_the_frame_limit() -> None:
    pairs = [("ABI_MAJOR", 1), ("ABI_MINOR", 1), ("CAPS", 0)]
    assert check_greeting(read("HELLO", *pairs, ("MAX_FRAME", 131072))) == (131072, 0, None)
    assert check_greeting(read("HELLO", *pairs)).max_frame_bytes == _wire.MAX_FRAME_BYTES
    assert (
        check_greeting(read("HELLO", *pairs, ("MAX_FRAME", 2**31))).max_frame_bytes
        == _wire.MAX_FRAME_BYTES
    )


def test_a_greeting_tells_the_quota_of_shared_memory() -> None:
    pairs = [("ABI_MAJOR", 1), ("ABI_MINOR", 1), ("CAPS", 3)]
    told = [("QUOTA_LIMIT", 65536), ("QUOTA_NAME", "region bytes"), ("QUOTA_SETTING", "limits.x")]
    quota = check_greeting(read("HELLO", *pairs, *told)).region_quota
    assert quota is not None
    refusal = quota.refusal(7)
    assert (refusal.quota, refusal.limit, refusal.usage, refusal.setting) == (
        "region bytes",
        65536,
        7,
        "limits.x",
    )


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (read("HELLO", ("ABI_MAJOR", 1), ("ABI_MINOR", 0)), VersionMismatch),
        (read("HELLO", ("ABI_MAJOR", 2), ("RESULT", _wire.KC_EPROTONOSUPPORT)), VersionMismatch),
        (read("HELLO", ("RESULT", _wire.KC_EDQUOT)), QuotaExceeded),
        (read("PING", ("RESULT", 0)), ProtocolError),
    ],
)
def test_a_greeting_that_will_not_do_is_refused(reply: Reply, error: type) -> None:
    with pytest.raises(error):
        check_greeting(reply)
