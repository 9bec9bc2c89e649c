"""`kcoro ls`: the channels that this user may see."""

import json

import click

from kcoro_ipc.cli.invocation import Invocation, common
from kcoro_ipc.monitor.lines import columns


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@common
@click.pass_obj
def ls(invocation: Invocation, as_json: bool) -> None:
    """List the channels that you may see: name, number, kind and capacity."""
    with invocation.client() as client:
        found = client.list_channels()
    fields = [
        {"name": one.name, "chan_id": one.chan_id, "kind": one.kind, "capacity": one.capacity}
        for one in sorted(found, key=lambda one: (one.name or "", one.chan_id))
    ]
    if as_json:
        for row in fields:
            click.echo(json.dumps(row, ensure_ascii=False))
    elif fields:
        rows = [[str(row[key] or "-") for key in row] for row in fields]
        for line in columns([["NAME", "ID", "KIND", "CAPACITY"], *rows], left=(0, 2)):
            click.echo(line)
