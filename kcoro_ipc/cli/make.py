"""`kcoro make`: a channel that stays until it is destroyed.

The maker keeps no handle, and while it has one it is a reader: with --close-on-last-sender the
channel must not close because the program that made it ends.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import click

from kcoro_ipc.cli.brief import Brief
from kcoro_ipc.cli.invocation import Invocation, Seconds, common, reads
from kcoro_ipc.identity import group_id, user_id
from kcoro_ipc.protocol.channels import KINDS, OVERFLOWS, UNDELIVERED
from kcoro_ipc.quotas import amount, mode_bits

if TYPE_CHECKING:
    from kcoro_ipc.protocol.channels import ChannelOptions


size = reads(amount)


def one_of(words: Iterable[str]) -> "click.Choice[str]":
    return click.Choice([spelled(word) for word in words])


def spelled(word: str) -> str:
    """Words with - or _ in them are the same, in options and in their values."""
    return word.replace("_", "-").lower()


@click.command(context_settings={"token_normalize_func": spelled})
@click.argument("name", metavar="NAME")
@click.option(
    "--kind",
    cls=Brief,
    line=("--kind KIND", "rendezvous, buffered, conflated or unlimited."),
    type=one_of(KINDS),
    help="[rendezvous; buffered with --capacity]",
)
@click.option("--capacity", type=click.IntRange(min=1), metavar="N", help="Places if buffered.")
@click.option("--elem-size", metavar="SIZE", callback=size, help="Longest message in bytes.  [16M]")
@click.option("--fixed-size", is_flag=True, help="Every message has exactly that size.")
@click.option(
    "--max-bytes",
    metavar="SIZE",
    callback=size,
    help="Waiting bytes at which it is full.  [64M]",
)
@click.option(
    "--ttl",
    cls=Brief,
    line=("--ttl S, --file-ttl S", "How long messages, those with files, may wait."),
    type=Seconds(0.001),
    metavar="S",
    help="How long messages may wait.",
)
@click.option(
    "--file-ttl",
    cls=Brief,
    line=None,
    type=Seconds(0.001),
    metavar="S",
    help="How long those with open files may wait.",
)
@click.option(
    "--overflow",
    cls=Brief,
    line=("--overflow WHAT", "If full: suspend, drop-newest or drop-oldest."),
    type=one_of(OVERFLOWS),
    help="What sends do when full.  [suspend]",
)
@click.option(
    "--undelivered",
    cls=Brief,
    line=("--undelivered WHAT", "If a receiver dies: requeue, drop, dead-letter."),
    type=one_of(UNDELIVERED),
    help="If a receiver dies.  [requeue]",
)
@click.option("--ack-required", is_flag=True, help="Refuse receives that do not acknowledge.")
@click.option("--dead-letter", metavar="NAME", help="Unlimited channel for what cannot be done.")
@click.option("--max-attempts", type=click.IntRange(1, 63), metavar="N", help="Deliveries before.")
@click.option("--close-on-last-sender", is_flag=True, help="Close when the last sender goes.")
@click.option(
    "--mode",
    metavar="BITS",
    callback=reads(mode_bits),
    help="Who may r receive, w send, x manage.  [0600]",
)
@click.option(
    "--owner",
    cls=Brief,
    line=("--owner USER, --group GROUP", "Whose it is (by root); one of your groups."),
    metavar="USER",
    callback=reads(user_id),
    help="Whose it is (by root).",
)
@click.option(
    "--group",
    cls=Brief,
    line=None,
    metavar="GROUP",
    callback=reads(group_id),
    help="One of your groups.",
)
@click.option("--exclusive", is_flag=True, help="Fail if it exists, even if it agrees.")
@common
@click.pass_obj
def make(invocation: Invocation, /, name: str, **given: Any) -> None:
    """Make channel NAME, which stays until it is destroyed. One that exists must agree."""
    with invocation.client() as client:
        client.make_channel(name, **options(given))


def options(given: dict[str, Any]) -> "ChannelOptions":
    """From what stood on the command line to what a channel is made with."""
    found: dict[str, Any] = {"write": False}
    found |= {
        key: value for key, value in given.items() if value is not None and value is not False
    }
    for option in ("kind", "overflow", "undelivered"):
        if option in found:
            found[option] = found[option].replace("-", "_")
    if found.pop("ack_required", False):
        found["ack"] = "required"
    if found.get("kind") == "buffered" and "capacity" not in found:
        raise click.UsageError("a buffered channel needs its number of places: --capacity N")
    if found.get("dead_letter") and "undelivered" not in found and "max_attempts" not in found:
        found["undelivered"] = "dead_letter"
    return cast("ChannelOptions", found)
