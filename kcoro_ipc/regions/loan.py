"""A loan: a range of our own shared memory while it is being written.

Who else looks is asked of memoryviews, slices and NumPy arrays included. An object that took the
buffer for itself (struct.iter_unpack, pickle.PickleBuffer) counts in its view alone, and CPython
tells nobody that count but `release`, which ends the view: it is found out after the send.

Invariant: the view is released when the message was accepted, or may have been, and not before:
after a send that did nothing the block is still the writer's, as it was.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from warnings import warn

from kcoro_ipc.errors import BusyResourceError, ClosedResourceError, InvalidArgument
from kcoro_ipc.regions.filling import Fill
from kcoro_ipc.regions.pool import Block, Pool
from kcoro_ipc.regions.views import address_of, buffer_id, seen_by_others

STILL_EXPORTED = (
    "this block was sent while something that is no memoryview held its buffer, through which it "
    "can still be written; end that before the send"
)

Loans = dict[int, "Loan"]  # by the buffer of their views


class Loan:
    """Made by `client.loan(nbytes)`; `with` gives a writable memoryview.

    Sending the view, or a slice of it, hands the block over: it can no longer be used here. A
    block that was not sent goes back to the pool at the end of the `with` block.
    """

    def __init__(
        self,
        pool: Pool,
        loans: Loans,
        nbytes: int,
        check: Callable[[], None],
        fill: Fill | None = None,
    ) -> None:
        if nbytes < 1:
            raise InvalidArgument(f"a loan has 1 byte or more, not {nbytes}")
        self.pool = pool
        self._loans = loans
        self._nbytes = nbytes
        self._check = check
        self._fill = fill
        self._block: Block | None = None
        self._key = 0
        self._busy = False
        self._left = False

    def __repr__(self) -> str:
        return f"<Loan of {self._nbytes} bytes: {'open' if self._block else 'not open'}>"

    def __enter__(self) -> memoryview:
        if self._block is not None or self._left:
            raise ClosedResourceError("this loan was used before; ask the client for another")
        self._check()
        block = self._block = self._take()
        view = block.view(self._nbytes)
        self._key = buffer_id(view)
        self._loans[self._key] = self
        return view

    def _take(self) -> Block:
        if self._fill is None:
            return self.pool.take(self._nbytes)
        return self.pool.take_filled(self._nbytes, self._fill)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the block back unless it was sent; while a send of it is under way, after that."""
        self._left = True
        if self._block is not None and not self._busy:
            self.pool.give(self._end())

    def drop(self) -> None:
        """As `close`, for a finalizer: in any thread, and the pool is left alone until it is asked
        for the next loan."""
        self._left = True
        if self._block is not None and not self._busy:
            self.pool.give_later(self._end())

    @property
    def is_open(self) -> bool:
        return self._block is not None

    @property
    def view(self) -> memoryview:
        """What the `with` block was given."""
        if self._block is None:
            raise ClosedResourceError("this loan is not open; its memory is not yours")
        return self._block.views[0]

    @property
    def block(self) -> Block:
        """The range in its region, for as long as the loan is open."""
        assert self._block is not None
        return self._block

    def begin(self, part: memoryview, also: Sequence[memoryview] = ()) -> int:
        """A send of `part` begins: where it stands in the region. BufferError while other views of
        the block are there; the caller answers for `also`."""
        whole = self.view
        if self._busy:
            raise BusyResourceError("this block is being sent already")
        known = [whole] if part is whole else [whole, part]
        if seen_by_others([*known, *also]):
            raise BufferError(
                "slices or arrays of this block are still there, through which it could be "
                "written after it was sent; delete or release them first"
            )
        offset = self.block.start
        if part is not whole:
            offset += address_of(part) - address_of(whole)
            self.block.views = known
        self._busy = True
        return offset

    def handed_over(self) -> Block:
        """The send happened, or it is not known: nobody may write here any more."""
        self._busy = False
        block = self._end()
        if not block.release_views():  # that keeps the range from reuse
            warn(STILL_EXPORTED, RuntimeWarning, stacklevel=2)
        return block

    def kept(self) -> None:
        """The send did nothing."""
        self._busy = False
        del self.block.views[1:]
        if self._left:
            self.close()

    def _end(self) -> Block:
        block = self.block
        self._block = None
        self._loans.pop(self._key, None)
        return block
