"""`kcoro recv`: messages out of a channel, acknowledged after they were written or handled.

Every receive asks for acknowledgement, so a message that was received and not written (a signal,
a broken pipe, a full disk) goes back to its place: at least once, and `redelivered` says so.
A conflated channel has no acknowledgement: there it is a plain receive.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import click

from kcoro_ipc.cli import exits
from kcoro_ipc.cli.framing import JOINERS
from kcoro_ipc.cli.invocation import (
    Invocation,
    channel_argument,
    common,
    patience,
    presence,
    seconds,
)
from kcoro_ipc.cli.opening import open_end
from kcoro_ipc.cli.output import close_files, json_jobs, write_all
from kcoro_ipc.errors import EndOfChannel

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Channel, Inbox, Job

BATCH = 1024
Render = Callable[["Sequence[Job]"], bytes]


@click.command()
@channel_argument()
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Take N messages.  [1]")
@click.option("--follow", is_flag=True, help="Take all until the channel is closed (exit code 0).")
@click.option("-0", "form", flag_value="nul", help="End each message with NUL, not a newline.")
@click.option("--length", "form", flag_value="length", help="Precede each by its 4-byte length.")
@click.option("--raw", "form", flag_value="raw", help="Write the messages and nothing between.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@click.option("--sender", is_flag=True, help="Say who sent each: uid and pid before it.")
@click.option("--output", metavar="F", help="Write the message to file F, whole or not at all.")
@click.option("--exec", "command", metavar="CMD", help="Run CMD with each message on its stdin.")
@patience
@presence
@common
@click.pass_obj
def recv(
    invocation: Invocation,
    name: str,
    count: int | None,
    follow: bool,
    form: str | None,
    sender: bool,
    output: str | None,
    command: str | None,
    timeout: float | None,
    attempt: bool,
    existing: bool,
    wait: bool,
) -> int:
    """Take a message from channel NAME and write it, ended by a newline.

    It is acknowledged once it was written; with --exec by CMD's exit code 0. After another it
    goes back, and the exit code is 1 in the end.
    """
    if follow and count is not None:
        raise click.UsageError("--follow takes all there is, so --count does not fit")
    if command is not None and form is not None:
        raise click.UsageError("--exec hands messages to CMD as they are; leave the format out")
    if output is not None and (command, form, count, follow) != (None, None, None, False):
        raise click.UsageError("--output takes one message as it is; give nothing else with it")
    if sender and (output is not None or form in ("length", "raw")):
        raise click.UsageError("--sender goes with lines, -0, --json or --exec")
    patience_s = seconds(timeout, attempt)
    with invocation.client() as client:
        channel = open_end(
            client, name, existing=existing, wait=wait, timeout=patience_s, write=False
        )
        receiver = Receiver(channel, patience_s, None if follow else count or 1, sender)
        if command is not None:
            return run_each(receiver, command, invocation)
        if output is not None:
            receiver.save(output, invocation)
        else:
            receiver.write(renderer(form or "lines", sender), invocation)
        return exits.OK


def renderer(form: str, sender: bool = False) -> Render:
    if form == "json":
        return json_jobs
    join = JOINERS[form]
    if sender:
        return lambda jobs: join([signed(job) for job in jobs])
    return lambda jobs: join([job.data for job in jobs])


def signed(job: "Job") -> bytes:
    """UID PID MESSAGE; - where the sender is not known."""
    uid, pid = job.sender or ("-", "-")
    return b"%s %s %s" % (str(uid).encode(), str(pid).encode(), job.data)


def inbox_of(channel: "Channel", lease: bool = False, sender: bool = False) -> "Inbox":
    if channel.info.kind != "conflated":
        return channel.acking(lease=lease, sender=sender)
    from kcoro_ipc.cli.plain import PlainInbox

    return cast("Inbox", PlainInbox(channel, sender))


def run_each(receiver: "Receiver", command: str, invocation: Invocation) -> int:
    from kcoro_ipc.cli.worker import Worker

    worker = Worker(command, invocation)
    receiver.handle(worker.handle)
    return exits.OUTSIDE if worker.failures else exits.OK


class Receiver:
    """Takes `count` messages, or all (None), in batches no larger than what is still wanted."""

    def __init__(
        self,
        channel: "Channel",
        timeout: float | None,
        count: int | None,
        sender: bool = False,
    ) -> None:
        self._channel = channel
        self._sender = sender
        self._timeout = timeout
        self._left = count

    def write(self, render: Render, invocation: Invocation) -> None:
        with inbox_of(self._channel, sender=self._sender) as inbox:
            while jobs := self._take(inbox, BATCH):
                write_all(render(jobs))
                inbox.ack(*jobs)
                close_files(jobs, invocation)

    def save(self, path: str, invocation: Invocation) -> None:
        """One message by its lease: the bytes are written from where they lie."""
        from kcoro_ipc.cli.saving import save

        with inbox_of(self._channel, lease=True) as inbox:
            for job in self._take(inbox, 1):
                save(path, job.data)
                job.ack()
                if job.lease is not None:
                    job.lease.release()
                close_files([job], invocation)

    def handle(self, handle: "Callable[[Job], None]") -> None:
        """One at a time, so that other workers get the next ones meanwhile."""
        with inbox_of(self._channel, sender=self._sender) as inbox:
            while jobs := self._take(inbox, 1):
                handle(jobs[0])

    def _take(self, inbox: "Inbox", most: int) -> "Sequence[Job]":
        """Nothing once `count` have come, and at the end of the channel for who wants all."""
        if self._left is None:
            try:
                return inbox.receive_many(most, timeout=self._timeout)
            except EndOfChannel:
                return ()
        if self._left == 0:
            return ()
        jobs = inbox.receive_many(min(most, self._left), timeout=self._timeout)
        self._left -= len(jobs)
        return jobs
