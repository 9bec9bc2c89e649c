"""The shared memory of one connection: the pool it sends from, the regions it reads in."""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from kcoro_ipc import _wire, forks
from kcoro_ipc.errors import (
    ClosedResourceError,
    InvalidArgument,
    KcoroError,
    NotSupported,
    PoolExhausted,
)
from kcoro_ipc.files import HasFileno, Loose, duplicate
from kcoro_ipc.protocol.descriptors import read_numbers
from kcoro_ipc.protocol.greeting import Quota
from kcoro_ipc.protocol.handles import Handle
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.regions.filling import fill_from
from kcoro_ipc.regions.loan import Loan, Loans
from kcoro_ipc.regions.mappings import Mappings
from kcoro_ipc.regions.parcels import Copied, Lent, Parcel, SmallLoan
from kcoro_ipc.regions.pool import Block, Pool
from kcoro_ipc.regions.views import buffer_id

# docs/PERFORMANCE.md, "Bytes or a range": what a range costs beside the bytes falls from 1.2 to 0.7
# between 48 and 64 KiB, where elements no longer take the short way.
ZERO_COPY_FROM = 64 << 10
INLINE_BELOW = 64 << 10
POOL_BYTES = 1 << 30


class Settings(NamedTuple):
    """What `open_client` was asked for."""

    zero_copy_from: int | None = ZERO_COPY_FROM
    inline_below: int | None = INLINE_BELOW
    pool_bytes: int = POOL_BYTES
    fallback: bool = True


