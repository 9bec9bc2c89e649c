"""The monitor: rounds with a client that a test plays by hand, rows, keys, sheets, view."""

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from kcoro_ipc.metrics import ChannelSnapshot
from kcoro_ipc.monitor import keys, sheets, view
from kcoro_ipc.monitor.keys import State, pressed, split
from kcoro_ipc.monitor.lines import clean, columns, dump, seconds, short
from kcoro_ipc.monitor.rounds import ASKED, FIRST_PAGES, PAGES, Rounds
from kcoro_ipc.monitor.rows import (
    HISTORY,
    NO_RATES,
    PLAIN_BARS,
    Row,
    by_name,
    matches,
    sorted_rows,
    sparkline,
)
from kcoro_ipc.protocol.channels import ChannelInfo
from kcoro_ipc.protocol.connections import (
    ConnectionDetail,
    ConnectionInfo,
    HandleInfo,
    HolderInfo,
    OperationInfo,
)
from kcoro_ipc.protocol.waiters import Looked, WaiterInfo

ROOT = Path(__file__).resolve().parents[2]
PAGE = 2


class PlayedClient:
    """Answers from `now`, lists in pages of 2; one that is listed and not there has just gone."""

    def __init__(self) -> None:
        self.listed: list[ChannelInfo] = []
        self.now: dict[int, Looked] = {}
        self.pages = 0
        self.asked: list[list[int]] = []

    def list_some(self, after: bytes | None) -> tuple[list[ChannelInfo], bytes | None]:
        self.pages += 1
        start = int(after or b"0")
        stop = start + PAGE
        more = str(stop).encode() if stop < len(self.listed) else None
        return self.listed[start:stop], more

    def look_over(self, chan_ids: list[int]) -> list[Looked | None]:
        self.asked.append(list(chan_ids))
        return [self.now.get(chan_id) for chan_id in chan_ids]


def played(*infos: tuple[str | None, int]) -> tuple[PlayedClient, Rounds, list[float]]:
    client, clock = PlayedClient(), [100.0]
    client.listed = [ChannelInfo(name, chan_id, "buffered", 4) for name, chan_id in infos]
    return client, Rounds(cast(Any, client), lambda: clock[0]), clock


def looked(chan_id: int, oldest_ns: int = 0, **counters: int) -> Looked:
    known = {"kind": 1, "state": 1, "capacity": 4, **counters}
    oldest = WaiterInfo("send", "enqueued", oldest_ns) if oldest_ns else None
    return Looked(ChannelSnapshot(chan_id=chan_id, **known), oldest)


def row(name: str, chan_id: int = 1, **counters: int) -> Row:
    return Row(chan_id, name, "buffered", 4, looked(chan_id, **counters))


# --- rounds ---


def test_rates_are_those_since_the_round_before() -> None:
    client, rounds, clock = played(("jobs", 7))
    client.now[7] = looked(7, total_sends=10, total_recvs=4, total_bytes_recv=400)
    rounds.list_all()
    rounds.ask([7])
    assert rounds.rows()[0].rates == NO_RATES  # totals are no rates
    clock[0] += 2.0
    client.now[7] = looked(7, 5, total_sends=30, total_recvs=10, total_bytes_recv=1000)
    rounds.ask([7])
    (one,) = rounds.rows()
    assert (one.rates.sends, one.rates.recvs, one.rates.bytes_recv) == (10.0, 3.0, 300.0)
    assert (one.history, one.oldest_ns) == ((13.0,), 5)
    told = one.as_dict()
    assert (told["sends_per_sec"], told["name"], told["interval_sec"]) == (10.0, "jobs", 2.0)


def test_a_channel_that_went_away_is_left_out_and_starts_anew_when_it_is_back() -> None:
    client, rounds, clock = played(("a", 1), ("b", 2))
    client.now = {1: looked(1), 2: looked(2, total_sends=5)}
    rounds.list_all()
    rounds.ask([1, 2])
    del client.now[2]
    rounds.ask([1, 2])
    assert [one.name for one in rounds.rows()] == ["a"]
    clock[0] += 1.0
    client.now[2] = looked(2, total_sends=9)
    rounds.list_all()
    rounds.ask([1, 2])
    assert {one.rates for one in rounds.rows() if one.name == "b"} == {NO_RATES}
    client.listed = client.listed[1:]
    rounds.list_all()
    assert [one.name for one in rounds.rows()] == ["b"]


