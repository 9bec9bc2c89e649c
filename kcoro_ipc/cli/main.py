"""`kcoro`: a group of commands that are loaded one at a time, and the only place where an error
becomes a line on stderr and an exit code.

Commands raise: KcoroError from the client, click's own errors for wrong use, OutsideError. They
neither print errors nor exit. What is none of these is a fault of ours (70).
"""

import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

from kcoro_ipc import __version__
from kcoro_ipc.cli import exits, standard
from kcoro_ipc.cli.brief import WIDTH
from kcoro_ipc.cli.invocation import Invocation, common
from kcoro_ipc.errors import KcoroError

# Name of a command -> module in this package, what it does. Summaries stand here so that
# `kcoro -h` loads none of them; the order is the order of help.
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "Run the daemon."),
    "service": ("service", "Install the daemon as a service, remove it, look at it."),
    "send": ("send", "Send messages: stdin's lines, arguments, or a file."),
    "recv": ("recv", "Receive messages and write them, or run a command for each."),
    "select": ("select", "Wait for one of several channels; exactly one takes effect."),
    "make": ("make", "Make a channel that stays."),
    "ls": ("listing", "List the channels that you may see."),
    "stat": ("stat", "Show a channel's counters, or who waits in it."),
    "top": ("top", "Watch the channels: depth, rates, who waits."),
    "why": ("why", "Say who waits for whom, and find deadlocks."),
    "tap": ("tap", "Write a copy of what passes a channel."),
    "metrics": ("metrics", "Print all counters as OpenMetrics."),
    "close": ("ending", "Close channels: nothing new goes in, what is there drains."),
    "destroy": ("ending", "Destroy channels at once, with what is in them."),
    "purge": ("ending", "Drop what waits in channels."),
    "drain": ("drain", "Empty a channel: write what is in it, and count it."),
    "chmod": ("owning", "Change who may receive, send and manage."),
    "chown": ("owning", "Change the owner or the group of channels."),
    "config": ("config", "Check or show the daemon's configuration file."),
    "demo": ("demo", "Move real files between real processes and check every byte."),
    "bench": ("bench", "Measure against other brokers (from a source checkout)."),
    "decode": ("decode", "Print captured frames."),
    "completion": ("completion", "Print the set-up for completion in a shell."),
}

COMPLETE = "_KCORO_COMPLETE"  # set by the script that `kcoro completion` prints

# As help lists them: a line each must leave room for the rest on a screen of 24 lines, so kin share
# one. A test sees that each is there once.
ROWS: tuple[tuple[str, str], ...] = (
    ("serve, service", "Run the daemon; install it as a service, or remove it."),
    ("send, recv", "Send messages; receive them, or run a command for each."),
    ("select", "Wait for one of several channels; just one takes effect."),
    ("make, ls, stat", "Make a channel; list them; show counters and who waits."),
    ("top, metrics", "Watch the channels; print all counters as OpenMetrics."),
    ("why, tap", "Say who waits for whom, a deadlock; copy what passes."),
    ("close, destroy", "End channels: when they have drained; at once."),
    ("purge, drain", "Empty channels: drop what waits; write it and count it."),
    ("chmod, chown", "Change who may use channels; whose they are."),
    ("config", COMMANDS["config"][1]),
    ("demo, bench", "See it move real files; measure it against others."),
    ("completion, decode", "Set up completion in a shell; print captured frames."),
)


class LazyGroup(click.Group):
    """Imports a command's module when that command is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"kcoro_ipc.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(ROWS)

    def shell_complete(self, context: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, context, incomplete)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
)
@click.version_option(
    __version__,
    "--version",
    message="kcoro %(version)s",
    help="Show the version.",
)
@common
@click.pass_context
def kcoro(context: click.Context) -> None:
    """Named channels between the programs of this machine; `man kcoro` says all."""
    invocation = context.ensure_object(Invocation)
    invocation.command = f"kcoro {context.invoked_subcommand}"


def invoke(words: list[str], invocation: Invocation) -> int:
    """Not click's own main: that one answers an interrupt and a broken pipe in its own way."""
    if asked := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(kcoro, {"obj": invocation}, "kcoro", COMPLETE, asked)
    if not words:
        words = ["--help"]
    with kcoro.make_context("kcoro", words, obj=invocation) as context:
        ended = kcoro.invoke(context)
    return ended if isinstance(ended, int) else exits.OK


def run(words: list[str], invocation: Invocation) -> int:
    """One command line; returns its exit code."""
    try:
        return invoke(words, invocation)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        invocation.say(_advised(error))
        return exits.USAGE
    except click.ClickException as error:
        invocation.say(error.format_message())
        return exits.USAGE
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED
    except BrokenPipeError:
        return exits.BROKEN_PIPE
    except exits.OutsideError as error:
        invocation.say(str(error))
        return exits.OUTSIDE
    except KcoroError as error:
        invocation.say(exits.line_of(error, _can_wait(invocation)))
        return exits.code_of(error)


def _can_wait(invocation: Invocation) -> bool:
    """Whether the command that failed has --wait."""
    name = invocation.command.removeprefix("kcoro ")
    command = kcoro.get_command(click.Context(kcoro), name)
    return command is not None and any(one.name == "wait" for one in command.params)


def _advised(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "kcoro"
    return f"{error.format_message().rstrip('.')}: see `{path} -h`"


def guarded(words: list[str], invocation: Invocation) -> int:
    try:
        return run(words, invocation)
    except Exception as error:  # the last place that can make a code of it
        if os.environ.get("KCORO_DEBUG"):
            raise
        cause = exits.leaf_of(error)
        kind = type(cause).__name__
        invocation.say(
            f"a fault of ours, please report it: {kind}: {cause} (KCORO_DEBUG=1 shows where)"
        )
        return exits.OUR_FAULT


def finish(code: int, invocation: Invocation) -> int:
    """Writes out what print still holds; a reader that has gone is not worth a word."""
    try:
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        failed = exits.BROKEN_PIPE
    except exits.OutsideError as error:
        if not code:
            invocation.say(str(error))
        failed = exits.OUTSIDE
    # The interpreter would flush again at exit and complain: give it somewhere to write.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code or failed


def main(words: list[str] | None = None) -> None:
    """The entry point; never returns."""
    standard.secure()
    invocation = Invocation()
    code = guarded(sys.argv[1:] if words is None else words, invocation)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the code is decided: no traceback from here on
    sys.exit(finish(code, invocation))
