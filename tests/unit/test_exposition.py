"""The text of OpenMetrics, read by the parser of those who scrape it."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from kcoro_ipc import _wire
from kcoro_ipc.exposition import CHANNELS, DAEMON, END, USERS, Group, Row, label, lines, pieces
from kcoro_ipc.metrics import GAUGES, NOT_MEASURES

# What the parts that are told add up to, and times, which are none of a series.
NOT_TOLD = {
    "first_op_time_ns",
    "last_op_time_ns",
    "rv_cancels",
    "cancelled_waiters",
    "undelivered",
    "send_idx",
    "recv_idx",
    *NOT_MEASURES,
}


def parsed(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample's name -> values of its labels -> value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def told(group: Group) -> list[str]:
    return [value for family in group.families for _, value in family.samples]


def test_every_counter_of_the_wire_is_told_by_exactly_one_family() -> None:
    assert sorted(told(CHANNELS)) == sorted(set(_wire.STAT_NAMES) - NOT_TOLD)


@pytest.mark.parametrize("group", [USERS, DAEMON], ids=["users", "daemon"])
def test_every_value_of_a_row_is_told_by_exactly_one_family(group: Group) -> None:
    assert sorted(told(group)) == sorted(group.names)


def test_what_moves_both_ways_is_a_gauge_and_nothing_else_is() -> None:
    types = {value: family.type for family in CHANNELS.families for _, value in family.samples}
    assert {value for value, type in types.items() if type == "gauge"} == set(GAUGES)


def test_prometheus_reads_every_sample_with_its_labels_and_value() -> None:
    awkward = 'a "quoted\\ name'
    values = list(range(100, 100 + len(CHANNELS.names)))
    rows = [Row(f"{label('name', awkward)},{label('uid', 7)}", values, 'kind="buffered"')]
    found = parsed("".join([*lines(CHANNELS, rows), END]))
    samples = [sample for family in CHANNELS.families for sample in family.samples]
    assert sum(map(len, found.values())) == len(samples) + 1
    assert found["kcoro_channel_info"] == {(awkward, "7", "buffered"): 1}
    place = CHANNELS.names.index("cancelled_timeout")
    assert found["kcoro_channel_cancelled_waiters_total"][awkward, "7", "timeout"] == 100 + place


def test_a_value_that_is_not_known_is_no_sample() -> None:
    values: list[float | None] = [None] * len(DAEMON.names)
    values[DAEMON.names.index("cpu")] = 0.25
    found = parsed("".join([*lines(DAEMON, [Row("", values)]), END]))
    assert found == {"process_cpu_seconds_total": {(): 0.25}}


def test_pieces_are_whole_lines_and_together_the_text() -> None:
    every = [f"{i:03} {'ä' * (i % 7)}\n" for i in range(200)]
    cut = list(pieces(every, 64))
    assert b"".join(cut).decode() == "".join(every)
    assert max(map(len, cut)) <= 64
    assert all(piece.endswith(b"\n") for piece in cut)
    assert list(pieces(["x" * 100 + "\n"], 64)) == [b"x" * 100 + b"\n"]
