"""`kcoro send`: messages from stdin, arguments or a file into a channel.

Whole pieces of stdin go out as batches; a batch that is not taken at once waits (that is the
back-pressure), so never more than one piece of input is held here.
"""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from kcoro_ipc.cli import intake
from kcoro_ipc.cli.framing import Messages, splitter
from kcoro_ipc.cli.invocation import (
    Invocation,
    channel_argument,
    common,
    patience,
    presence,
    seconds,
)
from kcoro_ipc.cli.opening import open_end

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Channel


@click.command()
@channel_argument()
@click.argument("messages", nargs=-1, metavar="[MESSAGE]...")
@click.option("--file", "path", metavar="F", help="Send the content of F as one message.")
@click.option("-0", "framing", flag_value="nul", help="Messages on stdin end with NUL.")
@click.option(
    "--length", "framing", flag_value="length", help="4-byte big-endian lengths precede them."
)
@click.option("--whole", "framing", flag_value="whole", help="All of stdin is one message.")
@click.option("--confirm", is_flag=True, help="Wait until each is acknowledged by a receiver.")
@click.option("--close", "close", is_flag=True, help="Close the channel at the end.")
@patience
@presence
@common
@click.pass_obj
def send(
    invocation: Invocation,
    name: str,
    messages: tuple[str, ...],
    path: str | None,
    framing: str | None,
    confirm: bool,
    close: bool,
    timeout: float | None,
    attempt: bool,
    existing: bool,
    wait: bool,
) -> None:
    """Send each line of stdin to channel NAME, or each MESSAGE, or file F.

    A missing channel is made (rendezvous, 0600, for as long as it is used). On a rendezvous
    channel a send ends when a receiver took the message; else when the channel accepted it.
    """
    if sum((bool(messages), path is not None, framing is not None)) > 1:
        raise click.UsageError("messages come from arguments, --file or stdin: give one of them")
    patience_s = seconds(timeout, attempt)
    with invocation.client() as client:
        channel = open_end(
            client, name, existing=existing, wait=wait, timeout=patience_s, read=False
        )
        sender = Sender(channel, patience_s, confirm)
        if messages:
            sender.send([os.fsencode(message) for message in messages])
        elif path is not None:
            sender.stream(intake.read_file(path, sender.limit), "whole")
        else:
            sender.stream(intake.pieces(), framing or "lines")
        if close:
            channel.close()


class Sender:
    """Puts messages into a channel in order; the first that fails ends it with its error."""

    def __init__(self, channel: "Channel", timeout: float | None, confirm: bool) -> None:
        self._channel = channel
        self._timeout = timeout
        self._confirm = confirm
        self.limit = channel.info.longest_element(channel.client_connection.max_frame_bytes)

    def stream(self, pieces: Iterable[bytes], framing: str) -> None:
        source = splitter(framing, self.limit)
        for data in pieces:
            self.send(source.feed(data))
            if source.failure is not None:
                raise source.failure
        self.send(source.finish())
        if source.failure is not None:
            raise source.failure

    def send(self, messages: Messages) -> None:
        if self._confirm:
            for message in messages:
                self._channel.send(message, timeout=self._timeout, confirm=True)
            return
        while messages:
            settled = self._channel.send_many(messages, timeout=self._timeout)
            messages = messages[settled:]
