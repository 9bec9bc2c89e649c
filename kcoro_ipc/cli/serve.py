"""`kcoro serve`: from words on the command line to a daemon that is ready.

trio and the native module are loaded when the command runs, not when its help is shown.
"""

import dataclasses
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc.cli.exits import OutsideError
from kcoro_ipc.cli.invocation import Seconds
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.logs import LEVELS
from kcoro_ipc.quotas import Limits

if TYPE_CHECKING:
    from kcoro_ipc.daemon import Daemon
    from kcoro_ipc.transport import Listener

LIMIT_NAMES = tuple(field.name for field in dataclasses.fields(Limits))


def read_limits(context: click.Context, option: click.Parameter, given: Sequence[str]) -> Limits:
    """`NAME=N` each; N may end in K, M or G (1024, 1024**2, 1024**3)."""
    chosen: dict[str, int] = {}
    for text in given:
        name, _, number = text.partition("=")
        name = name.removeprefix("limits.")
        if name not in LIMIT_NAMES:
            raise click.BadParameter(f"there is no limit {name!r}; choose {', '.join(LIMIT_NAMES)}")
        chosen[name] = _number(name, number)
    return Limits(**chosen)


def _number(name: str, text: str) -> int:
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:].upper(), 1)
    digits = text[:-1] if factor > 1 else text
    rate = name.startswith("frames_per_second")  # 0: as many as come
    if not digits.isdecimal() or (not int(digits) and not rate):
        raise click.BadParameter(f"{name}={text}: give a whole number from 1 on")
    return int(digits) * factor


def read_mode(context: click.Context, option: click.Parameter, given: str | None) -> int | None:
    if given is None:
        return None
    try:
        mode = int(given, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise click.BadParameter(f"{given} is no mode; give octal digits, as 660")
    return mode


@click.command()
@click.option(
    "--listen",
    multiple=True,
    metavar="ADDRESS",
    help="Listen at stream:PATH, seqpacket:PATH or PATH (stream). May be given more than once. "
    "Without it: $KCORO_SOCKET, else kcoro.sock and kcoro-seq.sock in $XDG_RUNTIME_DIR/kcoro "
    "(root: /run/kcoro).",
)
@click.option("--socket-mode", callback=read_mode, metavar="OCTAL", help="Mode of the sockets.")
@click.option(
    "--drain",
    "drain_s",
    type=Seconds(),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="On SIGTERM wait so long for receivers to empty the channels.",
)
@click.option(
    "--io",
    type=click.Choice(["trio", "thread"]),
    default="trio",
    show_default=True,
    help="Where sockets are served: on trio's thread, or in one of their own.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    callback=read_limits,
    metavar="NAME=N",
    help=f"Set a limit: {', '.join(LIMIT_NAMES)}.",
)
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
@click.option(
    "--debug", is_flag=True, help="Log every control frame (the same as --log-level debug)."
)
@click.option("--quiet", is_flag=True, help="No ready line on stderr.")
@click.option("--until-eof", is_flag=True, help="End when standard input ends.")
def serve(
    listen: Sequence[str],
    socket_mode: int | None,
    drain_s: float,
    io: str,
    limits: Limits,
    log_level: str,
    debug: bool,
    quiet: bool,
    until_eof: bool,
) -> int:
    """Run the daemon that holds the channels.

    SIGTERM drains: nothing new is taken, receivers may empty the channels; messages that are left
    after --drain seconds are counted in the log and the exit status is 1. SIGINT ends at once.
    """
    import trio

    from kcoro_ipc import daemon, logs, service
    from kcoro_ipc.acceptor import raise_descriptor_limit

    logs.start("debug" if debug else log_level)
    listeners = open_listeners(listen, socket_mode)
    raise_descriptor_limit()
    gc.freeze()  # what is loaded now stays for ever: no collection needs to look at it

    async def run() -> int:
        return await daemon.serve(
            listeners,
            limits=limits,
            drain_s=drain_s,
            io_thread=io == "thread",
            ready=lambda: say_ready(listeners, quiet),
            stopping=lambda: service.notify("STOPPING=1"),
            beside=stop_at_eof if until_eof else None,
        )

    try:
        return trio.run(run)
    except KcoroError as error:
        raise OutsideError(f"the daemon cannot start: {error}") from error
    finally:
        for listener in listeners:
            listener.close()


def open_listeners(listen: Sequence[str], mode: int | None) -> "list[Listener]":
    """Sockets passed by a service manager, else those of --listen, else the usual ones."""
    from kcoro_ipc import service, transport
    from kcoro_ipc.protocol.address import parse_address

    try:
        passed = service.passed_listeners()
        if passed:
            return passed
        addresses = [parse_address(text) for text in listen] or transport.default_addresses()
        return transport.listen_all(addresses, mode)
    except transport.TransportError as error:
        raise OutsideError(str(error)) from error


def say_ready(listeners: "Sequence[Listener]", quiet: bool) -> None:
    from kcoro_ipc import service

    if not quiet:
        where = " ".join(f"{one.address.transport}:{one.address.path}" for one in listeners)
        print(f"kcoro: ready on {where}", file=sys.stderr, flush=True)
    service.notify(f"READY=1\nMAINPID={os.getpid()}")


async def stop_at_eof(daemon: "Daemon") -> None:
    """Whoever started this daemon is gone when its end of our standard input is closed."""
    import trio

    while True:
        with suppress(PermissionError):  # a file or /dev/null: never waits, and epoll refuses it
            await trio.lowlevel.wait_readable(0)
        if not os.read(0, 4096):
            return daemon.stop(drain=False)


def main() -> Any:
    """`python -m kcoro_ipc.cli.serve`, for who needs the daemon without the other commands."""
    try:
        return serve(prog_name="kcoro serve", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (OutsideError, KcoroError) as error:
        print(f"kcoro serve: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
