"""`kcoro drain`: what is in a channel comes out, each message acknowledged after it was written.

It takes what waits, and what parked senders put behind it meanwhile, and ends when nothing is
there: messages that other receivers hold are theirs. With --close nothing new goes in first, so
that it ends although somebody keeps sending.
"""

import os
from contextlib import ExitStack

import click

from kcoro_ipc.cli.exits import outside
from kcoro_ipc.cli.invocation import Invocation, channel_argument, common
from kcoro_ipc.cli.output import STDOUT, close_files, write_all
from kcoro_ipc.cli.recv import BATCH, inbox_of, renderer
from kcoro_ipc.errors import EndOfChannel, WouldBlock

USUAL_MODE = 0o666


@click.command()
@channel_argument()
@click.option("--close", "close", is_flag=True, help="Refuse new messages first.")
@click.option("--output", metavar="F", help="Append to file F instead of writing to stdout.")
@click.option("-0", "form", flag_value="nul", help="End each message with NUL, not a newline.")
@click.option("--length", "form", flag_value="length", help="Precede each by its 4-byte length.")
@click.option("--raw", "form", flag_value="raw", help="Write the messages and nothing between.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@common
@click.pass_obj
def drain(
    invocation: Invocation, name: str, close: bool, output: str | None, form: str | None
) -> None:
    """Empty channel NAME: write all its messages, then say how many there were.

    Each is gone from the channel once it was written, and not before.
    """
    with ExitStack() as stack:
        client = stack.enter_context(invocation.client())
        channel = client.open_channel(name, existing=True, write=False)
        fd = STDOUT if output is None else opened(output)
        if output is not None:
            stack.callback(os.close, fd)
        if close:
            channel.close()
        inbox = stack.enter_context(inbox_of(channel))
        render = renderer(form or "lines")
        count = 0
        try:
            while True:
                jobs = inbox.receive_many(BATCH, timeout=0)
                write_all(render(jobs), fd)
                inbox.ack(*jobs)
                close_files(jobs, invocation)
                count += len(jobs)
        except (WouldBlock, EndOfChannel):
            what = "1 message" if count == 1 else f"{count} messages"
            invocation.say(f"{what} drained from channel {name}")


def opened(path: str) -> int:
    """Appended to: what an earlier drain has written is nowhere else."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, USUAL_MODE)
    except OSError as error:
        raise outside(f"cannot write {path}", error) from error
