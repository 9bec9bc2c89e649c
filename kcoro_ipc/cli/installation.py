"""Where this very kcoro is, in the words of a unit file, and whether a service can run it there.

A system service runs as another user and sees neither homes nor our /tmp. An installation in
somebody's home is bound, read-only, into the empty homes that the service sees; one in /tmp, or in
a directory that is closed to others, is refused.
"""

import os
import re
import site
import stat
import sys
from pathlib import Path

from kcoro_ipc.cli.exits import OutsideError

HOMES = ("/home", "/root", "/run/user")  # what ProtectHome= hides
GONE = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # hidden by PrivateTmp=, or emptied by a reboot
ADVICE = "install kcoro elsewhere, for example with `pipx install --global`, or use --user"
NO_HOMES = "ProtectHome=yes"
PACKAGE = Path(__file__).resolve().parents[1]


def values(user: bool, given: str | None) -> dict[str, str]:
    """What the units' placeholders stand for. `given`: another kcoro than this one, not checked."""
    if given:
        return {"kcoro": quoted(given), "home": NO_HOMES}
    if user:
        return {"kcoro": command(), "home": NO_HOMES}
    needed = trees()
    check(needed)
    return {"kcoro": command(), "home": home_lines(needed)}


def command() -> str:
    """What ExecStart= runs: the program beside this interpreter, else the interpreter itself."""
    program = Path(sys.executable).with_name("kcoro")
    if program.is_file() and os.access(program, os.X_OK):
        return quoted(str(program))
    return f"{quoted(sys.executable)} -m kcoro_ipc"


def quoted(path: str) -> str:
    """A path as one word of a unit's line."""
    if not path.startswith("/"):
        raise OutsideError(f"{path} is no absolute path; a unit needs one")
    if not path.isprintable() or re.search(r"[\"'\\$]", path):
        raise OutsideError(f"{path!r} has signs that a unit's line cannot hold; {ADVICE}")
    plain = path.replace("%", "%%")
    return f'"{plain}"' if " " in plain else plain


def trees() -> list[Path]:
    """The directories that running needs: programs, libraries, the package itself."""
    given = {Path(sys.prefix), Path(sys.base_prefix), PACKAGE}
    given |= {path.resolve() for path in given}
    return sorted(one for one in given if not any(one.is_relative_to(o) for o in given - {one}))


def home_lines(needed: list[Path]) -> str:
    """How the unit hides homes: all of them, or all but what is needed."""
    inside = [quoted(str(tree)) for tree in needed if _is_below(tree, HOMES)]
    if not inside:
        return NO_HOMES
    reason = "# This kcoro is installed in a home, so that much of it must be seen."
    return "\n".join([reason, "ProtectHome=tmpfs", *(f"BindReadOnlyPaths={one}" for one in inside)])


def check(needed: list[Path]) -> None:
    """OutsideError, with advice, when the system's service could not run what is there."""
    if PACKAGE.is_relative_to(site.getusersitepackages()):
        raise OutsideError(f"only your own Python finds the package in {PACKAGE}: {ADVICE}")
    for tree in needed:
        if _is_below(tree, HOMES):
            closed = None if is_open(tree) else tree  # what is above it is replaced
        elif _is_below(tree, GONE):
            raise OutsideError(f"a system service does not see {tree}: {ADVICE}")
        else:
            closed = next(
                (one for one in (*reversed(tree.parents), tree) if not is_open(one)), None
            )
        if closed is not None:
            mode = stat.S_IMODE(closed.stat().st_mode)
            raise OutsideError(
                f"the service's user cannot enter {closed} (mode {mode:04o}): "
                f"`chmod o+rx {closed}`, or {ADVICE}"
            )


def is_open(directory: Path) -> bool:
    """Whether others may enter it. Access lists are not looked at."""
    return bool(directory.stat().st_mode & stat.S_IXOTH)


def _is_below(path: Path, roots: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(root) for root in roots)
