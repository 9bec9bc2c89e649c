"""`kcoro chmod` and `kcoro chown`: rights of channels that are there, as of files."""

import click

from kcoro_ipc.cli.invocation import Invocation, channel_argument, common
from kcoro_ipc.identity import group_id, user_id
from kcoro_ipc.quotas import mode_bits

names_argument = channel_argument("names", nargs=-1, required=True, metavar="NAME...")


@click.command()
@click.argument("mode", metavar="MODE")
@names_argument
@common
@click.pass_obj
def chmod(invocation: Invocation, mode: str, names: tuple[str, ...]) -> None:
    """Set the mode of channels: octal digits, r receives, w sends, x manages.

    For the owner, root and the admin group. Handles that are open keep their rights.
    """
    try:
        bits = mode_bits(mode)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    with invocation.client() as client:
        for name in names:
            client.set_rights(name, mode=bits)


@click.command()
@click.argument("who", metavar="[USER][:GROUP]")
@names_argument
@common
@click.pass_obj
def chown(invocation: Invocation, who: str, names: tuple[str, ...]) -> None:
    """Set owner and group of channels, by name or number: USER, USER:GROUP or :GROUP.

    Another owner: root and the admin group only. The quota that pays for a channel stays its
    first owner's.
    """
    owner, group = read_who(who)
    with invocation.client() as client:
        for name in names:
            client.set_rights(name, owner=owner, group=group)


def read_who(text: str) -> tuple[int | None, int | None]:
    user, _, group = text.partition(":")
    if not user and not group:
        raise click.BadParameter(f"{text!r} names nobody; give USER, USER:GROUP or :GROUP")
    try:
        return user_id(user) if user else None, group_id(group) if group else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
