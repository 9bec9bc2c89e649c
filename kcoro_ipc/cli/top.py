"""`kcoro top`: the channel monitor, on a terminal, as rounds of a table, or as lines of JSON."""

import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import repeat

import click

from kcoro_ipc.cli.brief import Brief
from kcoro_ipc.cli.exits import OutsideError
from kcoro_ipc.cli.invocation import Invocation, Seconds, common
from kcoro_ipc.monitor.keys import State
from kcoro_ipc.monitor.lines import columns
from kcoro_ipc.monitor.rounds import Rounds
from kcoro_ipc.monitor.rows import BARS, COLUMNS, PLAIN_BARS, TEXTS, Row, sorted_rows


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per channel and round.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Rounds.  [until ^C]")
@click.option("--interval", type=Seconds(0.05), default=1.0, metavar="S", help="Between.  [1]")
@click.option(
    "--sort",
    cls=Brief,
    line=("--sort COLUMN", f"By: {', '.join(COLUMNS)}.  [name]"),
    type=click.Choice(list(COLUMNS)),
    default="name",
    help="By.  [name]",
)
@click.option("--filter", "wanted", default="", metavar="TEXT", help="Only names with TEXT.")
@click.option("--no-color", is_flag=True, help="No colours; also with $NO_COLOR.")
@common
@click.pass_obj
def top(
    invocation: Invocation,
    as_json: bool,
    count: int | None,
    interval: float,
    sort: str,
    wanted: str,
    no_color: bool,
) -> None:
    """Watch the channels that you may see: depth, rates, who waits, what was lost.

    On a terminal the picture stays in place until q or ^C, and keys look into a channel and a
    connection (h shows them). With --count, and into pipes and files, the rounds follow one
    another.
    """
    state = State(sort=sort, filter=wanted)
    if as_json or count is not None or not on_a_screen():
        follow(invocation, state, as_json, count, interval)
    else:
        watch(invocation, state, interval, coloured(no_color))


def on_a_screen() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


def coloured(no_color: bool) -> bool:
    """As no-color.org says: any value of NO_COLOR but an empty one."""
    return not no_color and not os.environ.get("NO_COLOR")


def watch(invocation: Invocation, state: State, interval: float, colour: bool) -> None:
    from kcoro_ipc.cli._top_screen import Screen
    from kcoro_ipc.cli._top_terminal import Ended, end_by, opened

    bars = BARS if "utf" in (sys.stdout.encoding or "").lower() else PLAIN_BARS
    try:
        invocation.client().aclose()  # no daemon is said where it can be read
        with opened() as terminal:
            screen = Screen(terminal, invocation.client, state, colour, bars)
            try:
                screen.run(interval, None)
            finally:
                screen.close()
    except Ended as ended:
        end_by(ended.number)


# --- without a screen ---


def follow(
    invocation: Invocation, state: State, as_json: bool, count: int | None, interval: float
) -> None:
    """Every channel in each round. OutsideError if there was never one to tell of."""
    samples = 0
    with invocation.client() as client:
        rounds = Rounds(client)
        for left in numbers(count):
            rows = everything(rounds, state)
            samples += len(rows)
            show(rows, as_json)
            if left:
                time.sleep(interval)
                sys.stdout.write("" if as_json else "\n")
    if not samples:
        raise OutsideError(
            "no samples: there is no such channel that you may see; look with `kcoro ls`"
        )


def numbers(count: int | None) -> Iterator[int]:
    """How many follow after each; for ever if there is no number."""
    return repeat(1) if count is None else iter(range(count - 1, -1, -1))


def everything(rounds: Rounds, state: State) -> list[Row]:
    rounds.list_all()
    rounds.ask([row.chan_id for row in rounds.rows(state.filter)])
    return sorted_rows(rounds.rows(state.filter), state.sort)


def show(rows: list[Row], as_json: bool) -> None:
    now = time.time()
    if as_json:
        objects = [{"type": "channel", "time": round(now, 3), **row.as_dict()} for row in rows]
        lines = [json.dumps(one, ensure_ascii=False) for one in objects]
    else:
        heads = [column.head for column in COLUMNS.values()]
        cells = [[column.cell(row) for column in COLUMNS.values()] for row in rows]
        left = [i for i, name in enumerate(COLUMNS) if name in TEXTS]
        lines = list(columns([heads, *cells], left=left))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
