"""What every command shares: which daemon, how much to say, and the options that set it."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kcoro_ipc.cli.brief import Shared
from kcoro_ipc.errors import KcoroError

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Client

Command = TypeVar("Command", bound=Callable[..., Any])


class Seconds(click.FloatRange):
    """A length of time. Also nan and inf are floats within a range, but no time to wait."""

    def __init__(self, least: float = 0.0) -> None:
        super().__init__(min=least)

    def _describe_range(self) -> str:
        return ""  # of help: that time is not negative needs no word

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


def reads(read: Callable[[str], int]) -> Callable[..., int | None]:
    """A callback of an option: its text by `read`, whose ValueError is wrong use."""

    def callback(context: click.Context, param: click.Parameter, value: str | None) -> int | None:
        try:
            return None if value is None else read(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return callback


class Invocation:
    """One run of the program. Options write into it, `main` reads `quiet` when all is over."""

    def __init__(self) -> None:
        self.socket: str | None = None
        self.quiet = False
        self.command = "kcoro"

    def client(self, pool_bytes: int | None = None) -> "Client":
        """A connection, for `with`; named after the command in the daemon's log. `pool_bytes`:
        room for shared memory, if the usual is not enough."""
        from kcoro_ipc import blocking

        more: dict[str, Any] = {} if pool_bytes is None else {"pool_bytes": pool_bytes}
        return blocking.open_client(self.socket, name=self.command, **more)

    def say(self, text: str) -> None:
        """One line on stderr, unless --quiet; it may hold what others chose, so no control
        character reaches the terminal."""
        if not self.quiet:
            parts = (part.strip() for part in text.splitlines())
            line = "".join(map(shown, " ".join(parts)))
            try:
                click.echo(f"kcoro: {line}", err=True)
            except OSError:
                pass  # stderr is gone or full: the exit code still tells


def shown(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def remember(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(Invocation), name, value)

    return remember


def common(command: Command) -> Command:
    """--socket and --quiet; they may stand before or after the command's name."""
    socket = click.option(
        "--socket",
        cls=Shared,
        line=("--socket PATH, -q", "Which daemon; no word on stderr (kcoro -h)."),
        metavar="PATH",
        expose_value=False,
        callback=_remember("socket"),
        help="The daemon's socket.  [$KCORO_SOCKET, yours, the system's]",
    )
    quiet = click.option(
        "-q",
        "--quiet",
        cls=Shared,
        line=None,
        is_flag=True,
        expose_value=False,
        callback=_remember("quiet"),
        help="Say nothing on stderr.",
    )
    return socket(quiet(command))


def complete_channel(context: click.Context, _: click.Parameter, incomplete: str) -> list[Any]:
    """Names of channels for the shell; without a daemon there are none, and no noise."""
    from click.shell_completion import CompletionItem

    try:
        with context.ensure_object(Invocation).client() as client:
            found = client.list_channels()
    except (KcoroError, OSError):
        return []
    return [
        CompletionItem(info.name, help=info.kind)
        for info in found
        if info.name is not None and info.name.startswith(incomplete)
    ]


def channel_argument(name: str = "name", **options: Any) -> Callable[[Command], Command]:
    """An argument that is a channel's name and completes as one."""
    given = {"metavar": "NAME", "shell_complete": complete_channel, **options}
    return click.argument(name, **given)


def patience(command: Command) -> Command:
    """--timeout and --try, for commands that wait. The value is seconds, None for ever, 0 try."""
    timeout = click.option(
        "--timeout",
        type=Seconds(),
        metavar="S",
        help="Give up after S seconds without progress.  [for ever]",
    )
    attempt = click.option(
        "--try", "attempt", is_flag=True, help="Do not wait at all (exit code 3)."
    )
    return timeout(attempt(command))


def seconds(timeout: float | None, attempt: bool) -> float | None:
    if attempt and timeout is not None:
        raise click.UsageError("--try does not wait, so --timeout does not fit; leave one out")
    return 0.0 if attempt else timeout


def presence(command: Command) -> Command:
    """--existing and --wait: what to do about a channel that is not there."""
    existing = click.option(
        "--existing", is_flag=True, help="Do not make a missing channel (exit code 8)."
    )
    wait = click.option("--wait", is_flag=True, help="Wait until somebody makes a missing channel.")
    return existing(wait(command))
