"""OpenMetrics 1.0: the families that are told, and rows of numbers as their text.

No number comes from here and nothing is summed: a row is labels and values, in the order of the
names of its group. A value of None is left out. docs/CHANNEL_METRICS.md has the same tables, and a
test compares. Families follow https://prometheus.io/docs/specs/om/open_metrics_spec: a unit ends
the name, a counter's sample ends in `_total`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kcoro_ipc import _wire

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
COUNTER, GAUGE = "counter", "gauge"
UNITS = ("bytes", "seconds")
END = "# EOF\n"


class Family(NamedTuple):
    """`samples`: further labels of each sample, and the name of its value."""

    name: str
    type: str
    help: str
    samples: tuple[tuple[str, str], ...]

    @property
    def unit(self) -> str:
        last = self.name.rpartition("_")[2]
        return last if last in UNITS else ""


class Row(NamedTuple):
    labels: str
    values: Sequence[float | None]
    info: str | None = None  # labels of the group's info family


class Group(NamedTuple):
    """`names`: of the values of its rows. `info`: name and help of the info family."""

    names: tuple[str, ...]
    info: tuple[str, str]
    families: tuple[Family, ...]


def _one(name: str, type: str, help: str, value: str) -> Family:
    return Family(name, type, help, (("", value),))


# fmt: off
CHANNELS = Group(("", *_wire.STAT_NAMES), ("kcoro_channel", "What the channel is."), (
    _one("kcoro_channel_sends", COUNTER, "Messages accepted, matched or dropped.", "total_sends"),
    _one("kcoro_channel_receives", COUNTER, "Messages that reached a receiver.", "total_recvs"),
    _one("kcoro_channel_sent_bytes", COUNTER, "Payload of sends.", "total_bytes_sent"),
    _one("kcoro_channel_received_bytes", COUNTER, "Payload of receives.", "total_bytes_recv"),
    Family("kcoro_channel_drops", COUNTER, "Messages that the overflow policy dropped.", (
        ('policy="drop_newest"', "drops_newest"), ('policy="drop_oldest"', "drops_oldest"),
    )),
    Family("kcoro_channel_undelivered", COUNTER,
        "Messages that ended otherwise without being received.", (
        ('end="dropped"', "undelivered_dropped"),
        ('end="dead_lettered"', "undelivered_dead_lettered"),
    )),
    _one("kcoro_channel_expirations", COUNTER,
         "Messages whose time was over before a receiver came.", "expired"),
    _one("kcoro_channel_requeues", COUNTER, "Times that a message went back into the channel.",
         "undelivered_requeued"),
    _one("kcoro_channel_redeliveries", COUNTER, "Deliveries of messages delivered before.",
         "redelivered"),
    Family("kcoro_channel_acknowledgements", COUNTER, "Answers of receivers that acknowledge.", (
        ('answer="ack"', "acks"), ('answer="nack"', "nacks"),
    )),
    _one("kcoro_channel_unconfirmed", COUNTER,
        "Confirmed sends that ended before the acknowledgement.",
         "unconfirmed"),
    Family("kcoro_channel_refusals", COUNTER, "Plain sends and receives that changed nothing.", (
        ('op="send",code="EAGAIN"', "send_eagain"), ('op="send",code="ETIME"', "send_etime"),
        ('op="send",code="EPIPE"', "send_epipe"),
        ('op="receive",code="EAGAIN"', "recv_eagain"),
        ('op="receive",code="ETIME"', "recv_etime"),
        ('op="receive",code="EPIPE"', "recv_epipe"),
    )),
    _one("kcoro_channel_finished_waiters", COUNTER, "Operations that waited and no longer do.",
         "finished_waiters"),
    _one("kcoro_channel_matched_waiters", COUNTER, "Of these: got a partner or room.",
         "matched_waiters"),
    _one("kcoro_channel_closed_waiters", COUNTER,
        "Of these: reached by the end of a closed channel.",
         "closed_waiters"),
    Family("kcoro_channel_cancelled_waiters", COUNTER, "Of these: ended without an effect.", (
        ('reason="cancel"', "cancelled_cancel"), ('reason="timeout"', "cancelled_timeout"),
        ('reason="dead"', "cancelled_dead"), ('reason="destroyed"', "cancelled_destroyed"),
    )),
    _one("kcoro_channel_rendezvous", COUNTER,
        "Deliveries from hand to hand on a rendezvous channel.",
         "rv_matches"),
    Family("kcoro_channel_descriptors_passed", COUNTER,
        "Messages that were ranges of shared memory.", (
        ('op="send"', "zref_sent"), ('op="receive"', "zref_received"),
        ('op="rendezvous"', "rv_zdesc_matches"),
    )),
    Family("kcoro_channel_descriptors_ended", COUNTER, "Such messages that were not received.", (
        ('why="cancelled"', "zref_canceled"), ('why="destroyed"', "zref_aborted_close"),
    )),
    Family("kcoro_channel_descriptor_fallbacks", COUNTER,
        "Sends of bytes where shared memory was possible.", (
        ('why="small"', "zref_fallback_small"), ('why="capacity"', "zref_fallback_capacity"),
    )),
    _one("kcoro_channel_depth", GAUGE, "Messages in the channel.", "depth"),
    Family("kcoro_channel_messages", GAUGE,
        "Of these: waiting, or with a receiver that is not done.", (
        ('state="ready"', "ready"), ('state="held"', "held"),
    )),
    _one("kcoro_channel_payload_bytes", GAUGE, "Payload of these messages.", "bytes"),
    Family("kcoro_channel_parked", GAUGE, "Operations that wait, by clause.", (
        ('op="send"', "parked_senders"), ('op="receive"', "parked_receivers"),
    )),
    Family("kcoro_channel_handles", GAUGE, "Connections that may do so.", (
        ('op="send"', "handles_write"), ('op="receive"', "handles_read"),
    )),
    _one("kcoro_channel_descriptors", GAUGE, "Descriptors in the channel.", "descriptors"),
    _one("kcoro_channel_files", GAUGE, "Open files in the channel.", "files"),
    _one("kcoro_channel_peak_depth", GAUGE, "The largest depth so far.", "peak_depth"),
    _one("kcoro_channel_capacity", GAUGE, "Places of the channel.", "capacity"),
    _one("kcoro_channel_element_limit_bytes", GAUGE, "The longest element.", "elem_size"),
    _one("kcoro_channel_limit_bytes", GAUGE, "Waiting bytes at which it counts as full.",
         "max_bytes"),
))

USERS = Group((
    "opened", "refused", "sends", "receives", "bytes_sent", "bytes_received", "connections",
    "channels", "parked", "held", "bytes", "files", "region_bytes",
), ("", ""), (
    _one("kcoro_user_connections_opened", COUNTER, "Connections so far.", "opened"),
    _one("kcoro_user_refusals", COUNTER, "Control frames refused for want of right or quota.",
         "refused"),
    _one("kcoro_user_sends", COUNTER, "Sends on channels of this user.", "sends"),
    _one("kcoro_user_receives", COUNTER, "Receives on channels of this user.", "receives"),
    _one("kcoro_user_sent_bytes", COUNTER, "Payload of these sends.", "bytes_sent"),
    _one("kcoro_user_received_bytes", COUNTER, "Payload of these receives.", "bytes_received"),
    _one("kcoro_user_connections", GAUGE, "Connections now.", "connections"),
    _one("kcoro_user_channels", GAUGE, "Channels made and still there.", "channels"),
    _one("kcoro_user_parked", GAUGE, "Operations that wait, by clause.", "parked"),
    _one("kcoro_user_held", GAUGE, "Messages delivered and not yet done.", "held"),
    _one("kcoro_user_charged_bytes", GAUGE, "Bytes charged for messages.", "bytes"),
    _one("kcoro_user_files", GAUGE, "Open files in messages.", "files"),
    _one("kcoro_user_region_bytes", GAUGE, "Shared memory registered.", "region_bytes"),
))

POOLS = ("connections", "channels", "tokens", "clauses", "messages", "accounts", "regions", "files")

DAEMON = Group((
    "opened", "turns", "frames", "control", "events", "skipped", "left_out", "lost",
    *POOLS, *(f"most_{pool}" for pool in POOLS),
    "block_bytes", "heap_bytes", "most_bytes", "cpu", "resident", "fds", "most_fds", "started",
), ("kcoro_daemon", "The daemon."), (
    _one("kcoro_connections_opened", COUNTER, "Connections so far.", "opened"),
    _one("kcoro_turns", COUNTER, "Turns of the loop.", "turns"),
    _one("kcoro_frames", COUNTER, "Frames served in C.", "frames"),
    _one("kcoro_control_frames", COUNTER, "Frames left to Python.", "control"),
    Family("kcoro_subscription_events", COUNTER,
        "Events of SUBSCRIBE; skipped: the one before was not read yet.", (
        ('fate="sent"', "events"), ('fate="skipped"', "skipped"),
    )),
    Family("kcoro_log_lines_omitted", COUNTER, "Lines of the log that were not written.", (
        ('why="throttled"', "left_out"), ('why="unread"', "lost"),
    )),
    Family("kcoro_records", GAUGE, "Records in use.",
           tuple((f'pool="{pool}"', pool) for pool in POOLS)),
    Family("kcoro_records_limit", GAUGE, "Size of the tables.",
           tuple((f'pool="{pool}"', f"most_{pool}") for pool in POOLS)),
    _one("kcoro_block_bytes", GAUGE, "Payload memory handed out.", "block_bytes"),
    _one("kcoro_heap_bytes", GAUGE, "Payload memory committed.", "heap_bytes"),
    _one("kcoro_heap_limit_bytes", GAUGE, "Payload memory at most.", "most_bytes"),
    _one("process_cpu_seconds", COUNTER, "Processor time of the daemon.", "cpu"),
    _one("process_resident_memory_bytes", GAUGE, "Resident memory.", "resident"),
    _one("process_open_fds", GAUGE, "Open descriptors.", "fds"),
    _one("process_max_fds", GAUGE, "Open descriptors at most.", "most_fds"),
    _one("process_start_time_seconds", GAUGE, "Start, since the epoch.", "started"),
))
# fmt: on


def label(name: str, value: object) -> str:
    text = str(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{name}="{text}"'


def lines(group: Group, rows: Sequence[Row]) -> Iterator[str]:
    """Family after family, each with all its rows."""
    infos = [row for row in rows if row.info is not None]
    if infos:
        name, help = group.info
        yield from _head(name, "info", help)
        yield from (f"{name}_info{_braces(row.labels, row.info)} 1\n" for row in infos)
    for family in group.families:
        yield from _head(family.name, family.type, family.help, family.unit)
        yield from _samples(family, group.names, rows)


def _head(name: str, type: str, help: str, unit: str = "") -> Iterator[str]:
    yield f"# TYPE {name} {type}\n"
    if unit:
        yield f"# UNIT {name} {unit}\n"
    yield f"# HELP {name} {help}\n"


def _samples(family: Family, names: tuple[str, ...], rows: Sequence[Row]) -> Iterator[str]:
    name = family.name + ("_total" if family.type == COUNTER else "")
    places = [(more, names.index(value)) for more, value in family.samples]
    for row in rows:
        for more, place in places:
            value = row.values[place]
            if value is not None:
                yield f"{name}{_braces(row.labels, more)} {value}\n"


def _braces(labels: str, more: str | None) -> str:
    every = f"{labels},{more}" if labels and more else labels or more
    return f"{{{every}}}" if every else ""


def pieces(every: Iterable[str], most_bytes: int) -> Iterator[bytes]:
    """Whole lines, together at most `most_bytes`; a line alone may be longer."""
    taken: list[bytes] = []
    size = 0
    for one in every:
        data = one.encode()
        if taken and size + len(data) > most_bytes:
            yield b"".join(taken)
            taken, size = [], 0
        taken.append(data)
        size += len(data)
    if taken:
        yield b"".join(taken)
