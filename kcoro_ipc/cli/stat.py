"""`kcoro stat`: one channel's counters, its dump in one line, or who waits in it."""

import json
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc.cli.invocation import Invocation, channel_argument, common
from kcoro_ipc.monitor import columns, dump

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot
    from kcoro_ipc.protocol.waiters import WaiterInfo


@click.command()
@channel_argument()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--line", "in_a_line", is_flag=True, help="The essentials in one line.")
@click.option("--waiters", "with_waiters", is_flag=True, help="Also who waits, for how long.")
@common
@click.pass_obj
def stat(
    invocation: Invocation, name: str, as_json: bool, in_a_line: bool, with_waiters: bool
) -> None:
    """Show the counters of channel NAME at this moment; what is zero is left out."""
    if as_json and in_a_line:
        raise click.UsageError("--json and --line are two forms of the same; give one")
    with invocation.client() as client:
        snapshot = client.statistics(name)
        waiters = client.list_waiters(name) if with_waiters else []
    if as_json:
        click.echo(as_object(snapshot, waiters if with_waiters else None))
        return
    click.echo(dump(snapshot) if in_a_line else snapshot.text())
    if waiters:
        rows = [[one.side, one.status, f"{one.age_ns / 1e9:.3f}", who(one)] for one in waiters]
        for line in columns([["SIDE", "STATUS", "SECONDS", "WHO"], *rows], left=(0, 1, 3)):
            click.echo(line)


def as_object(snapshot: "ChannelSnapshot", waiters: "list[WaiterInfo] | None") -> str:
    fields: dict[str, Any] = snapshot.as_dict()
    if waiters is not None:
        fields["waiters"] = [one._asdict() for one in waiters]
    return json.dumps(fields, ensure_ascii=False)


def who(waiter: "WaiterInfo") -> str:
    if waiter.pid is None:
        return "-"
    return f"pid {waiter.pid} uid {waiter.uid}" + (f" ({waiter.client})" if waiter.client else "")
