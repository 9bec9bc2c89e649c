"""`kcoro top`: all channels in a table that refreshes, or as lines of JSON."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat

import click

from kcoro_ipc.cli.invocation import Invocation, Seconds, common
from kcoro_ipc.monitor.lines import Monitor, Observed, table

HOME_AND_CLEAR = "\x1b[H\x1b[J"
OTHER_SCREEN, BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per channel and round.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Rounds.  [until ^C]")
@click.option("--interval", type=Seconds(0.05), default=1.0, metavar="S", help="Between.  [1]")
@common
@click.pass_obj
def top(invocation: Invocation, as_json: bool, count: int | None, interval: float) -> None:
    """Watch the channels that you may see.

    On a terminal the table refreshes in place until ^C; with --count, and into pipes and files,
    the rounds follow one another.
    """
    in_place = sys.stdout.isatty() and count is None and not as_json
    with invocation.client() as client, screen(in_place):
        monitor = Monitor(client)
        for left in rounds(count):
            show(monitor.observe(), as_json, in_place)
            if left:
                time.sleep(interval)


def rounds(number: int | None) -> Iterator[int]:
    """How many follow after each; for ever if there is no number."""
    return repeat(1) if number is None else iter(range(number - 1, -1, -1))


@contextmanager
def screen(in_place: bool) -> Iterator[None]:
    """The terminal's other screen, so that what stood there before comes back."""
    if not in_place:
        yield
        return
    sys.stdout.write(OTHER_SCREEN)
    try:
        yield
    finally:
        sys.stdout.write(BACK)
        sys.stdout.flush()


def show(observed: list[Observed], as_json: bool, in_place: bool) -> None:
    if as_json:
        lines = [json.dumps(one.as_dict(), ensure_ascii=False) for one in observed]
    else:
        lines = [*table(observed), ""]
    if in_place:
        lines = fitting(lines, *shutil.get_terminal_size())
    before = HOME_AND_CLEAR if in_place else ""
    sys.stdout.write(before + "".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def fitting(lines: list[str], width: int, height: int) -> list[str]:
    """The heading and as many rows as the screen has, none longer than a line of it, so that
    nothing scrolls away."""
    room = max(2, height - 1)
    if len(lines) > room:
        kept = lines[: room - 1]
        lines = [*kept, f"... {len(lines) - 1 - len(kept)} more; a taller window shows them"]
    return [line[:width] for line in lines]
