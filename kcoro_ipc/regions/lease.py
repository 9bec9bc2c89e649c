"""A lease: a message that is being read where it lies.

Its memory is not used for anything else until it is released; then the view and its slices are
gone, and arrays of it must be gone before.
"""

from collections import deque
from collections.abc import Callable
from types import TracebackType
from warnings import warn

from kcoro_ipc.errors import ClosedResourceError
from kcoro_ipc.regions.views import is_released, seen_by_others

Dropped = tuple[memoryview, int]
IN_USE = "slices or arrays of this lease are still there; delete or copy them first"


class Lease:
    """Made by `receive_lease` and by receives with `lease=True`; release it, or use `with`.

    `data` is a read-only memoryview, also what `with` gives.
    """

    def __init__(
        self,
        view: memoryview,
        lease_id: int,
        end: Callable[[int], None],
        dropped: deque[Dropped],
    ) -> None:
        self._view: memoryview | None = view
        self._nbytes = view.nbytes
        self._lease_id = lease_id
        self._end = end
        self._dropped = dropped

    def __repr__(self) -> str:
        return f"<{'released' if self.released else 'open'} Lease of {self._nbytes} bytes>"

    def __len__(self) -> int:
        return self._nbytes

    @property
    def released(self) -> bool:
        return self._view is None

    @property
    def is_shared(self) -> bool:
        """Whether it lies in the sender's memory; a message that came as bytes does not."""
        return self._lease_id != 0

    @property
    def data(self) -> memoryview:
        if self._view is None:
            raise ClosedResourceError("this lease was released; its memory is the sender's again")
        return self._view

    def release(self) -> None:
        """Idempotent. BufferError while slices or arrays of it are there: they would see what is
        written next."""
        if self._view is None:
            return
        if not is_released(self._view):
            raise BufferError(IN_USE)
        self._view = None
        self._end(self._lease_id)

    def check_unused(self) -> None:
        if self._view is not None and seen_by_others([self._view]):
            raise BufferError(IN_USE)

    def detach(self) -> tuple[memoryview, int]:
        """For who looks after the memory instead: see kcoro_ipc.arrays."""
        view = self.data
        self._view = None
        return view, self._lease_id

    def __enter__(self) -> memoryview:
        return self.data

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """While an exception passes it is released as soon as nobody looks: the traceback holds
        slices, and must not be hidden by the complaint about them."""
        try:
            self.release()
        except BufferError:
            if kind is None:
                raise
            self._dropped.append(self.detach())

    def __del__(self) -> None:
        view = getattr(self, "_view", None)
        if view is not None:
            warn(f"{self!r} was dropped; release it", ResourceWarning, stacklevel=2, source=self)
            self._dropped.append((view, self._lease_id))
