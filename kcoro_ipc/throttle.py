"""Lines of the log that one user causes: so many in a while, then one line that counts the rest.

Not the log (logs.py), and no bound on what happens, only on what is said of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kcoro_ipc.logs import log, say

LINES_PER_WINDOW = 200  # of one user and level
WINDOW_NS = 10_000_000_000


@dataclass(slots=True)
class _Window:
    ends_ns: int
    lines: int = 0


class Throttle:
    """Lines that one user causes: so many in a window, then one line that counts those left out.

    Levels are counted apart, so that a flood of channels made hides no refusal.
    """

    def __init__(self, clock: Callable[[], int], most: int = LINES_PER_WINDOW) -> None:
        self._clock = clock
        self._most = most
        self._left_out = 0
        self.left_out_total = 0
        self._windows: dict[tuple[int, int], _Window] = {}  # equally long, so oldest first

    def say(
        self,
        uid: int,
        level: int,
        event: str,
        trouble: BaseException | None = None,
        /,
        **fields: object,
    ) -> None:
        if not log.isEnabledFor(level):
            return
        self.due()
        window = self._windows.get((uid, level))
        if window is None:
            window = self._windows[uid, level] = _Window(self._clock() + WINDOW_NS)
        window.lines += 1
        if window.lines <= self._most:
            say(level, event, trouble, **fields)
        else:
            self._left_out += 1
            self.left_out_total += 1

    def next_ns(self) -> int | None:
        """When `due` may have a count to tell; None as long as nothing was left out."""
        return next(iter(self._windows.values())).ends_ns if self._left_out else None

    def due(self) -> None:
        """Tells what was left out in the windows that are over."""
        now_ns = self._clock()
        while self._windows and next(iter(self._windows.values())).ends_ns <= now_ns:
            self._end_first()

    def end(self) -> None:
        """Tells all of it now: there will be no later."""
        while self._windows:
            self._end_first()

    def _end_first(self) -> None:
        (uid, level), window = next(iter(self._windows.items()))
        del self._windows[uid, level]
        count = max(0, window.lines - self._most)
        self._left_out -= count
        if count:
            say(level, "log lines left out", uid=uid, count=count)