def test_rows_are_by_name_also_when_some_have_come_and_gone() -> None:
    client, rounds, _ = played(("b", 1), ("d", 2), ("a", 3))
    client.now = {i: looked(i) for i in range(1, 5)}
    rounds.list_all()
    assert [one.name for one in rounds.rows()] == ["a", "b", "d"]
    client.listed = [*played(("c", 4))[0].listed, *client.listed[1:]]
    rounds.list_all()
    assert [one.name for one in rounds.rows()] == ["a", "c", "d"]
    del client.now[3]
    rounds.ask([3])
    assert [one.name for one in rounds.rows()] == ["c", "d"]
    assert [one.name for one in rounds.rows("D")] == ["d"]


def test_a_round_reads_a_bounded_number_of_pages_and_goes_on_in_the_next() -> None:
    number = (FIRST_PAGES + 1) * PAGE
    client, rounds, _ = played(*((f"c{i}", i) for i in range(1, number + 1)))
    rounds.list_some()
    assert (client.pages, len(rounds)) == (FIRST_PAGES, number - PAGE)
    rounds.list_some()
    assert len(rounds) == number
    client.pages = 0
    rounds.list_some()
    assert (client.pages, len(rounds)) == (PAGES, number)


def test_a_round_asks_for_what_is_shown_and_a_bounded_number_of_the_others_in_turn() -> None:
    number = 2 * ASKED + 10
    client, rounds, _ = played(*((f"c{i}", i) for i in range(1, number + 1)))
    client.now = {i: looked(i) for i in range(1, number + 1)}
    rounds.list_all()
    rounds.ask([5, 6])
    assert client.asked[-1] == [5, 6]
    everybody = list(range(1, number + 1))
    for _ in range(3):
        rounds.ask([5, 6], everybody)
        assert len(client.asked[-1]) <= ASKED + 2
    assert set().union(*client.asked[1:]) == set(everybody)


# --- rows ---


def test_rows_are_sorted_texts_from_a_numbers_from_the_largest_equal_ones_by_name() -> None:
    rows = by_name([row("b", 1, depth=1), row("a", 2, depth=1), row("c", 3, depth=9)])
    assert [one.name for one in sorted_rows(rows, "name")] == ["a", "b", "c"]
    assert [one.name for one in sorted_rows(rows, "depth")] == ["c", "a", "b"]
    assert [one.name for one in sorted_rows(rows, "depth", backwards=True)] == ["a", "b", "c"]
    assert [one.name for one in sorted_rows(rows, "name", backwards=True)] == ["c", "b", "a"]


def test_a_filter_means_a_part_of_the_name_or_a_number() -> None:
    assert matches("Jobs", 7, "job")
    assert matches(None, 7, "#7")
    assert matches(None, 7, "")
    assert not matches(None, 7, "7")
    assert not matches("jobs", 7, "results")


def test_a_sparkline_ends_with_the_newest_and_its_largest_is_the_full_bar() -> None:
    assert sparkline((0, 4, 8), " .:-=+*#") == "      =#"
    assert sparkline((0.0, 0.0)) == "      ▁▁"
    assert sparkline(()) == " " * HISTORY
    assert len(sparkline(tuple(range(20)), PLAIN_BARS)) == HISTORY


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9.96, "10.0"), (12, "12"), (999, "999"), (1000, "1.0k"), (99_949, "100k")],
)
def test_numbers_take_at_most_five_signs(number: float, text: str) -> None:
    assert short(number) == text
    for power in range(16):
        assert len(short(9.99 * 10**power)) <= 5


def test_lengths_of_time_are_short() -> None:
    told = [seconds(int(s * 1e9)) for s in (0.44, 73, 125, 9000)]
    assert told == ["0.4 s", "73 s", "2 min", "2 h"]


# --- keys ---


def test_what_a_terminal_sends_is_split_into_keys() -> None:
    assert split("\x1b[Aj\r\x1b[5~/é\x7f\x1b") == [
        "up",
        "j",
        "enter",
        "page up",
        "/",
        "é",
        "backspace",
        "escape",
    ]
    assert split("\x1b[1;5Aq\x1b[200~x") == ["q", "x"]  # unknown ones leave nothing behind


