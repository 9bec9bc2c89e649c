"""What stands on the monitor's screen, as plain texts: a title, notes, one table, a line of help.

No I/O and no layout; monitor/view.py makes lines of it that fit a screen.
"""

from collections.abc import Sequence
from typing import NamedTuple

from kcoro_ipc.monitor.keys import State
from kcoro_ipc.monitor.lines import clean, seconds, short
from kcoro_ipc.monitor.rows import BARS, COLUMNS, TEXTS, Row, sparkline
from kcoro_ipc.protocol.connections import ConnectionDetail, HolderInfo, OperationInfo
from kcoro_ipc.protocol.waiters import WaiterInfo

KEYS = {
    "table": "Enter look into  / filter  s,S sort  r reverse  space pause  h help  q quit",
    "channel": "Enter look at the connection  Esc back  space pause  h help  q back",
    "connection": "Esc back  space pause  h help  q back",
}
HELP = (
    "up, down, j, k, PgUp, PgDn, Home, End   move the mark",
    "Enter    look into a channel, then at a connection;  Esc, q  back",
    "/        show only names with what you type;  Enter keeps it, Esc drops it",
    "s, S     sort by the next column, or the one before;  r  the other way round",
    "space    stop the picture, and go on;  q, Q, ^C  quit",
    "",
    "DEPTH   messages that wait or are held;  OLDEST  longest wait",
    "SND     senders that wait;  RCV  receivers that wait",
    "DROPS   evicted, dropped, undelivered;  CANC  cancelled waiters",
    "REDEL   delivered again",
)


PAUSED = "  PAUSED"


class Line(NamedTuple):
    """A row; `under` is what Enter opens, None for nothing."""

    under: int | None
    cells: tuple[str, ...]


class Sheet(NamedTuple):
    """`texts`: places of the columns that are texts; the first of them takes what room there is."""

    title: str
    notes: tuple[str, ...]
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    texts: tuple[int, ...]
    keys: str


def table_sheet(
    rows: Sequence[Row], shown: range, state: State, known: int, bars: str = BARS
) -> Sheet:
    """`shown`: the places of the rows that a screen has room for; the others are left empty."""
    heads = [
        column.head + ("^" if state.backwards else "*") if name == state.sort else column.head
        for name, column in COLUMNS.items()
    ]
    lines = [Line(row.chan_id, ()) for row in rows]
    for i in shown:
        cells = [column.cell(rows[i]) for column in COLUMNS.values()]
        lines[i] = Line(rows[i].chan_id, (*cells, sparkline(rows[i].history, bars)))
    texts = tuple(i for i, name in enumerate(COLUMNS) if name in TEXTS)
    count = f"{len(rows)} of {known} channels" if len(rows) != known else f"{known} channels"
    typed = f"  filter: {state.filter}{'_' if state.typing else ''}"
    title = _title(state, count + (typed if state.filter or state.typing else ""))
    return Sheet(title, (), (*heads, "TRAFFIC"), tuple(lines), texts, _keys(state))


def _title(state: State, what: str) -> str:
    return f"kcoro top  {what}{PAUSED if state.paused else ''}"


def _keys(state: State) -> str:
    return "type a part of the name  Enter keep  Esc drop" if state.typing else KEYS[state.place]


def channel_sheet(
    row: Row, waiters: Sequence[WaiterInfo], holders: Sequence[HolderInfo], state: State
) -> Sheet:
    """Who waits at a channel, then who has handles on it, which tells who could serve."""
    one = row.snapshot
    notes = (
        f"{row.kind}, {one.state_name}  depth {one.depth} of {one.capacity}  ready {one.ready}  "
        f"held {one.held}  bytes {short(one.bytes)}",
        f"sent {short(one.total_sends)}  received {short(one.total_recvs)}  "
        f"drops {short(row.drops)}  cancelled {short(one.cancelled_waiters)}  "
        f"redelivered {short(one.redelivered)}",
        f"parked: {one.parked_senders} to send, {one.parked_receivers} to receive  "
        f"handles: {one.handles_write} send, {one.handles_read} receive",
    )
    lines = [
        Line(one.conn, (f"waits to {one.side}", one.status, seconds(one.age_ns), "-", *_who(one)))
        for one in waiters
    ]
    lines += [
        Line(one.conn, ("handle to " + "+".join(one.rights), "-", "-", str(one.held), *_who(one)))
        for one in holders
    ]
    return Sheet(
        _title(state, f"channel {row.label} (#{row.chan_id})"),
        notes,
        ("WHAT", "TOKEN", "AGE", "HELD", "CONN", "PID", "UID", "PROGRAM"),
        tuple(lines),
        (0, 1, 7),
        _keys(state),
    )


def _who(one: WaiterInfo | HolderInfo) -> tuple[str, str, str, str]:
    if one.conn is None:
        return ("?", "?", "?", "not yours to see, or gone")
    return (number(one.conn), str(one.pid), str(one.uid), clean(one.client or "-"))


def number(conn: int) -> str:
    """Its place in the daemon's table; the whole number tells lives apart and is for programs."""
    return str(conn & 0xFFFFFFFF)


def connection_sheet(detail: ConnectionDetail, state: State) -> Sheet:
    """What a connection waits for, holds and may use."""
    info, counts = detail.info, {name: short(n) for name, n in detail.info.numbers.items()}
    notes = (
        f"pid {info.pid}  uid {info.uid}  {clean(info.client or '-')}  {info.transport}, ABI 1."
        f"{info.numbers.get('minor', 0)}  connected for {seconds(info.age_ns)}",
        _said(counts, "frames_in", "frames_out", "bytes_in", "bytes_out", "files_in"),
        _said(counts, "queued_bytes", "requests", "parked", "held", "handles", "leases", "regions"),
    )
    lines = [Line(None, _operation(f"waits to {one.side}", one)) for one in detail.waiting]
    lines += [Line(None, _operation("holds a message", one)) for one in detail.holding]
    lines += [
        Line(None, ("handle to " + "+".join(one.rights), _channel(one.name, one.chan_id), "-", "-"))
        for one in detail.handles
    ]
    return Sheet(
        _title(state, f"connection {number(info.conn)}"),
        notes,
        ("WHAT", "CHANNEL", "TOKEN", "AGE"),
        tuple(lines),
        (1, 0, 2),
        _keys(state),
    )


def _said(counts: dict[str, str], *names: str) -> str:
    return "  ".join(f"{name.replace('_', ' ')} {counts.get(name, '?')}" for name in names)


def _operation(what: str, one: OperationInfo) -> tuple[str, ...]:
    if one.status == "opening":
        return ("waits for the name", clean(one.name or "?"), one.status, "-")
    return (what, _channel(one.name, one.chan_id), one.status, seconds(one.age_ns))


def _channel(name: str | None, chan_id: int) -> str:
    return clean(name) if name else f"#{chan_id}"


def message_sheet(text: str, state: State) -> Sheet:
    """Nothing to show but why."""
    return Sheet(_title(state, text), (), (), (), (), _keys(state))
