"""The unit files of the service: from the templates in systemd/ to files in their places and back.

The templates are part of the package, so that every installation has them. What is placed begins
with a line that holds a checksum of the rest. By it alone an update or a removal knows whether
somebody has edited the file since; there is no list of what was placed where.

Nothing here starts or asks anything: that is cli/service.py's.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

TEMPLATES = Path(__file__).parent / "systemd"
SERVICE = "kcoro.service"
SOCKETS = ("kcoro.socket", "kcoro-seq.socket", "kcoro-metrics.socket")
_SEAL = '# Placed by "kcoro service install", which knows by this whether it was edited: {}\n'
_PLACEHOLDER = re.compile(r"@([a-z]+)@")


class Found(Enum):
    """What stands at a path."""

    NOTHING = "nothing"
    PLACED = "placed by us and unchanged"
    OTHER = "edited, or not placed by us"


def directory(user: bool, prefix: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Above systemd/, sysusers.d/, tmpfiles.d/: of the administrator, of this user, or of a package
    that is installed in `prefix`."""
    if prefix is not None:
        return Path(prefix, "lib")
    if not user:
        return Path("/etc")
    return Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/"), ".config"))


def files(base: Path, user: bool, values: Mapping[str, str], version: int) -> dict[Path, str]:
    """What an installation consists of: path -> text, for that version of systemd."""
    return {
        path: sealed(_filled(template.read_text(encoding="utf-8"), values))
        for template, path in _places(base, user)
        if not template.stem.isdecimal() or int(template.stem) <= version
    }


def paths(base: Path, user: bool) -> list[Path]:
    """Where any version may have placed a file."""
    return [path for _, path in _places(base, user)]


def _places(base: Path, user: bool) -> Iterator[tuple[Path, Path]]:
    """(template, path). A drop-in's name is the first version of systemd that it is for."""
    for template in sorted(TEMPLATES.rglob("*.*")):
        name = template.relative_to(TEMPLATES)
        if template.is_file() and (name.parts[0] == "user") == user:
            is_unit = name.parts[0] in ("system", "user")
            yield template, base / "systemd" / name if is_unit else base / name


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def sealed(text: str) -> str:
    return _SEAL.format(_checksum(text)) + text


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def found(path: Path) -> Found:
    """A symbolic link is never ours, wherever it leads."""
    if not path.exists() and not path.is_symlink():
        return Found.NOTHING
    if path.is_symlink() or not path.is_file():
        return Found.OTHER
    head, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    return Found.PLACED if head + "\n" == _SEAL.format(_checksum(rest)) else Found.OTHER


def place(path: Path, text: str) -> bool:
    """Whole or not at all, for everybody to read; False: it stood there already."""
    if found(path) is not Found.NOTHING and path.read_text(errors="replace") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.chmod(0o644)
    beside.replace(path)
    return True


def remove(path: Path) -> None:
    """With its directory, if that is a drop-in's and empty now."""
    path.unlink()
    if path.parent.name.endswith(".service.d") and not any(path.parent.iterdir()):
        path.parent.rmdir()
