"""The monitor's rounds, rows and lines, with a client that a test plays by hand."""

from typing import Any, cast

from kcoro_ipc.cli.top import fitting
from kcoro_ipc.errors import NoSuchChannel
from kcoro_ipc.metrics import ChannelSnapshot
from kcoro_ipc.monitor.lines import NO_RATES, Monitor, columns, dump, table
from kcoro_ipc.protocol.channels import ChannelInfo


class PlayedClient:
    """Answers from `now`; a chan_id that is listed and not there has just gone."""

    def __init__(self) -> None:
        self.listed: list[ChannelInfo] = []
        self.now: dict[int, ChannelSnapshot] = {}

    def list_channels(self) -> list[ChannelInfo]:
        return self.listed

    def statistics(self, chan_id: int) -> ChannelSnapshot:
        if chan_id not in self.now:
            raise NoSuchChannel()
        return self.now[chan_id]


def played(*infos: tuple[str | None, int]) -> tuple[PlayedClient, Monitor, list[float]]:
    client, clock = PlayedClient(), [100.0]
    client.listed = [ChannelInfo(name, chan_id, "buffered", 4) for name, chan_id in infos]
    return client, Monitor(cast(Any, client), lambda: clock[0]), clock


def snapshot(chan_id: int, **counters: int) -> ChannelSnapshot:
    return ChannelSnapshot(chan_id=chan_id, kind=1, state=1, capacity=4, **counters)


def test_rates_are_those_since_the_round_before() -> None:
    client, monitor, clock = played(("jobs", 7))
    client.now[7] = snapshot(7, total_sends=10, total_recvs=4, total_bytes_recv=400)
    monitor.observe()
    clock[0] += 2.0
    client.now[7] = snapshot(7, total_sends=30, total_recvs=10, total_bytes_recv=1000)
    (one,) = monitor.observe()
    assert (one.rates.sends, one.rates.recvs, one.rates.bytes_recv) == (10.0, 3.0, 300.0)
    assert one.as_dict()["sends_per_sec"] == 10.0
    assert one.as_dict()["name"] == "jobs"


def test_a_channel_that_went_away_is_left_out_and_starts_anew_when_it_is_back() -> None:
    client, monitor, clock = played(("a", 1), ("b", 2))
    client.now = {2: snapshot(2, total_sends=5)}
    assert [one.snapshot.name for one in monitor.observe()] == ["b"]
    client.now = {1: snapshot(1, total_sends=5)}
    monitor.observe()
    clock[0] += 1.0
    client.now = {2: snapshot(2, total_sends=5)}
    assert [one.rates for one in monitor.observe()] == [NO_RATES]  # totals are no rates


def test_the_table_is_sorted_by_name_and_names_what_is_closed() -> None:
    client, monitor, _ = played(("zeta", 1), (None, 2), ("alpha", 3))
    client.now = {
        1: snapshot(1, depth=2, parked_senders=1),
        2: snapshot(2),
        3: ChannelSnapshot(chan_id=3, kind=0, state=3),
    }
    assert [line.split() for line in table(monitor.observe())] == [
        ["NAME", "KIND", "DEPTH", "HELD", "SENDERS", "RECEIVERS", "SENT/S", "RECV/S", "MB/S"],
        ["#2", "buffered", "0", "0", "0", "0", "-", "-", "-"],
        ["alpha", "rendezvous", "(closed)", "0", "0", "0", "0", "-", "-", "-"],
        ["zeta", "buffered", "2", "0", "1", "0", "-", "-", "-"],
    ]


def test_on_a_screen_the_heading_stays_and_the_rest_is_counted() -> None:
    lines = ["HEADING", *(f"row {number}" for number in range(30)), ""]
    shown = fitting(lines, 80, 10)
    assert (len(shown), shown[0], shown[1]) == (9, "HEADING", "row 0")
    assert shown[-1].startswith("... 23 more")
    assert fitting(lines, 80, 40) == lines
    assert fitting(lines, 6, 40)[:2] == ["HEADIN", "row 0"]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [["NAME", "N"], ["a", "100"], ["longer", "1"]]
    assert list(columns(rows, left=(0,))) == ["NAME      N", "a       100", "longer    1"]


def test_the_dump_is_one_line_of_words() -> None:
    line = dump(ChannelSnapshot(chan_id=7, name="jobs", kind=-1, state=4, depth=1, drops_oldest=3))
    words = dict(word.split("=") for word in line.split(" "))
    assert (words["chan"], words["kind"], words["state"]) == ("jobs", "conflated", "destroyed")
    assert (words["depth"], words["drops_oldest"], words["cancelled"]) == ("1", "3", "0")
