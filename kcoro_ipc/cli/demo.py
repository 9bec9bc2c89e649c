"""`kcoro demo`: real files between real processes through its own daemon, every byte checked.

Progress while it runs: bars on a terminal, lines elsewhere. Exit code 0 only if all arrived, once
and whole.
"""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc.cli import exits
from kcoro_ipc.cli.invocation import Invocation, common
from kcoro_ipc.monitor.lines import columns

if TYPE_CHECKING:
    from kcoro_ipc.cli._demo_run import Judge, Verdict

HEADINGS = ["CHANNEL", "KIND", "MESSAGES", "MB", "SECONDS", "MSG/S", "MB/S", "PEAK", "SHA-256"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object in the end, no progress.")
@common
@click.pass_obj
def demo(invocation: Invocation, as_json: bool) -> int:
    """Move Python's standard library between four processes and check every byte.

    Starts its own daemon. Two producers send every .py file through a rendezvous channel and the
    lines of the largest one through a buffered channel; two consumers receive and count.
    """
    from kcoro_ipc.cli._demo_run import prepare

    if not as_json:
        click.echo("reading Python's standard library ...")
    judge = prepare()
    if as_json:
        verdicts = judge.run(lambda *_: None)
        click.echo(json.dumps([as_object(one) for one in verdicts]))
    else:
        verdicts = watched(judge)
        for line in summary(verdicts):
            click.echo(line)
    if all(one.good for one in verdicts):
        return exits.OK
    invocation.say("what arrived is not what was sent: this is a fault of ours; please report it")
    return exits.OUR_FAULT


def watched(judge: "Judge") -> "list[Verdict]":
    return with_bars(judge) if sys.stdout.isatty() else with_lines(judge)


def with_lines(judge: "Judge") -> "list[Verdict]":
    """A line when a worker has come a tenth further."""
    said: dict[tuple[str, str], int] = {}

    def show(role: str, stream: str, messages: int) -> None:
        total = judge.wanted[stream].messages
        tenth = 10 * messages // total
        if said.get((role, stream), 0) < tenth:
            said[role, stream] = tenth
            click.echo(f"{stream}: {role} has {messages} of {total}")

    return judge.run(show)


def with_bars(judge: "Judge") -> "list[Verdict]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    words = TextColumn("{task.description:16}")
    # No thread that refreshes: the judge hears often enough.
    with Progress(words, BarColumn(), MofNCompleteColumn(), auto_refresh=False) as bars:
        tasks = {
            (role, stream): bars.add_task(f"{stream} {verb}", total=wanted.messages)
            for stream, wanted in judge.wanted.items()
            for role, verb in (("producer", "sent"), ("consumer", "received"))
        }

        def show(role: str, stream: str, messages: int) -> None:
            bars.update(tasks[role, stream], completed=messages)
            bars.refresh()

        return judge.run(show)


def summary(verdicts: "list[Verdict]") -> list[str]:
    rows = [HEADINGS, *(row(one) for one in verdicts)]
    lines = ["", *columns(rows, left=(0, 1, 8)), ""]
    for one in verdicts:
        counters = one.statistics
        lines.append(
            f"{one.stream}: sent {counters.total_sends}, received {counters.total_recvs}, "
            f"acknowledged {counters.acks}, met directly {counters.rv_matches}, "
            f"waiters {counters.finished_waiters}, redelivered {counters.redelivered}"
        )
    good = all(one.good for one in verdicts)
    return [*lines, "every message arrived, once and whole" if good else "NOT everything matched"]


def row(one: "Verdict") -> list[str]:
    seconds = max(one.seconds, 1e-9)
    return [
        one.stream,
        one.statistics.kind_name,
        str(one.received.messages),
        f"{one.received.bytes / 1e6:.1f}",
        f"{one.seconds:.2f}",
        f"{one.received.messages / seconds:.0f}",
        f"{one.received.bytes / seconds / 1e6:.1f}",
        str(one.statistics.peak_depth),
        f"{one.received.sha256[:12]} {'matches' if one.good else 'DIFFERS'}",
    ]


def as_object(one: "Verdict") -> dict[str, Any]:
    return {
        "channel": one.stream,
        "good": one.good,
        "seconds": one.seconds,
        "wanted": one.wanted._asdict(),
        "sent": one.sent._asdict(),
        "received": one.received._asdict(),
        "statistics": one.statistics.as_dict(),
    }
