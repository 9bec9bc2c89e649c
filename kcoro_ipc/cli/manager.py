"""systemctl as this program uses it: one question, a few commands, every failure a sentence."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence

from kcoro_ipc.cli.exits import OutsideError

Properties = dict[str, str]


def version() -> int | None:
    """Of the systemd that is installed here; None: there is none."""
    if shutil.which("systemctl") is None:
        return None
    found = re.match(r"systemd (\d+)", _run(["systemctl", "--version"]).stdout)
    return int(found[1]) if found else None


def show(user: bool, units: Sequence[str], names: Sequence[str]) -> list[Properties]:
    """The named properties of each unit, also of one that does not exist."""
    done = _run([*_systemctl(user), "show", f"--property={','.join(names)}", *units])
    if done.returncode != 0:
        raise OutsideError(_complaint("systemctl show", done.stderr))
    blocks = done.stdout.strip("\n").split("\n\n")
    return [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]


def follow(commands: Sequence[Sequence[str]], tell: Callable[[str], None]) -> None:
    """Runs one after the other, each told before; OutsideError at the first that fails."""
    for words in commands:
        tell(shlex.join(words))
        done = _run(words)
        if done.returncode != 0:
            raise OutsideError(_complaint(shlex.join(words), done.stderr))


def after_placing(user: bool, sockets: Sequence[str]) -> list[list[str]]:
    """What makes placed files take effect."""
    users = [] if user else [["systemd-sysusers", "kcoro.conf"]]
    places = [] if user else [["systemd-tmpfiles", "--create", "kcoro.conf"]]
    control = _systemctl(user)
    return [*users, *places, [*control, "daemon-reload"], [*control, "enable", "--now", *sockets]]


def before_removing(user: bool, units: Sequence[str]) -> list[list[str]]:
    return [[*_systemctl(user), "disable", "--now", *units]]


def after_removing(user: bool) -> list[list[str]]:
    return [[*_systemctl(user), "daemon-reload"]]


def _systemctl(user: bool) -> list[str]:
    return ["systemctl", "--user"] if user else ["systemctl"]


def _run(words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise OutsideError(
            f"{words[0]} is not here; install systemd, or run `kcoro serve` yourself"
        ) from error


def _complaint(what: str, stderr: str) -> str:
    said = "; ".join(line for line in stderr.splitlines() if line.strip())
    return f"{what} failed: {said or 'it does not say why'}; mend that and do it again"
