"""`kcoro tap`: copies of what passes a channel, which itself notices nothing."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc._wire import MAX_CAPACITY
from kcoro_ipc.cli import exits
from kcoro_ipc.cli.framing import JOINERS
from kcoro_ipc.cli.invocation import Invocation, channel_argument, common
from kcoro_ipc.cli.output import data_fields, json_line, write_all
from kcoro_ipc.errors import EndOfChannel, KcoroError

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Channel
    from kcoro_ipc.protocol.taps import Tapped

BATCH = 256


@click.command()
@channel_argument()
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Copies.  [until ^C]")
@click.option("-0", "form", flag_value="nul", help="End each message with NUL, not a newline.")
@click.option("--length", "form", flag_value="length", help="Precede each by its 4-byte length.")
@click.option("--raw", "form", flag_value="raw", help="Write the messages and nothing between.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@click.option("--bytes", "most", type=int, metavar="N", help="The first N of each.  [all]")
@click.option(
    "--capacity",
    type=click.IntRange(1, MAX_CAPACITY),
    default=1024,
    metavar="N",
    help="Copies that may wait for us.  [1024]",
)
@common
@click.pass_obj
def tap(
    invocation: Invocation,
    name: str,
    count: int | None,
    form: str | None,
    most: int | None,
    capacity: int,
) -> int:
    """Write a copy of what passes channel NAME from now on; nothing is taken from it.

    You must be allowed to manage NAME. Of a descriptor or of open files only the size is told. What
    comes faster than it is written is missed; how much that was is said at the end.
    """
    with (
        invocation.client() as client,
        client.tap(name, capacity=capacity, most_bytes=most) as copies,
        counted(copies, invocation),
    ):
        for batch in batches(copies, count):
            write_all(rendered(batch, form or "lines"))
    return exits.OK


def batches(copies: "Channel", count: int | None) -> "Iterator[Sequence[Tapped]]":
    """Until `count` have come or the channel has ended."""
    left = count
    while left != 0:
        try:
            some = copies.receive_many(BATCH if left is None else min(left, BATCH))
        except EndOfChannel:
            return
        left = None if left is None else left - len(some)
        yield some


@contextmanager
def counted(copies: "Channel", invocation: Invocation) -> Iterator[None]:
    """Says at the end, whatever ends it, what was missed; a reader that has gone hears nothing."""
    try:
        yield
    except BrokenPipeError:
        raise
    except BaseException:
        say_missed(copies, invocation)
        raise
    say_missed(copies, invocation)


def say_missed(copies: "Channel", invocation: Invocation) -> None:
    with suppress(KcoroError):
        told = copies.statistics()
        invocation.say(f"{told.drops_oldest + told.drops_newest} copies were missed")


def rendered(batch: "Sequence[Tapped]", form: str) -> bytes:
    if form == "json":
        ahead_s = time.time() - time.monotonic()
        return b"".join([json_line(fields(one, ahead_s)) for one in batch])
    return JOINERS[form]([content(one) for one in batch])


def content(one: "Tapped") -> bytes:
    if one.sort == "descriptor":
        return b"<descriptor of %d bytes>" % one.size_bytes
    if one.sort == "files":
        return b"<%d bytes with %d open files>" % (one.size_bytes, one.file_count)
    return one.data


def fields(one: "Tapped", ahead_s: float) -> dict[str, Any]:
    """`time`: seconds since 1970. `size`: bytes of the whole message, not of the copy."""
    told: dict[str, Any] = {
        "place": one.place,
        "time": round(one.time_ns / 1e9 + ahead_s, 6),
        "size": one.size_bytes,
        "sort": one.sort,
    }
    if one.file_count:
        told["files"] = one.file_count
    return told | (data_fields(one.data) if one.sort == "bytes" else {})
