"""`kcoro stat`: one channel's counters, its dump in one line, who or which files wait in it; or,
without a channel, the daemon and what its user has there."""

import json
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc.cli.invocation import Invocation, channel_argument, common
from kcoro_ipc.monitor.lines import clean, columns, dump

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot
    from kcoro_ipc.protocol.waiters import WaiterInfo
    from kcoro_ipc.protocol.waiting_files import FilesInfo


@click.command()
@channel_argument(required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--line", "in_a_line", is_flag=True, help="The essentials in one line.")
@click.option("--waiters", "with_waiters", is_flag=True, help="Also who waits, for how long.")
@click.option("--files", "with_files", is_flag=True, help="Also the open files that wait.")
@common
@click.pass_obj
def stat(
    invocation: Invocation,
    name: str | None,
    as_json: bool,
    in_a_line: bool,
    with_waiters: bool,
    with_files: bool,
) -> None:
    """Show the counters of channel NAME at this moment; those of zero are left out.

    Without NAME: the daemon, and what you have there: connections, regions, leases, files.
    """
    if as_json and in_a_line:
        raise click.UsageError("--json and --line are two forms of the same; give one")
    if name is None:
        if in_a_line or with_waiters or with_files:
            raise click.UsageError("--line, --waiters and --files tell of a channel; name one")
        show_daemon(invocation, as_json)
        return
    with invocation.client() as client:
        snapshot = client.statistics(name)
        waiters = client.list_waiters(name) if with_waiters else None
        files = client.list_files(name) if with_files else None
    if as_json:
        click.echo(as_object(snapshot, waiters, files))
        return
    click.echo(dump(snapshot) if in_a_line else snapshot.text())
    show_table(
        ["SIDE", "STATUS", "SECONDS", "WHO"],
        [[one.side, one.status, age(one), who(one)] for one in waiters or ()],
        left=(0, 1, 3),
    )
    show_table(
        ["FILES", "SECONDS", "SENDER"],
        [[str(one.files), age(one), who(one)] for one in files or ()],
        left=(2,),
    )


def show_daemon(invocation: Invocation, as_json: bool) -> None:
    with invocation.client() as client:
        info = client.info()
    fields = {"pid": info.pid, "uid": info.uid, **info.usage}
    if as_json:
        click.echo(json.dumps(fields))
        return
    width = max(map(len, fields))
    for key, value in fields.items():
        click.echo(f"{key:{width}}  {value}")


def show_table(head: list[str], rows: list[list[str]], left: tuple[int, ...]) -> None:
    if rows:
        for line in columns([head, *rows], left=left):
            click.echo(line)


def as_object(
    snapshot: "ChannelSnapshot",
    waiters: "list[WaiterInfo] | None",
    files: "list[FilesInfo] | None",
) -> str:
    fields: dict[str, Any] = snapshot.as_dict()
    if waiters is not None:
        fields["waiters"] = [one._asdict() for one in waiters]
    if files is not None:
        fields["files_waiting"] = [one._asdict() for one in files]
    return json.dumps(fields, ensure_ascii=False)


def age(one: "WaiterInfo | FilesInfo") -> str:
    return f"{one.age_ns / 1e9:.3f}"


def who(waiter: "WaiterInfo | FilesInfo") -> str:
    if waiter.pid is None:
        return "-" if waiter.uid is None else f"uid {waiter.uid}"
    return f"pid {waiter.pid} uid {waiter.uid}" + (
        f" ({clean(waiter.client)})" if waiter.client else ""
    )
