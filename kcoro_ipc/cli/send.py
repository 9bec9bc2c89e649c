"""`kcoro send`: messages from stdin, arguments or a file into a channel.

Whole pieces of stdin go out as batches; a batch that is not taken at once waits (that is the
back-pressure), so never more than one piece of input is held here.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc.cli import intake
from kcoro_ipc.cli.exits import OutsideError, outside
from kcoro_ipc.cli.framing import Messages, splitter
from kcoro_ipc.cli.invocation import (
    Invocation,
    Seconds,
    channel_argument,
    common,
    patience,
    presence,
    seconds,
)
from kcoro_ipc.cli.opening import open_end
from kcoro_ipc.errors import NotSupported, PoolExhausted, QuotaExceeded

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Channel, Client

SPARE_POOL_BYTES = 64 << 20


@click.command()
@channel_argument()
@click.argument("messages", nargs=-1, metavar="[MESSAGE]...")
@click.option("--file", "path", metavar="F", help="Send the content of F as one message.")
@click.option("--pass-stdin", is_flag=True, help="Send the open stdin itself, not its content.")
@click.option("-0", "framing", flag_value="nul", help="Messages on stdin end with NUL.")
@click.option(
    "--length", "framing", flag_value="length", help="4-byte big-endian lengths precede them."
)
@click.option("--whole", "framing", flag_value="whole", help="All of stdin is one message.")
@click.option("--confirm", is_flag=True, help="Wait until each is acknowledged by a receiver.")
@click.option("--ttl", type=Seconds(0.001), metavar="S", help="How long each may wait.")
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
    pass_stdin: bool,
    framing: str | None,
    confirm: bool,
    ttl: float | None,
    close: bool,
    timeout: float | None,
    attempt: bool,
    existing: bool,
    wait: bool,
) -> None:
    """Send each line of stdin to channel NAME, each MESSAGE, or a file.

    A missing channel is made (rendezvous, 0600, for as long as it is used). On a rendezvous
    channel a send ends when a receiver took the message; else when the channel accepted it.
    """
    check_sources(messages, path, pass_stdin, framing)
    patience_s = seconds(timeout, attempt)
    with ExitStack() as stack:
        source = stack.enter_context(intake.Source(path)) if path is not None else None
        client = stack.enter_context(invocation.client(pool_for(source)))
        channel = open_end(
            client, name, existing=existing, wait=wait, timeout=patience_s, read=False
        )
        sender = Sender(channel, patience_s, confirm, ttl)
        words = [os.fsencode(message) for message in messages]
        if pass_stdin:
            sender.pass_on(words, intake.STDIN)
        elif source is not None:
            sender.send_file(client, source)
        elif words:
            sender.send(words)
        else:
            sender.stream(intake.pieces(), framing or "lines")
        if close:
            channel.close()


def check_sources(
    messages: tuple[str, ...], path: str | None, pass_stdin: bool, framing: str | None
) -> None:
    if pass_stdin and (path is not None or framing is not None or len(messages) > 1):
        raise click.UsageError("--pass-stdin goes with one MESSAGE at most, and nothing else")
    if sum((bool(messages), path is not None, framing is not None)) > 1:
        raise click.UsageError("messages come from arguments, --file or stdin: give one of them")
    if pass_stdin and sys.stdin is None:  # closed; what has its number now is only a filler
        raise OutsideError("stdin is closed, so there is nothing to pass; give it a file: < FILE")


def pool_for(source: "intake.Source | None") -> int | None:
    """Shared memory for a large file and what else is usual."""
    return None if source is None or not source.size else source.size + SPARE_POOL_BYTES


class Sender:
    """Puts messages into a channel in order; the first that fails ends it with its error."""

    def __init__(
        self, channel: "Channel", timeout: float | None, confirm: bool, ttl: float | None
    ) -> None:
        self._channel = channel
        self._timeout = timeout
        self._confirm = confirm
        self._ttl = ttl
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

    def send_file(self, client: "Client", source: intake.Source) -> None:
        """By a descriptor of its content, which the kernel copies once; as bytes if it is short,
        or if there is no shared memory for it and an element holds it."""
        from kcoro_ipc.regions import ZERO_COPY_FROM

        if not source.size or source.size < ZERO_COPY_FROM:
            self.stream(source.pieces(self.limit), "whole")
            return
        try:
            with client.loan_file(source) as content:
                self._send_one(content)
        except (NotSupported, PoolExhausted, QuotaExceeded):
            if source.size > self.limit:
                raise
            self.stream(source.pieces(self.limit), "whole")
        except OSError as error:
            raise outside(f"cannot read {source.path}", error) from error

    def pass_on(self, words: Messages, fd: int) -> None:
        self._send_one(words[0] if words else b"", files=[fd])

    def _send_one(self, value: Any, files: Sequence[int] = ()) -> None:
        self._channel.send(
            value, files=files, timeout=self._timeout, confirm=self._confirm, ttl=self._ttl
        )

    def send(self, messages: Messages) -> None:
        if self._confirm:
            for message in messages:
                self._send_one(message)
            return
        while messages:
            settled = self._channel.send_many(messages, timeout=self._timeout, ttl=self._ttl)
            messages = messages[settled:]
