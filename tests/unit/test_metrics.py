"""Snapshots: complete, signed where the wire is, and readable by a parser that others wrote."""

import dataclasses
import json

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from kcoro_ipc import _wire
from kcoro_ipc.metrics import COUNTERS, GAUGES, ChannelSnapshot, openmetrics, rates, snapshot


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


def test_openmetrics_is_read_by_prometheus_own_parser() -> None:
    awkward = 'a "quoted\\ name'
    text = openmetrics([snapshot(numbered(), 1001, awkward), snapshot({}, 1002)])
    families = {family.name: family for family in text_string_to_metric_families(text)}
    sends = {s.labels["name"]: s.value for s in families["kcoro_channel_sends"].samples}
    assert sends == {awkward: 10.0, "": 0.0}
    assert families["kcoro_channel_depth"].type == "gauge"
    assert len(families) == 1 + len(COUNTERS) + len(GAUGES)


def test_rates_divide_by_the_interval_given_or_by_the_time_between_operations() -> None:
    first = snapshot({1: 10, 5: 1_000_000_000, 6: 2_000_000_000}, 1001)
    then = snapshot({1: 30, 5: 1_000_000_000, 6: 6_000_000_000}, 1001)
    assert rates(first, then).sends == 5.0
    assert rates(first, then, interval_sec=2.0).sends == 10.0
    assert rates(first, first) == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert rates(None, first).interval_sec == 1.0
