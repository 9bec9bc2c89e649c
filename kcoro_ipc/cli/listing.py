"""`kcoro ls`: the channels that this user may see."""

import json
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc.cli.invocation import Invocation, common
from kcoro_ipc.identity import group_name, user_name
from kcoro_ipc.monitor.lines import columns

if TYPE_CHECKING:
    from kcoro_ipc.protocol.channels import ChannelInfo

SHORT = ("name", "chan_id", "kind", "capacity")
LONG = ("mode", "owner", "group", *SHORT)
HEADINGS = {"chan_id": "ID"}
TEXTS = {"mode", "owner", "group", "name", "kind"}


@click.command()
@click.option("-l", "--long", is_flag=True, help="Also mode, owner and group.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@common
@click.pass_obj
def ls(invocation: Invocation, long: bool, as_json: bool) -> None:
    """List the channels that you may see: name, number, kind and capacity.

    In a mode r is receiving, w sending, x managing: for the owner, the group, all others.
    """
    with invocation.client() as client:
        found = client.list_channels()
    rows = [fields(one) for one in sorted(found, key=lambda one: (one.name or "", one.chan_id))]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    elif rows:
        show(rows, LONG if long else SHORT)


def show(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> None:
    head = [HEADINGS.get(key, key.upper()) for key in keys]
    cells = [[cell(key, row[key]) for key in keys] for row in rows]
    left = [place for place, key in enumerate(keys) if key in TEXTS]
    for line in columns([head, *cells], left=left):
        click.echo(line)


def fields(one: "ChannelInfo") -> dict[str, Any]:
    """Owner and group by name, as they are called here; what an older daemon does not tell is
    None."""
    return {
        "name": one.name,
        "chan_id": one.chan_id,
        "kind": one.kind,
        "capacity": one.capacity,
        "mode": None if one.mode is None else f"{one.mode:04o}",
        "uid": one.owner,
        "gid": one.group,
        "owner": None if one.owner is None else user_name(one.owner),
        "group": None if one.group is None else group_name(one.group),
    }


def cell(key: str, value: Any) -> str:
    if key == "mode" and value is not None:
        return letters(int(value, 8))
    return str(value or "-")


def letters(mode: int) -> str:
    """As ls(1) writes them: rw-r-----."""
    return "".join(
        sign if mode >> place & 1 else "-"
        for sign, place in zip("rwx" * 3, range(8, -1, -1), strict=True)
    )
