"""`kcoro serve`: from words on the command line to a daemon that is ready.

trio and the native module are loaded when the command runs, not when its help is shown.
"""

import dataclasses
import faulthandler
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from kcoro_ipc.cli.brief import Brief
from kcoro_ipc.cli.exits import OUTSIDE, USAGE, OutsideError
from kcoro_ipc.cli.invocation import Seconds, reads, shown
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.logs import LEVELS
from kcoro_ipc.quotas import Limits, limit, mode_bits

if TYPE_CHECKING:
    from kcoro_ipc.config_forms import Config
    from kcoro_ipc.daemon import Daemon
    from kcoro_ipc.service import Listeners
    from kcoro_ipc.transport import Listener

BESIDE = "/"  # as PATH of the metrics socket: no socket can stand there
METRICS_MODE = 0o660
LIMIT_NAMES = tuple(field.name for field in dataclasses.fields(Limits))


def read_limits(
    context: click.Context, option: click.Parameter, given: Sequence[str]
) -> dict[str, int]:
    """`NAME=N` each; N may end in K, M or G (1024, 1024**2, 1024**3)."""
    chosen: dict[str, int] = {}
    for text in given:
        name, _, number = text.partition("=")
        name = name.removeprefix("limits.")
        if name not in LIMIT_NAMES:
            raise click.BadParameter(f"there is no limit {name!r}; choose {', '.join(LIMIT_NAMES)}")
        try:
            chosen[name] = limit(name, number)
        except ValueError as error:
            raise click.BadParameter(f"{name}: {error}") from error
    return chosen


@click.command()
@click.option(
    "--listen",
    multiple=True,
    metavar="ADDRESS",
    help="Listen at stream:PATH, seqpacket:PATH or PATH, once or more often.  [$KCORO_SOCKET, "
    "or the usual]",
)
@click.option(
    "--metrics",
    is_flag=False,
    flag_value=BESIDE,
    metavar="[PATH]",
    help="Answer scrapers there.  [metrics.sock beside the first]",
)
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="Read it, not the usual kcoro.toml; options come first.",
)
@click.option(
    "--socket-mode", callback=reads(mode_bits), metavar="OCTAL", help="Mode of the sockets."
)
@click.option(
    "--drain",
    type=Seconds(),
    metavar="SECONDS",
    help="On SIGTERM wait so long for receivers.  [10]",
)
@click.option(
    "--io",
    cls=Brief,
    line=("--io WHERE", "Where sockets are served: trio or thread.  [trio]"),
    type=click.Choice(["trio", "thread"]),
    help="Where sockets are served: on trio's thread, or in one of their own.  [trio]",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    callback=read_limits,
    metavar="NAME=N",
    help="Set a limit; `kcoro config show` lists them.",
)
@click.option(
    "--log-level",
    cls=Brief,
    line=("--log-level LEVEL", "debug, info, warning or error.  [info]"),
    type=click.Choice(LEVELS),
    help="[info]",
)
@click.option("--debug", is_flag=True, help="Log every control frame, as --log-level debug.")
@click.option("--quiet", is_flag=True, help="No ready line on stderr.")
@click.option("--until-eof", is_flag=True, help="End when standard input ends.")
def serve(
    listen: Sequence[str],
    config_path: str | None,
    limits: dict[str, int],
    debug: bool,
    quiet: bool,
    until_eof: bool,
    **given: Any,
) -> int:
    """Run the daemon that holds the channels.

    SIGTERM drains: nothing new is taken, receivers may empty the channels; if messages are left
    after --drain seconds the exit code is 1. SIGINT ends at once. SIGHUP reads the configuration
    again; of a terminal that closes it is as SIGTERM.
    """
    import trio

    from kcoro_ipc import daemon, logs, service
    from kcoro_ipc.acceptor import check_descriptor_limit, raise_descriptor_limit
    from kcoro_ipc.config_forms import ConfigError, UnreadableConfig
    from kcoro_ipc.reloading import Reloader

    given |= {"log_level": "debug"} if debug else {}
    options = {key: value for key, value in given.items() if value is not None}
    try:
        reloader = Reloader(config_path, options, limits)
    except ConfigError as error:
        for line in error.lines():
            print(f"kcoro serve: {''.join(map(shown, line))}", file=sys.stderr)
        return OUTSIDE if isinstance(error, UnreadableConfig) else USAGE
    config = reloader.config
    logs.start(config.log_level)
    faulthandler.enable(2)  # a watchdog's SIGABRT leaves in the log where it hung
    listeners = open_metrics(config.metrics, open_listeners(listen, config))
    descriptors = raise_descriptor_limit()
    in_terminal = has_terminal()
    gc.freeze()  # what is loaded now stays for ever: no collection needs to look at it

    def ready() -> None:
        if not until_eof:  # else whoever started us knows, and it may be for a moment
            check_descriptor_limit(config.limits, descriptors)
        say_ready(listeners.channels, quiet)

    async def reload(daemon: "Daemon") -> None:
        if in_terminal and not has_terminal():
            daemon.stop(drain=True)
        else:
            await reloader.reload(daemon)

    async def run() -> int:
        return await daemon.serve(
            listeners.channels,
            limits=config.limits,
            drain_s=config.drain,
            io_thread=config.io == "thread",
            prepare=reloader.prepare,
            reload=reload,
            ready=ready,
            stopping=service.stopping,
            beside=lambda running: run_beside(running, until_eof),
            metrics=listeners.metrics,
        )

    try:
        return trio.run(run)
    except KcoroError as error:
        raise OutsideError(f"the daemon cannot start: {error}") from error
    finally:
        for listener in (*listeners.channels, *listeners.metrics):
            listener.close()


