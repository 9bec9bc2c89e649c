"""What both clients lend and take back: loans, arrays in shared memory, leases."""

from abc import ABC, abstractmethod
from typing import Any, Protocol

from kcoro_ipc.files import HasFileno
from kcoro_ipc.regions import Lease, Loan, Side
from kcoro_ipc.regions.lease import release_all


class HasSide(Protocol):
    @property
    def side(self) -> Side: ...


class Lending(ABC):
    """A client that has a connection with shared memory."""

    @property
    @abstractmethod
    def _connection(self) -> HasSide: ...

    @property
    @abstractmethod
    def _lender(self) -> Side: ...

    def loan(self, nbytes: int) -> Loan:
        """Shared memory to write a message in: `with client.loan(n) as block: ...`, where `block`
        is a writable memoryview. Sending it, or a part of it, hands it over without a copy.
        PoolExhausted if what was sent before is still in use and the pool may not grow."""
        return self._lender.loan(nbytes)

    def loan_file(self, file: int | HasFileno) -> Loan:
        """As `loan`, of the length and with the content of an open regular file, which the kernel
        copies."""
        return self._lender.loan_file(file)

    def empty(self, shape: int | tuple[int, ...], dtype: Any = float, order: str = "C") -> Any:
        """A NumPy array in shared memory, to be filled and sent without a copy."""
        from kcoro_ipc import arrays

        return arrays.empty(self._lender, shape, dtype, order)

    def release(self, *leases: Lease) -> None:
        """Releases several leases with one frame, those of other clients with one of theirs;
        BufferError, and none, if one is in use."""
        release_all(leases)

    @property
    def leases_open(self) -> int:
        """How many leases of this client are not released."""
        return self._connection.side.releases.leases_open