def typed(state: State, *names: str, under: int | None = None) -> State:
    for name in names:
        state = pressed(state, name, under)
    return state


def test_enter_goes_deeper_and_escape_comes_back_to_where_one_was() -> None:
    start = State(sort="depth", chosen=3)
    channel = typed(start, "enter", under=7)
    assert (channel.place, channel.target, channel.chosen) == ("channel", 7, 0)
    connection = typed(channel, "down", "enter", under=99)
    assert (connection.place, connection.target) == ("connection", 99)
    assert typed(connection, "enter", under=5) == connection
    assert typed(connection, "escape").chosen == 1
    assert typed(connection, "q", "escape") == start
    assert typed(start, "enter") == start  # nothing is under the mark
    assert typed(start, "q").quit
    assert typed(connection, "Q").quit


def test_a_filter_is_typed_kept_shortened_and_dropped() -> None:
    state = typed(State(), "/", "q", "s", " ", "x", "backspace")
    assert (state.filter, state.typing, state.quit) == ("qs ", True, False)
    assert not typed(state, "enter").typing
    assert typed(state, "enter").filter == "qs "
    assert typed(state, "escape").filter == ""
    assert typed(state, "enter", "escape").filter == ""


def test_space_pauses_and_sort_goes_round() -> None:
    assert typed(State(), " ").paused
    assert not typed(State(), " ", " ").paused
    assert typed(State(), "s").sort == "kind"
    assert typed(State(), "S").sort == "redelivered"
    assert typed(State(), "S", "s").sort == "name"
    assert typed(State(), "r").backwards
    assert typed(State(), "up").chosen == 0
    assert typed(State(), "h").help
    assert typed(State(), "h", "j") == State()


def test_every_key_of_the_table_gives_a_state() -> None:
    for name in (*keys.TABLE, *keys.TYPING, "enter", "ä", "f12"):
        for state in (State(), State(typing=True), State(help=True)):
            assert isinstance(pressed(state, name, 1), State)


# --- the screen ---


def table(rows: list[Row], state: State, room: int = 21) -> sheets.Sheet:
    shown = view.window(view.kept(state.chosen, len(rows)), len(rows), room)
    return sheets.table_sheet(rows, shown, state, len(rows), PLAIN_BARS)


def test_a_table_at_80_by_24() -> None:
    rows = [
        Row(1, "jobs", "buffered", 4, looked(1, 1_500_000_000, depth=2, parked_senders=1)),
        Row(2, None, "conflated", 1, None),
        row("gone", 3)._replace(looked=looked(3, state=3)),
    ]
    lines = view.lines(table(rows, State(sort="depth", chosen=1)), 1, 80, 24, colour=False)
    assert len(lines) == 24
    assert [line.split() for line in lines[:5]] == [
        ["kcoro", "top", "3", "channels"],
        [
            "NAME",
            "KIND",
            "DEPTH*",
            "SND",
            "RCV",
            "OLDEST",
            "SENT/S",
            "RECV/S",
            "DROPS",
            "CANC",
            "REDEL",
            "TRAFFIC",
        ],
        ["jobs", "buff", "2", "1", "0", "1.5", "s", "-", "-", "0", "0", "0"],
        [">", "#2", "confl", *["?"] * 9],
        ["gone", "clsd", "0", "0", "0", "-", "-", "-", "0", "0", "0"],
    ]
    assert lines[-1].startswith("Enter look into")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (50, 10), (20, 4), (1, 1), (200, 60)])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("place", ["table", "channel", "connection", "help"])
def test_whatever_is_shown_fits_the_screen(
    width: int, height: int, colour: bool, place: str
) -> None:
    name = "a-very-long-name-" * 9 + "[bold]:smile:"
    rows = [row(f"{name}{i}", i, depth=10**i) for i in range(30)]
    state = State(place=place, chosen=17)
    sheet = table(rows, State(chosen=17))
    if place == "channel":
        waiters = [WaiterInfo("send", "enqueued", 10**12, 0, 1, name, 2**33, 5)] * 30
        sheet = sheets.channel_sheet(rows[0], waiters, [HolderInfo(("send",), 3)], state)
    elif place == "connection":
        one = OperationInfo(7, name, "send", "enqueued", 5, 6, None)
        info = ConnectionInfo(2**32 + 5, 1, 2, name, {"age_ns": 5})
        detail = ConnectionDetail(info, (HandleInfo(7, None, ("send",)),), (one,) * 30, (one,))
        sheet = sheets.connection_sheet(detail, state)
    lines = view.lines(sheet, 17, width, height, colour, help_on=place == "help")
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert len(lines) == max(height, view.LEAST_HEIGHT)
    assert max(map(len, plain)) <= max(width, view.LEAST_WIDTH)
    assert colour or lines == plain
    if place != "help" and height > 4:
        assert sum(line.startswith(">") for line in plain) == 1


