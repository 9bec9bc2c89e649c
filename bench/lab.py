"""What one case under one pinning holds while its subjects are measured.

Servers start when the first subject asks for them and stay for all repetitions, idle while others
are measured. A load's length is counted in messages; `calibrated` finds, once per subject, the
count that fills the wanted time. Not here: what a load does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from bench import processes, servers
from bench.model import FailedError, Pin, Settings, SkippedError
from bench.servers import Server

T = TypeVar("T")
WORKERS_LIMIT_S = 20.0


class Lab:
    """Use as a context manager; servers end with it."""

    def __init__(self, directory: Path, pin: Pin, settings: Settings) -> None:
        self.directory = directory
        self.pin = pin
        self.settings = settings
        self._stack = ExitStack()
        self._servers: dict[str, Server | SkippedError | FailedError] = {}
        self._counts: dict[str, int] = {}
        self._kept: dict[str, Any] = {}
        self._names = 0

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def server(self, name: str) -> Server:
        """The running server of that name; a refusal is remembered and raised again."""
        known = self._servers.get(name)
        if known is None:
            known = self._servers[name] = self._start(name)
        if isinstance(known, Server):
            return known
        raise known

    def _start(self, name: str) -> Server | SkippedError | FailedError:
        try:
            return self._stack.enter_context(
                servers.running(name, self.directory, self.pin, self.settings)
            )
        except (SkippedError, FailedError) as refusal:
            return refusal

    def extra_server(self, kind: str, name: str) -> Server:
        """One more server of a kind, in its own directory, remembered under `name`."""
        if name not in self._servers:
            directory = self.directory / name.replace(" ", "-").replace(",", "")
            directory.mkdir()
            started = servers.running(kind, directory, self.pin, self.settings)
            self._servers[name] = self._stack.enter_context(started)
        return self.server(name)

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """A thing made once per case and pinning; closed with the lab if it has a close()."""
        if name not in self._kept:
            made = self._kept[name] = make()
            if hasattr(made, "close"):
                self._stack.callback(made.close)
        value: T = self._kept[name]
        return value

    def fresh(self, stem: str) -> str:
        """A channel name that nobody has used on these servers."""
        self._names += 1
        return f"{stem}{self._names}"

    def workers(self, workers: Sequence[processes.Worker]) -> list[Any]:
        return processes.run(workers, self.pin, WORKERS_LIMIT_S)

    def calibrated(self, key: str, granule: int, trial: Callable[[int], float]) -> int:
        """A multiple of `granule` for which trial(count) answers about settings.seconds."""
        if key not in self._counts:
            count, wanted = granule, self.settings.seconds
            took = trial(count)
            for _ in range(4):  # the first run pays for warming up: grow until one is long enough
                if took >= wanted / 4:
                    break
                growth = min(32.0, wanted / 2 / max(took, 1e-6))
                count = granule * max(1, round(count * growth / granule))
                took = trial(count)
            self._counts[key] = granule * max(1, round(count * wanted / took / granule))
        return self._counts[key]
