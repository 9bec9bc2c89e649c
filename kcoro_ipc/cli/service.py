"""`kcoro service`: the daemon as a service of the machine or of one user, under systemd.

install places unit files (units.py) that run this very kcoro (installation.py), uninstall removes
what install placed, status says what the manager knows. Only with --now anything is started or
stopped; else the commands that do it are shown.
"""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from kcoro_ipc import units
from kcoro_ipc.cli import installation, manager
from kcoro_ipc.cli.exits import OutsideError, outside
from kcoro_ipc.cli.invocation import Invocation, common
from kcoro_ipc.units import SERVICE, SOCKETS, Found

UNITS = (SERVICE, *SOCKETS)
SHOWN = ("LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "StatusText")
SHOWN_TOO = ("Result", "NRestarts", "Listen", "StateChangeTimestamp")
# As systemctl status: not running, and no such unit.
NOT_RUNNING, NOT_INSTALLED = 3, 4


@click.group(no_args_is_help=False)
@common
def service() -> None:
    """Run the daemon as a service of systemd."""


def where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say which files are meant."""
    options = [
        click.option("--user", is_flag=True, help="Yours alone, instead of the machine's."),
        click.option(
            "--root",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="Place the files below DIR instead of /, as packages do.",
        ),
        click.option(
            "--prefix",
            metavar="DIR",
            help="Place them in DIR/lib, as packages do (/usr).  [/etc; yours: ~/.config]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def base_of(user: bool, root: Path | None, prefix: str | None) -> Path:
    base = units.directory(user, prefix)
    return base if root is None else root / str(base).lstrip("/")


def check_now(now: bool, root: Path | None) -> None:
    if now and root is not None:
        raise click.UsageError("--now starts and stops on this machine; leave out --root")


@service.command(short_help="Place the unit files.")
@where
@click.option("--now", is_flag=True, help="Enable and start it as well.")
@click.option("--force", is_flag=True, help="Replace files that were edited.")
@click.option(
    "--command", "given", metavar="PATH", help="The kcoro that the service runs.  [this one]"
)
@click.option(
    "--systemd",
    "version",
    type=click.IntRange(min=1),
    metavar="N",
    help="For that version of systemd.  [the one here]",
)
@common
@click.pass_obj
def install(
    invocation: Invocation,
    user: bool,
    root: Path | None,
    prefix: str | None,
    now: bool,
    force: bool,
    given: str | None,
    version: int | None,
) -> None:
    """Place the unit files of the service: it starts at the first connection."""
    check_now(now, root)
    version = version or manager.version()
    if version is None:
        raise OutsideError("there is no systemd here; to prepare a package, say --systemd N")
    values = installation.values(user, given)
    _place(units.files(base_of(user, root, prefix), user, values, version), force)
    if values["home"] != installation.NO_HOMES:
        invocation.say("this kcoro is installed in a home: its owner decides what the service runs")
    if root is None:
        _go_on(manager.after_placing(user, SOCKETS), now)


def _place(wanted: dict[Path, str], force: bool) -> None:
    """All or, when one was edited, none."""
    edited = [path for path in wanted if units.found(path) is Found.OTHER]
    if edited and not force:
        raise OutsideError(
            f"nothing was placed: {_list(edited)} {Found.OTHER.value}; "
            "move your changes to `systemctl edit`, then --force replaces"
        )
    for path, text in wanted.items():
        try:
            word = "placed   " if units.place(path, text) else "unchanged"
        except OSError as error:
            raise _unwritable(path, error) from error
        click.echo(f"{word} {path}")


def _go_on(commands: list[list[str]], now: bool) -> None:
    """Runs or shows what is to be done next."""
    if now:
        manager.follow(commands, lambda line: click.echo(f"run       {line}"))
        return
    for words in commands:
        click.echo(f"next      {shlex.join(words)}")


@service.command(short_help="Remove what install has placed.")
@where
@click.option("--now", is_flag=True, help="Stop and disable it first.")
@click.option("--force", is_flag=True, help="Remove files that were edited, too.")
@common
def uninstall(user: bool, root: Path | None, prefix: str | None, now: bool, force: bool) -> None:
    """Remove the files that install has placed, and no others."""
    check_now(now, root)
    there = [path for path in units.paths(base_of(user, root, prefix), user) if _stands(path)]
    edited = [path for path in there if units.found(path) is Found.OTHER]
    if edited and not force:
        raise OutsideError(
            f"nothing was removed: {_list(edited)} {Found.OTHER.value}; --force removes them, too"
        )
    if root is None and there:
        _leave_the_manager(user, now, force)
    for path in there:
        try:
            units.remove(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        click.echo(f"removed   {path}")
    if not there:
        click.echo("nothing is placed there")
    elif root is None:
        _go_on(manager.after_removing(user), now)


def _stands(path: Path) -> bool:
    return units.found(path) is not Found.NOTHING


def _leave_the_manager(user: bool, now: bool, force: bool) -> None:
    """Files of units that run or are enabled are not taken away from under the manager."""
    if now:
        _go_on(manager.before_removing(user, UNITS), now)
        return
    try:
        states = manager.show(user, UNITS, ("ActiveState", "UnitFileState"))
    except OutsideError as error:
        if force:
            return
        raise OutsideError(f"{error}; nothing was removed, --force removes without it") from error
    used = [unit for unit, state in zip(UNITS, states, strict=True) if _is_used(state)]
    if used:
        raise OutsideError(f"nothing was removed: {_list(used)} in use; --now stops them first")


def _is_used(unit: dict[str, str]) -> bool:
    return unit["ActiveState"] not in ("inactive", "failed") or unit["UnitFileState"] == "enabled"


@service.command(short_help="Say whether it runs, what it does, where it listens.")
@click.option("--user", is_flag=True, help="Yours, instead of the machine's.")
@common
def status(user: bool) -> int:
    """Say whether the service runs, what it does, and where it listens.

    The exit code is that of systemctl status: 0 runs, 3 does not run, 4 is not installed.
    """
    main, *sockets = manager.show(user, UNITS, (*SHOWN, *SHOWN_TOO))
    if main["LoadState"] == "not-found":
        own = " --user" if user else ""
        click.echo(f"{SERVICE} is not installed; `kcoro service install{own}` does it")
        return NOT_INSTALLED
    click.echo(f"{SERVICE:22}{_state(main)}{_process(main)}")
    if main["StatusText"] and main["MainPID"] != "0":  # else it is what it said last
        click.echo(f"{'':22}{main['StatusText']}")
    for name, socket in zip(SOCKETS, sockets, strict=True):
        click.echo(f"{name:22}{_state(socket)} {socket.get('Listen', '')}".rstrip())
    return 0 if main["ActiveState"] in ("active", "reloading") else NOT_RUNNING


def _state(unit: dict[str, str]) -> str:
    loaded = unit["LoadState"]  # masked, bad-setting, not-found ... say more than the file's state
    file = unit["UnitFileState"] if loaded == "loaded" else loaded
    state = f"{unit['ActiveState']} ({unit['SubState']}), {file}"
    return state if unit.get("Result", "success") == "success" else f"{state}, {unit['Result']}"


def _process(main: dict[str, str]) -> str:
    pid = f", pid {main['MainPID']}" if main["MainPID"] != "0" else ""
    since = f", since {main['StateChangeTimestamp']}" if main["StateChangeTimestamp"] else ""
    restarts = "" if main["NRestarts"] == "0" else f", restarts {main['NRestarts']}"
    return pid + since + restarts


def _list(things: Sequence[object]) -> str:
    return f"{', '.join(map(str, things))} {'is' if len(things) == 1 else 'are'}"


def _unwritable(path: Path, error: OSError) -> OutsideError:
    step = "be root, or use --user" if isinstance(error, PermissionError) else None
    return outside(f"cannot write {path}", error, step)
