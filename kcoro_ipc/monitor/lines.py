"""Texts of one line: aligned columns, a snapshot in words, lengths of time, short numbers."""

from collections.abc import Iterator, Sequence

from kcoro_ipc.metrics import ChannelSnapshot


def clean(text: str) -> str:
    """What others chose, without what would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def columns(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> Iterator[str]:
    """Lines with aligned columns: those in `left` to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def dump(one: ChannelSnapshot) -> str:
    """The essentials in one line, for logs and for `kcoro stat --line`."""
    return (
        f"chan={one.name or one.chan_id} kind={one.kind_name} cap={one.capacity} "
        f"policy={one.overflow_name} depth={one.depth} ready={one.ready} held={one.held} "
        f"bytes={one.bytes} send_idx={one.send_idx} recv_idx={one.recv_idx} "
        f"senders={one.parked_senders} receivers={one.parked_receivers} "
        f"drops_oldest={one.drops_oldest} drops_newest={one.drops_newest} "
        f"undelivered={one.undelivered} cancelled={one.cancelled_waiters} state={one.state_name}"
    )


def seconds(age_ns: int) -> str:
    """In few signs: "0.4 s", "73 s", "12 min", "5 h"."""
    if age_ns < 10_000_000_000:
        return f"{age_ns / 1e9:.1f} s"
    whole = age_ns // 1_000_000_000
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"


def short(number: float) -> str:
    """In at most 5 signs: "0", "12", "9.9k", "123M"; below 10 with a decimal if it has any."""
    if number < 1000:
        return f"{number:.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"
    for unit in "kMGTP":  # noqa: B007  the unit where it stopped
        number /= 1000
        if number < 999.5:
            break
    return f"{number:.1f}{unit}" if number < 9.95 else f"{number:.0f}{unit}"