def test_the_page_of_help_is_whole_on_a_screen_of_80_by_24() -> None:
    lines = view.lines(table([], State()), 0, 80, 24, False, help_on=True)
    assert [line.rstrip() for line in lines[1 : 1 + len(sheets.HELP)]] == list(sheets.HELP)
    assert len(lines) == 24


def test_the_marked_row_is_always_within_the_window() -> None:
    for count in (0, 1, 5, 50):
        for chosen in (0, 3, 49, 10**9):
            shown = view.window(view.kept(chosen, count), count, 10)
            assert len(shown) == min(count, 10)
            assert count == 0 or view.kept(chosen, count) in shown


def test_a_channel_tells_who_waits_and_who_could_serve() -> None:
    waiters = [WaiterInfo("send", "enqueued", 10**9, 0, 812, "producer.py", 2**32 + 3, 5)]
    holders = [
        HolderInfo(("receive",), 2, 2**32 + 4, 0, 900, "worker\x1b.py"),
        HolderInfo(("send",), 0),
    ]
    sheet = sheets.channel_sheet(row("jobs"), waiters, holders, State(place="channel"))
    assert [line.under for line in sheet.lines] == [2**32 + 3, 2**32 + 4, None]
    assert sheet.lines[0].cells == (
        *("waits to send", "enqueued", "1.0 s", "-", "3", "812", "0"),
        "producer.py",
    )
    assert sheet.lines[1].cells[0] == "handle to receive"
    assert sheet.lines[1].cells[-1] == "worker\\x1b.py"
    assert sheet.lines[2].cells[-1] == "not yours to see, or gone"


# --- samples, lines ---


def test_a_sample_is_what_its_schema_says() -> None:
    schema = json.loads((ROOT / "docs" / "top.schema.json").read_text())
    sample = {"type": "channel", "time": 1.5, **row("jobs").as_dict()}
    assert conforms(sample, schema) == []
    assert conforms({**sample, "depth": "2"}, schema) == ["depth"]
    assert conforms({**sample, "more": 1}, schema) == ["more"]
    del sample["depth"]
    assert conforms(sample, schema) == ["depth"]


def conforms(sample: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """The names that are wrong: what docs/top.schema.json uses of JSON Schema, and no more."""
    assert not schema["additionalProperties"]
    kinds = {"integer": int, "number": (int, float), "string": str, "null": type(None)}
    wrong = [name for name in schema["required"] if name not in sample]
    for name, value in sample.items():
        known = schema["properties"].get(name)
        wanted = known and (known["type"] if isinstance(known["type"], list) else [known["type"]])
        typed = bool(wanted) and any(isinstance(value, kinds[one]) for one in wanted)
        if not typed or value not in known.get("enum", [value]):
            wrong.append(name)
    return wrong


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [["NAME", "N"], ["a", "100"], ["longer", "1"]]
    assert list(columns(rows, left=(0,))) == ["NAME      N", "a       100", "longer    1"]


def test_what_would_steer_a_terminal_is_spelled_out() -> None:
    assert clean("a\x1b[31m\n") == "a\\x1b[31m\\n"
    assert clean("übung") == "übung"


def test_the_dump_is_one_line_of_words() -> None:
    line = dump(ChannelSnapshot(chan_id=7, name="jobs", kind=-1, state=4, depth=1, drops_oldest=3))
    words = dict(word.split("=") for word in line.split(" "))
    assert (words["chan"], words["kind"], words["state"]) == ("jobs", "conflated", "destroyed")
    assert (words["depth"], words["drops_oldest"], words["cancelled"]) == ("1", "3", "0")
