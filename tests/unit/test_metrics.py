"""Snapshots: complete, signed where the wire is, and held to their laws."""

import dataclasses
import json

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.metrics import ChannelSnapshot, rates, snapshot


def numbered() -> dict[int, int]:
    return {stat_id: stat_id * 10 for stat_id in range(1, len(_wire.STAT_NAMES) + 1)}


def test_a_snapshot_has_a_field_for_every_counter_in_the_order_of_the_wire() -> None:
    names = [field.name for field in dataclasses.fields(ChannelSnapshot)]
    assert names == ["chan_id", "name", *_wire.STAT_NAMES]


def test_a_snapshot_takes_each_value_by_its_id_and_ignores_those_of_a_newer_daemon() -> None:
    taken = snapshot(numbered() | {4000: 7}, 1001, "jobs")
    values = [getattr(taken, name) for name in _wire.STAT_NAMES]
    assert values == list(numbered().values())


@pytest.mark.parametrize("value", [-2 & 0xFFFF_FFFF, -2 & 0xFFFF_FFFF_FFFF_FFFF])
def test_a_kind_is_signed(value: int) -> None:
    kind_id = _wire.STAT_NAMES.index("kind") + 1
    assert snapshot({kind_id: value}, 1001).kind_name == "unlimited"


def test_json_holds_every_field_with_words_for_kind_and_state() -> None:
    loaded = json.loads(snapshot({1: 5, 48: 1, 50: 1}, 1001, "jobs").json())
    assert loaded["name"] == "jobs"
    assert (loaded["total_sends"], loaded["kind"], loaded["state"]) == (5, "buffered", "open")
    assert set(_wire.STAT_NAMES) < set(loaded)


def test_text_shows_gauges_always_and_counters_when_they_counted() -> None:
    lines = dict(
        line.split(maxsplit=1) for line in snapshot({1: 5}, 1001, "jobs").text().split("\n")
    )
    assert lines["total_sends"] == "5"
    assert lines["depth"] == "0"
    assert "total_recvs" not in lines


def lawful() -> dict[str, int]:
    return {
        "total_sends": 21, "total_recvs": 9, "depth": 5, "ready": 3, "held": 2, "drops_oldest": 1,
        "drops_newest": 2, "undelivered": 4, "undelivered_dropped": 1,
        "undelivered_dead_lettered": 3, "finished_waiters": 20, "matched_waiters": 7,
        "closed_waiters": 3, "cancelled_waiters": 10, "cancelled_cancel": 1, "cancelled_timeout": 2,
        "cancelled_dead": 3, "cancelled_destroyed": 4, "send_idx": 30, "recv_idx": 25,
    }  # fmt: skip


def test_lawful_counters_break_no_law() -> None:
    assert ChannelSnapshot(chan_id=1, **lawful()).breaches() == []


@pytest.mark.parametrize("name", sorted(lawful()))
@pytest.mark.parametrize("by", [1, -1])
def test_a_counter_that_is_off_by_one_breaks_a_law_that_names_it(name: str, by: int) -> None:
    breaches = ChannelSnapshot(chan_id=1, **lawful() | {name: lawful()[name] + by}).breaches()
    assert any(name in breach for breach in breaches)


def test_rates_divide_by_the_interval_given_or_by_the_time_between_operations() -> None:
    first = snapshot({1: 10, 5: 1_000_000_000, 6: 2_000_000_000}, 1001)
    then = snapshot({1: 30, 5: 1_000_000_000, 6: 6_000_000_000}, 1001)
    assert rates(first, then).sends == 5.0
    assert rates(first, then, interval_sec=2.0).sends == 10.0
    assert rates(first, first) == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert rates(None, first).interval_sec == 1.0
