"""`kcoro why`: who waits for whom since when, and deadlocks across channels."""

import json
from typing import TYPE_CHECKING

import click

from kcoro_ipc.cli import exits
from kcoro_ipc.cli.invocation import Invocation, channel_argument, common
from kcoro_ipc.errors import NoSuchChannel
from kcoro_ipc.monitor import waits, words
from kcoro_ipc.monitor.survey import Survey

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Client
    from kcoro_ipc.monitor.waits import Picture, Step


@click.command()
@channel_argument(required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@common
@click.pass_obj
def why(invocation: Invocation, name: str | None, as_json: bool) -> int:
    """Say who waits at channel NAME since when, and who could end it. Without NAME: everybody.

    Connections that wait only for each other are a deadlock: it is shown, and the exit code is 10.
    """
    with invocation.client() as client:
        chan_id = None if name is None else client.statistics(name).chan_id
        picture = look(client, chan_id)
        steps = waits.stuck(picture)
        if steps:  # seen twice, or it was a moment's
            picture = look(client, chan_id)
            steps = waits.still(steps, waits.stuck(picture))
        cycle = waits.shortest_cycle(steps)
        chan_ids = sorted(picture.places) if chan_id is None else [chan_id]
        told = client.look_over(chan_ids)
    snapshots = {one.snapshot.chan_id: one.snapshot for one in told if one is not None}
    if chan_id is not None and not snapshots:
        raise NoSuchChannel(channel=name)
    if as_json:
        data = words.as_data(picture, chan_ids, snapshots, steps, cycle)
        click.echo(json.dumps(data, ensure_ascii=False))
    else:
        lines = words.report(picture, chan_ids, snapshots)
        say(lines or ["nobody waits" + (f" at {name!r}" if name else "")], picture, steps, cycle)
    return exits.DEADLOCK if cycle else exits.OK


def look(client: "Client", chan_id: int | None) -> "Picture":
    survey = Survey(client)
    return survey.of_all() if chan_id is None else survey.of_channel(chan_id)


def say(
    lines: list[str], picture: "Picture", steps: "dict[int, list[Step]]", cycle: "list[Step]"
) -> None:
    for line in lines:
        click.echo(line)
    if cycle:
        click.echo(f"DEADLOCK: {len(steps)} connections wait only for each other; a cycle of them:")
        for line in words.chain(picture, cycle):
            click.echo(f"  {line}")