class Side:
    """`tell` sends a frame that is not answered, `hear` reads what has arrived. `loans` are
    also those of connections that the client had before."""

    def __init__(
        self,
        settings: Settings,
        caps: int,
        tell: Callable[[bytes], None],
        hear: Callable[[], None],
        quota: Quota | None = None,
        loans: Loans | None = None,
    ) -> None:
        self.settings = settings
        self.caps = caps
        self.pool = Pool(settings.pool_bytes, self._hear, quota)
        self.mappings = Mappings(tell)
        self.releases = self.mappings.releases
        self._hear_all = hear
        self.inline_below = settings.inline_below or 0
        self.takes_regions = bool(caps & _wire.CAP_DESCRIPTORS)
        self.takes_files = bool(caps & _wire.CAP_FILES)
        self._falls_back = settings.fallback
        self._copy_from = settings.zero_copy_from if self.takes_regions else None
        self._loans: Loans = {} if loans is None else loans
        self._closed = False
        self._generation = forks.generation

    def successor(self) -> "Side":
        """What lends until there is a connection again, whose side then succeeds it."""
        quota, loans = self.pool.quota, self._loans
        return Side(self.settings, self.caps, lambda frame: None, lambda: None, quota, loans)

    def succeed(self, before: "Side") -> None:
        """Goes on with the pool of `before`, of which no daemon knows yet."""
        before.pool.hear, before.pool.quota = self.pool.hear, self.pool.quota
        self.pool = before.pool

    # --- what the daemon says ---

    def notice(self, reply: Reply) -> None:
        if reply.cmd == _wire.CMD_REGION_MAP:
            self.mappings.add(reply)
        elif reply.cmd == _wire.CMD_REGION_FREED:
            for region_id, offset, _, _ in map(read_numbers, reply.get(_wire.ATTR_DESC, ())):
                self.pool.freed(region_id, offset)
        else:
            region_id = reply.get(_wire.ATTR_REGION_ID)
            self.mappings.remove(region_id)
            self.pool.gone(region_id)

    def _hear(self) -> None:
        """What was dropped here may be what another connection of this program waits for."""
        self.releases.end_dropped(again=True)
        self._hear_all()

    # --- loans ---

    def loan(self, nbytes: int) -> Loan:
        return Loan(self.pool, self._loans, nbytes, self._check)

    def loan_file(self, file: int | HasFileno) -> Loan:
        """A loan that holds the content of an open regular file."""
        number = file if isinstance(file, int) else file.fileno()
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidArgument("only the content of a regular file has a length; read this one")
        fill = fill_from(number, status.st_size)
        return Loan(self.pool, self._loans, status.st_size, self._check, fill)

    def _check(self) -> None:
        if self._generation != forks.generation:
            raise ClosedResourceError(
                "this client belongs to the parent process; open another one after fork()"
            )
        if self._closed:
            raise ClosedResourceError("this client is closed; open another one")
        if not self.takes_regions:
            raise NotSupported("this daemon takes no shared memory; upgrade it, or send bytes")

    def loan_of(self, value: Any) -> Loan | None:
        """The open loan that this is the view of, or a part of it."""
        if type(value) is not memoryview or not self._loans:
            return None
        return self._loans.get(buffer_id(value))

    # --- what goes out ---

    def longest_inline(self, handle: Handle) -> int:
        """Bytes that are sent without a second thought, as long as they are at most so many."""
        if self._copy_from is None:
            return handle.longest_element
        return min(handle.longest_element, self._copy_from - 1)

    def copies(self, handle: Handle, length: int) -> bool:
        """Whether bytes of this length go by shared memory."""
        return self._copy_from is not None and length > self.longest_inline(handle)

    def check(self, handle: Handle, length: int) -> None:
        """Whether bytes of this length may go through the handle, one way or the other."""
        if self.copies(handle, length):
            handle.check_range(length)
        else:
            handle.check_length(length)

    def parcel(self, handle: Handle, value: Any, files: Iterable[int | HasFileno] = ()) -> Parcel:
        """`value` is bytes, or the view of a loan."""
        own = duplicate(files)
        if own:
            return self._with_files(handle, value, own)
        loan = self.loan_of(value)
        if loan is not None:
            return self.lent(handle, loan, value, self.inline_below)
        return self.element(handle, value)

    def _with_files(self, handle: Handle, value: Any, files: Loose) -> Parcel:
        if not self.takes_files:
            raise NotSupported("this daemon takes no open files; upgrade it")
        element = bytes(value)
        handle.check_length(len(element))
        return Parcel(element, files=files)

    def lent(self, handle: Handle, loan: Loan, part: memoryview, inline_below: int = 0) -> Parcel:
        """The view of a loan, or a part of it; as bytes if it is shorter than `inline_below`."""
        nbytes = part.nbytes
        if loan.pool is not self.pool:
            raise ClosedResourceError(
                "this block is memory of a connection that was lost; take another loan"
            )
        if not part.c_contiguous or not nbytes:
            raise InvalidArgument("send the whole of a loan, or one unbroken part of it")
        small = nbytes < inline_below
        check = handle.check_length if small else handle.check_range
        check(nbytes)
        offset = loan.begin(part)
        if small:
            return SmallLoan(self.pool, loan, part, _wire.FLAG_SEND_FALLBACK_SMALL)
        return Lent(self.pool, loan, offset, nbytes)

    def element(self, handle: Handle, element: bytes) -> Parcel:
        length = len(element)
        self.check(handle, length)
        if not self.copies(handle, length):
            return Parcel(element)
        block = self.room(length)
        if block is None:
            return self.fallback(handle, element)
        block.region.memory[block.start : block.start + length] = element
        return Copied(self.pool, block, block.start, length)

    def room(self, length: int) -> Block | None:
        """Where a copy of so many bytes goes; None: nowhere, so they go as bytes. PoolExhausted if
        that was turned off."""
        try:
            return self.pool.take(length)
        except PoolExhausted:
            if not self._falls_back:
                raise
            return None

    def goes_as_bytes(self, handle: Handle, parcels: Sequence[Parcel], why: KcoroError) -> None:
        """The daemon refused a region for these. Returns if they are copies that may go as bytes
        instead, else raises."""
        if not all(parcel.may_be_bytes(handle) for parcel in parcels):
            raise why
        if not self._falls_back:
            raise PoolExhausted(why.message, **why.details) from why

    def fallback(self, handle: Handle, element: bytes) -> Parcel:
        """Bytes that would have been copied, but there is no shared memory for them."""
        handle.check_length(len(element))
        return Parcel(element, _wire.FLAG_SEND_FALLBACK_CAPACITY)

    def close(self) -> None:
        """The connection has ended. Views of loans and leases stay what they are, and what has
        arrived can still be read until `mappings` are closed."""
        self._closed = True
        self.pool.close()
        self.releases.end_dropped(again=True)