def has_terminal() -> bool:
    """Whether a terminal controls us; a service has none, and a closed one is none any more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def open_listeners(listen: Sequence[str], config: "Config") -> "Listeners":
    """Sockets passed by a service manager, else those of --listen, of $KCORO_SOCKET, of the
    configuration, else the usual ones."""
    from kcoro_ipc import service, transport
    from kcoro_ipc.protocol.address import parse_address

    try:
        passed = service.passed_listeners()
        if passed.channels:
            return passed
        named = [] if os.environ.get("KCORO_SOCKET") else config.listen
        addresses = [parse_address(text) for text in listen or named]
        addresses = addresses or transport.default_addresses()
        opened = transport.listen_all(addresses, config.socket_mode, config.socket_group)
        return service.Listeners(opened, [])
    except transport.TransportError as error:
        raise OutsideError(str(error)) from error


def open_metrics(path: str | None, listeners: "Listeners") -> "Listeners":
    """Adds the metrics socket, if one is asked for; all are closed when it cannot be had."""
    from kcoro_ipc import transport
    from kcoro_ipc.protocol.address import parse_address

    if path is None:
        return listeners
    if path == BESIDE:
        path = os.path.join(os.path.dirname(listeners.channels[0].address.path), "metrics.sock")
    try:
        scraped = transport.listen(parse_address(f"stream:{path}"), METRICS_MODE)
    except (transport.TransportError, KcoroError) as error:
        for listener in (*listeners.channels, *listeners.metrics):
            listener.close()
        raise OutsideError(str(error)) from error
    return listeners._replace(metrics=[*listeners.metrics, scraped])


def say_ready(listeners: "Sequence[Listener]", quiet: bool) -> None:
    from kcoro_ipc import service

    if not quiet:
        where = " ".join(f"{one.address.transport}:{one.address.path}" for one in listeners)
        print(f"kcoro: ready on {where}", file=sys.stderr, flush=True)
    service.ready()


async def run_beside(daemon: "Daemon", until_eof: bool) -> None:
    """What goes on beside the daemon, if anything does."""
    import trio

    from kcoro_ipc import service
    from kcoro_ipc.watchdog import Pulse

    async with trio.open_nursery() as nursery:
        if until_eof:
            nursery.start_soon(stop_at_eof, daemon)
        if service.is_managed():
            nursery.start_soon(Pulse(daemon, service.watchdog_ns()).run)


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
