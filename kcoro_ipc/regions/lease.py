"""A lease: a message that is being read where it lies.

Its memory is not used for anything else until it is released; then the view and its slices are
gone, and arrays of it must be gone before.
"""

from collections.abc import Sequence
from types import TracebackType
from warnings import warn

from kcoro_ipc.errors import ClosedResourceError
from kcoro_ipc.regions.releases import Held, Releases
from kcoro_ipc.regions.views import is_released, seen_by_others

IN_USE = "slices or arrays of this lease are still there; delete or copy them first"


class Lease:
    """Made by `receive_lease` and by receives with `lease=True`; release it, or use `with`.

    `data` is a read-only memoryview, also what `with` gives.
    """

    held: Held | None = None  # given by who makes it, in a step that no signal handler interrupts

    def __init__(self, releases: Releases, nbytes: int, is_shared: bool) -> None:
        self.releases = releases
        self._nbytes = nbytes
        self._is_shared = is_shared

    def __repr__(self) -> str:
        return f"<{'released' if self.released else 'open'} Lease of {self._nbytes} bytes>"

    def __len__(self) -> int:
        return self._nbytes

    @property
    def released(self) -> bool:
        return self.held is None

    @property
    def is_shared(self) -> bool:
        """Whether it lies in the sender's memory; a message that came as bytes does not."""
        return self._is_shared

    @property
    def data(self) -> memoryview:
        return self.still_held().view

    def still_held(self) -> Held:
        if self.held is None:
            raise ClosedResourceError("this lease was released; its memory is the sender's again")
        return self.held

    def release(self) -> None:
        """Idempotent. BufferError while slices or arrays of it are there: they would see what is
        written next."""
        held = self.held
        if held is None:
            return
        if not is_released(held.view):
            raise BufferError(IN_USE)
        self.releases.owe(held)  # before it is forgotten: an interrupt in between loses nothing
        self.held = None
        self.releases.tell_owed()

    def check_unused(self) -> None:
        if self.held is not None and seen_by_others([self.held.view]):
            raise BufferError(IN_USE)

    def drop(self) -> None:
        """Ends as soon as nobody looks at its memory any more."""
        if self.held is not None:
            self.releases.dropped.append(self.held)
            self.held = None

    def disown(self) -> None:
        """It was never made: the range is still that of its message."""
        if self.held is not None:
            self.releases.open.pop(self.held, None)
            self.held = None

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
            self.drop()

    def __del__(self) -> None:
        if self.held is not None:
            warn(f"{self!r} was dropped; release it", ResourceWarning, stacklevel=2, source=self)
            self.drop()


def release_all(leases: Sequence[Lease]) -> None:
    """Several, with one frame for each connection that they came by; BufferError, and none of
    them, if one is still in use."""
    for lease in leases:
        lease.check_unused()
    for lease in leases:
        lease.drop()
    for releases in dict.fromkeys(lease.releases for lease in leases):
        releases.end_dropped()
