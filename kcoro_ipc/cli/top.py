"""`kcoro top`: all channels in a table that refreshes, or as lines of JSON."""

import json
import sys
import time

import click

from kcoro_ipc.cli.invocation import Invocation, common
from kcoro_ipc.monitor import Monitor, Observed, table

HOME_AND_CLEAR = "\x1b[H\x1b[J"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per channel and round.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Rounds.  [until ^C]")
@click.option(
    "--interval", type=click.FloatRange(min=0.05), default=1.0, metavar="S", help="Between.  [1]"
)
@common
@click.pass_obj
def top(invocation: Invocation, as_json: bool, count: int | None, interval: float) -> None:
    """Watch the channels that you may see."""
    with invocation.client() as client:
        monitor = Monitor(client)
        while True:
            show(monitor.observe(), as_json)
            if count is not None:
                count -= 1
                if not count:
                    return
            time.sleep(interval)


def show(observed: list[Observed], as_json: bool) -> None:
    if as_json:
        lines = [json.dumps(one.as_dict(), ensure_ascii=False) for one in observed]
        text = "".join(f"{line}\n" for line in lines)
    else:
        clear = HOME_AND_CLEAR if sys.stdout.isatty() else ""
        text = clear + "\n".join([*table(observed), ""])
    sys.stdout.write(text)
    sys.stdout.flush()
