"""From the values that a program sends to parcels: which way each goes out, for both clients.

The daily case, short bytes, does not come here: channels send those themselves.
"""

from collections.abc import Generator, Iterable, Sequence
from typing import Any, NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.codecs import Bytes, Codec
from kcoro_ipc.errors import InvalidArgument, KcoroError
from kcoro_ipc.files import HasFileno, Loose, duplicate
from kcoro_ipc.protocol import batches, requests
from kcoro_ipc.protocol.handles import Handle
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.regions import Loan, Parcel, Side
from kcoro_ipc.regions.parcels import Copied, settle_without

# A batch of copies goes out in frames of about so much, so that the first ranges come back early.
COPIES_TARGET_BYTES = 16 << 20


class Run(NamedTuple):
    """What goes out in one frame: short bytes, or parcels; one of the two is empty."""

    elements: Sequence[bytes] = ()
    parcels: Sequence[Parcel] = ()

    @property
    def length(self) -> int:
        return len(self.elements) + len(self.parcels)


class OfLoan(NamedTuple):
    """The view of a loan, or a part of it, in a batch: which loan that is, is looked up once."""

    loan: Loan
    part: memoryview


def is_array(value: Any) -> bool:
    """A NumPy array, without importing NumPy for everybody who sends none."""
    return type(value).__module__ == "numpy" and hasattr(value, "__array_interface__")


def encode(side: Side, codec: Codec, value: Any) -> Any:
    """Bytes, or what goes out as it is: the view of a loan, an array."""
    lent = side.loan_of(value) is not None
    if not (lent or is_array(value)):
        return codec.encode(value)
    if not isinstance(codec, Bytes):
        raise InvalidArgument("loans and arrays go through channels of bytes, without a codec")
    return value


def parcel_of(
    side: Side, handle: Handle, encoded: Any, files: Iterable[int | HasFileno] = ()
) -> Parcel:
    """For a send of its own; `encoded` is what `encode` gave."""
    if is_array(encoded):
        from kcoro_ipc import arrays

        return arrays.parcel(side, handle, encoded, files)
    return side.parcel(handle, encoded, files)


class Sends:
    """The sending clauses of a select as parcels, of which at most one will be accepted."""

    def __init__(self, side: Side, clauses: Sequence[Clause]) -> None:
        self.side = side
        self.clauses = clauses
        self.parcels: dict[int, Parcel] = {}  # by the place of their clause
        made: dict[int, Parcel] = {}
        try:
            for place, clause in enumerate(clauses):
                if clause.encoded is not None:
                    self.parcels[place] = self._parcel(side, clause, made)
        except BaseException:
            self.settle(None)
            raise

    def _parcel(self, side: Side, clause: Clause, made: dict[int, Parcel]) -> Parcel:
        """A loan that stands in several clauses is one parcel."""
        if type(clause.encoded) is not memoryview:
            return parcel_of(side, clause.handle, clause.encoded, clause.files)
        key = id(clause.encoded)
        if key not in made:
            made[key] = parcel_of(side, clause.handle, clause.encoded)
        return made[key]

    def go_as_bytes(self, why: KcoroError) -> None:
        """The daemon refused a region: what lies in none that it knows goes as bytes, if all of
        that may; else `why` is raised."""
        unknown = {
            place: parcel
            for place, parcel in self.parcels.items()
            if parcel.region is not None and not parcel.region.region_id
        }
        for place, parcel in unknown.items():
            self.side.goes_as_bytes(self.clauses[place].handle, [parcel], why)
        for place, parcel in unknown.items():
            self.parcels[place] = parcel.as_bytes()

    def arms(self) -> list[requests.Clause]:
        return [
            self.parcels[place].clause(clause.handle.chan_id)
            if place in self.parcels
            else clause.wire()
            for place, clause in enumerate(self.clauses)
        ]

    def files(self) -> Loose:
        """Those of all clauses, in order, for one frame."""
        return duplicate(
            (number for parcel in self.parcels.values() for number in parcel.files),
            most=_wire.MAX_FILES,
        )

    def settle(self, winner: int | None) -> None:
        won = self.parcels.get(winner) if winner is not None else None
        if won is not None:
            won.accepted()
        for parcel in dict.fromkeys(self.parcels.values()):
            if parcel is not won:
                parcel.refused()

    def settle_without(self, error: BaseException, lost: bool = False) -> None:
        settle_without(list(dict.fromkeys(self.parcels.values())), error, lost)


def runs(
    side: Side, handle: Handle, codec: Codec, values: Iterable[Any], longest_inline: int
) -> Generator[Run, None, None]:
    """A batch cut into frames of one kind each, in order. Ranges are taken only when their frame
    is due; whoever stops early closes the iterator."""
    plainly = isinstance(codec, Bytes)
    encoded = [
        value if plainly and type(value) is bytes else _encoded(side, codec, value)
        for value in values
    ]
    lengths = [len(value) for value in encoded if type(value) is bytes]
    side.check(handle, max(lengths, default=0))  # before anything is sent
    plain: list[bytes] = []
    parcels: list[Parcel] = []
    copied_bytes = 0
    try:
        for value in encoded:
            if not parcels:
                copied_bytes = 0
            if type(value) is bytes and len(value) <= longest_inline:
                if parcels:
                    yield Run(parcels=_handed(parcels))
                plain.append(value)
                continue
            if plain:
                yield from _plain_runs(handle, plain)
                plain = []
            parcel = _batch_parcel(side, handle, value)
            has_room = len(parcels) < _wire.MAX_ITEMS and copied_bytes < COPIES_TARGET_BYTES
            if parcels and not (has_room and isinstance(parcel, Copied)):
                parcels.append(parcel)  # so that it is given back if this is where it ends
                yield Run(parcels=_handed(parcels, len(parcels) - 1))
                copied_bytes = 0
            else:
                parcels.append(parcel)
            if type(value) is not OfLoan:  # loans have their memory already
                copied_bytes += len(parcel)
            if not isinstance(parcel, Copied):
                yield Run(parcels=_handed(parcels))
        if plain:
            yield from _plain_runs(handle, plain)
        if parcels:
            yield Run(parcels=_handed(parcels))
    finally:
        for parcel in parcels:
            parcel.refused()


def _plain_runs(handle: Handle, plain: Sequence[bytes]) -> Iterable[Run]:
    return map(Run, batches.split(plain, handle.max_frame_bytes))


def _encoded(side: Side, codec: Codec, value: Any) -> Any:
    """As `encode`, for a batch."""
    loan = side.loan_of(value)
    if loan is not None and isinstance(codec, Bytes):
        return OfLoan(loan, value)
    return encode(side, codec, value)


def _batch_parcel(side: Side, handle: Handle, encoded: Any) -> Parcel:
    """There a small loan costs no frame of its own and stays a range."""
    if type(encoded) is OfLoan:
        return side.lent(handle, encoded.loan, encoded.part)
    if is_array(encoded):
        return parcel_of(side, handle, encoded)
    return side.element(handle, encoded)


def _handed(parcels: list[Parcel], count: int | None = None) -> list[Parcel]:
    """The first of them, from now on the caller's."""
    run = parcels[:count]
    del parcels[:count]
    return run
