"""What tests of `kcoro service` share: its call, and which files an installation is."""

from collections.abc import Callable
from pathlib import Path

Kcoro = Callable[..., tuple[int, list[str], str]]  # exit code, lines of stdout, stderr

SYSTEM = [
    "systemd/system/kcoro-metrics.socket",
    "systemd/system/kcoro-seq.socket",
    "systemd/system/kcoro.service",
    "systemd/system/kcoro.socket",
    "sysusers.d/kcoro.conf",
    "tmpfiles.d/kcoro.conf",
]
USER = [
    "systemd/user/kcoro-metrics.socket",
    "systemd/user/kcoro-seq.socket",
    "systemd/user/kcoro.service",
    "systemd/user/kcoro.socket",
]


def under(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
