"""`kcoro close`, `kcoro destroy`, `kcoro purge`: three ways to end what is in channels."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from kcoro_ipc.cli import exits
from kcoro_ipc.cli.invocation import Invocation, channel_argument, common
from kcoro_ipc.errors import ConnectionLost, KcoroError, NoDaemon

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Client

names_argument = channel_argument("names", nargs=-1, required=True, metavar="NAME...")


@click.command()
@names_argument
@common
@click.pass_obj
def close(invocation: Invocation, names: tuple[str, ...]) -> None:
    """Close channels: no new sends; what is in them still drains to receivers."""
    each(invocation, names, lambda client, name: client.close_channel(name))


@click.command()
@names_argument
@click.option("--reason", default="", help="What those who wait are told.")
@common
@click.pass_obj
def destroy(invocation: Invocation, names: tuple[str, ...], reason: str) -> None:
    """Destroy channels at once: who waits is cancelled, what waits is gone, the name is free."""
    each(invocation, names, lambda client, name: client.destroy_channel(name, reason))


@click.command()
@names_argument
@common
@click.pass_obj
def purge(invocation: Invocation, names: tuple[str, ...]) -> None:
    """Drop the messages that wait in channels and print how many that were."""
    each(invocation, names, lambda client, name: click.echo(client.purge_channel(name)))


def each(
    invocation: Invocation, names: tuple[str, ...], act: "Callable[[Client, str], None]"
) -> None:
    """In order, all of them: of each that fails there is a line, and the first decides the exit
    code. Without a handle, because who may manage a channel may have no other right."""
    failed: list[int] = []
    with invocation.client() as client:
        for name in names:
            try:
                act(client, name)
            except (ConnectionLost, NoDaemon):
                raise  # and so would all the others
            except KcoroError as error:
                invocation.say(exits.line_of(error))
                failed.append(exits.code_of(error))
    if failed:
        click.get_current_context().exit(failed[0])
