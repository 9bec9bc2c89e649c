"""What one value goes out as: bytes, a range of our shared memory, or bytes with open files.

A parcel is settled exactly once: `accepted`, `refused` (nothing happened) or `doubtful` (the
connection broke, or the daemon could not say). From the beginning its range counts as sent, so
whatever is interrupted, it is never used twice.
"""

from collections.abc import Sequence

from kcoro_ipc import _wire
from kcoro_ipc.errors import KC_ECANCELED, KC_EINPROGRESS, KcoroError
from kcoro_ipc.files import Loose
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.descriptors import Range
from kcoro_ipc.protocol.handles import Handle
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.regions.loan import Loan
from kcoro_ipc.regions.pool import Block, Pool, Region

NO_FILES = Loose()  # never filled
# What a clause of a select says with flags of its own, by the flags of a send.
_OF_A_CLAUSE = {
    0: 0,
    _wire.FLAG_SEND_FALLBACK_SMALL: _wire.FLAG_CLAUSE_FALLBACK_SMALL,
    _wire.FLAG_SEND_FALLBACK_CAPACITY: _wire.FLAG_CLAUSE_FALLBACK_CAPACITY,
}


class Parcel:
    """Plain bytes, perhaps with files."""

    region: Region | None = None
    ttl_ms = 0  # how long the message may wait; 0: as the channel says

    def __init__(self, element: bytes, flags: int = 0, files: Loose | None = None) -> None:
        self.element = element
        self.flags = flags
        self.files = NO_FILES if files is None else files

    def __len__(self) -> int:
        return len(self.element)

    def frame(self, req_id: int, chan_id: int, timeout_ms: int, flags: int) -> bytes:
        flags |= self.flags
        if not self.files:
            return requests.send(req_id, chan_id, timeout_ms, self.element, flags, self.ttl_ms)
        count = len(self.files)
        return requests.send_files(
            req_id, chan_id, timeout_ms, self.element, count, flags, self.ttl_ms
        )

    def clause(self, chan_id: int) -> requests.Clause:
        flags = _OF_A_CLAUSE[self.flags]
        return requests.Clause(chan_id, self.element, flags, file_count=len(self.files))

    def may_be_bytes(self, handle: Handle) -> bool:
        """Whether `as_bytes` may be called instead of sending it."""
        return False

    def as_bytes(self) -> "Parcel":
        return self

    def accepted(self) -> None:
        pass

    def refused(self) -> None:
        pass

    def doubtful(self) -> None:
        self.accepted()


class SmallLoan(Parcel):
    """A loan that is cheaper sent as bytes: its block is free when it was accepted."""

    def __init__(self, pool: Pool, loan: Loan, part: memoryview, flags: int) -> None:
        super().__init__(bytes(part), flags)
        self._pool = pool
        self._loan = loan

    def accepted(self) -> None:
        self._pool.give(self._loan.handed_over())

    def refused(self) -> None:
        self._loan.kept()


class Copied(Parcel):
    """Bytes that were copied into a block of the pool, which nobody else sees."""

    def __init__(self, pool: Pool, block: Block, offset: int, length: int) -> None:
        self.element = b""
        self.flags = 0
        self.files = NO_FILES
        self.region: Region = block.region
        self._pool = pool
        self._block = block
        self._offset = offset
        self._length = length
        block.region.sent[offset] = block

    def __len__(self) -> int:
        return self._length

    @property
    def sent_range(self) -> Range:
        return self.region.region_id, self._offset, self._length

    def frame(self, req_id: int, chan_id: int, timeout_ms: int, flags: int) -> bytes:
        ranges = [self.sent_range]
        flags |= self.flags
        return requests.send_ranges(req_id, chan_id, timeout_ms, ranges, flags, self.ttl_ms)

    def clause(self, chan_id: int) -> requests.Clause:
        return requests.Clause(chan_id, None, 0, self.sent_range)

    def refused(self) -> None:
        if self._pool.take_back(self._block, self._offset):
            self._pool.give(self._block)

    def doubtful(self) -> None:
        self._pool.lose(self._block, self._offset)

    def may_be_bytes(self, handle: Handle) -> bool:
        return self._length <= handle.longest_element

    def as_bytes(self) -> Parcel:
        """The same message without shared memory; this parcel is refused with it."""
        start = self._block.start
        element = self._block.region.memory[start : start + self._length]
        self.refused()
        plain = Parcel(element, _wire.FLAG_SEND_FALLBACK_CAPACITY)
        plain.ttl_ms = self.ttl_ms
        return plain


class Lent(Copied):
    """A loan, or a part of one."""

    def __init__(self, pool: Pool, loan: Loan, offset: int, length: int) -> None:
        super().__init__(pool, loan.block, offset, length)
        self.loan = loan

    def may_be_bytes(self, handle: Handle) -> bool:
        return False

    def accepted(self) -> None:
        self.loan.handed_over()

    def refused(self) -> None:
        if self._pool.take_back(self._block, self._offset):
            self.loan.kept()
        else:
            self.loan.handed_over()

    def doubtful(self) -> None:
        self.loan.handed_over()
        super().doubtful()


def batch_frame(req_id: int, chan_id: int, timeout_ms: int, parcels: Sequence[Parcel]) -> bytes:
    """One frame for parcels that are all ranges, or for a single parcel of any kind."""
    if len(parcels) == 1:
        return parcels[0].frame(req_id, chan_id, timeout_ms, 0)
    ranges = [parcel.sent_range for parcel in parcels if isinstance(parcel, Copied)]
    return requests.send_ranges(req_id, chan_id, timeout_ms, ranges, 0, parcels[0].ttl_ms)


def settle(parcels: Sequence[Parcel], reply: Reply, confirm: bool = False) -> None:
    """By the answer of the daemon."""
    fate = reply.get(_wire.ATTR_FLAGS, None) if confirm else None
    if confirm and reply.result == KC_ECANCELED and fate is None:
        # So is answered what was never accepted, and what was and then lost before it was done:
        # this daemon does not say which.
        for parcel in parcels:
            parcel.doubtful()
        return
    taken = reply.get(_wire.ATTR_COUNT, len(parcels))
    if reply.result and reply.result != KC_EINPROGRESS and not (fate or 0) & _wire.FLAG_SENT_TAKEN:
        taken = 0
    for parcel in parcels[:taken]:
        parcel.accepted()
    for parcel in parcels[taken:]:
        parcel.refused()


def settle_without(parcels: Sequence[Parcel], error: BaseException, lost: bool = False) -> None:
    """There is no answer, but an error. `lost`: the connection ended while an interrupted request
    was cancelled, which the error itself, somebody else's, does not know."""
    doubtful = error.in_doubt if isinstance(error, KcoroError) else lost
    for parcel in parcels:
        if doubtful:
            parcel.doubtful()
        else:
            parcel.refused()
