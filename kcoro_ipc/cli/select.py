"""`kcoro select`: one receive or send among several, exactly one of which takes effect."""

import os
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc.cli.invocation import (
    Invocation,
    channel_argument,
    common,
    patience,
    presence,
    seconds,
)
from kcoro_ipc.cli.opening import open_end
from kcoro_ipc.cli.output import close_files, data_fields, json_line, write_all

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Channel, Clause, Client, Selected


@click.command()
@channel_argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--send", "sends", multiple=True, metavar="CH=VALUE", help="An arm that sends.")
@click.option("--biased", is_flag=True, help="Of several ready arms take the first, not any.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object.")
@patience
@presence
@common
@click.pass_obj
def select(
    invocation: Invocation,
    names: tuple[str, ...],
    sends: tuple[str, ...],
    biased: bool,
    as_json: bool,
    timeout: float | None,
    attempt: bool,
    existing: bool,
    wait: bool,
) -> None:
    """Wait until one arm takes effect: a receive from a NAME or the send of a VALUE.

    Arms are numbered from 0, receives first. Written is the channel's name, for a receive also a
    tab and the message, which is acknowledged after that.
    """
    patience_s = seconds(timeout, attempt)
    values = [split_send(text) for text in sends]
    if not names and not values:
        raise click.UsageError("nothing to wait for: give a NAME, or --send CH=VALUE")
    where = {"existing": existing, "wait": wait, "timeout": patience_s}
    with invocation.client() as client:
        arms = Arms(client, where)
        try:
            for name in names:
                arms.receive(name)
            for name, value in values:
                arms.send(name, value)
            done = client.select(*arms.clauses, timeout=patience_s, biased=biased)
            arms.report(done, as_json, invocation)
        finally:
            arms.close()


def split_send(text: str) -> tuple[str, bytes]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--send {text!r} is not CH=VALUE")
    return name, os.fsencode(value)


class Arms:
    """The clauses in order, and the inboxes that hold what a receiving one brought."""

    def __init__(self, client: "Client", where: dict[str, Any]) -> None:
        self.clauses: list[Clause] = []
        self._client = client
        self._where = where
        self._names: list[str] = []
        self._inboxes: list[Any] = []

    def receive(self, name: str) -> None:
        channel = self._open(name, write=False)
        if channel.info.kind == "conflated":  # has no acknowledgement
            self.clauses.append(channel.receiving(message=True))
            return
        inbox = channel.acking()
        self._inboxes.append(inbox)
        self.clauses.append(inbox.receiving())

    def send(self, name: str, value: bytes) -> None:
        self.clauses.append(self._open(name, read=False).sending(value))

    def _open(self, name: str, **rights: Any) -> "Channel":
        self._names.append(name)
        return open_end(self._client, name, **self._where, **rights)

    def report(self, done: "Selected", as_json: bool, invocation: Invocation) -> None:
        """Writes what happened, then acknowledges."""
        name = self._names[done.index]
        job = done.value if hasattr(done.value, "ack") else None
        data = None if done.value is None else done.value.data
        if as_json:
            op = "send" if data is None else "receive"
            fields: dict[str, Any] = {"index": done.index, "channel": name, "op": op}
            if data is not None:
                fields |= data_fields(data)
            if job is not None:
                fields |= {"redelivered": job.redelivered, "attempts": job.attempts}
            write_all(json_line(fields))
        else:
            write_all(name.encode() + (b"" if data is None else b"\t" + data) + b"\n")
        if job is not None:
            job.ack()
        if done.value is not None:
            close_files([done.value], invocation)

    def close(self) -> None:
        """Gives back what was received and not acknowledged."""
        for inbox in self._inboxes:
            inbox.aclose()
