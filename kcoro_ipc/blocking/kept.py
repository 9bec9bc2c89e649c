"""Messages of a blocking channel that have arrived and that nobody has been given yet.

A receive that was interrupted leaves here what came all the same. Each method is either done or has
changed nothing when a signal handler raises: a message leaves in the last step, and between a range
that was copied and its RELEASE there is no call.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

from kcoro_ipc.codecs import Codec, DecodeError, decode_many
from kcoro_ipc.errors import ProtocolError
from kcoro_ipc.files import Message, Sender, take
from kcoro_ipc.protocol.deliveries import Body, WithFiles
from kcoro_ipc.regions import Lease
from kcoro_ipc.regions.mappings import Mappings


class Kept:
    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._bodies: deque[Body] = deque()
        self._mappings: Mappings | None = None

    def __bool__(self) -> bool:
        return bool(self._bodies)

    def keep(self, mappings: Mappings, bodies: Iterable[Body]) -> None:
        """`mappings` are those of the connection that they came by, and of all that is here."""
        self._mappings = mappings
        self._bodies.extend(bodies)

    def decoded(self, max_items: int) -> list[Any]:
        bodies, rest, mappings = self._first(max_items)
        try:
            elements = mappings.copies(bodies)
            kept: deque[Body] = deque([*elements, *rest])
            owed = [*mappings.releases.owed, *mappings.ids_of(bodies)]
            # No call between the two: either ranges are kept, or copies are and the ranges owed.
            self._bodies = kept
            mappings.releases.owed = owed
            mappings.releases.tell_owed()
            mappings.close_files(bodies)
            values = decode_many(self._codec, elements)
        except (DecodeError, ProtocolError):
            self._bodies = rest
            raise
        self._bodies = rest
        return values

    def leases(self, max_items: int) -> list[Lease]:
        bodies, rest, mappings = self._first(max_items)
        leases: list[Lease] = []
        try:
            leases.extend(map(mappings.lease, bodies))
        except BaseException:
            for lease in leases:
                lease.disown()
            raise
        self._bodies = rest
        return leases

    def message(self, sender: Sender | None = None) -> Message:
        """The first, with its files, signed by `sender`."""
        body = self._bodies[0]
        files = take(body.files) if isinstance(body, WithFiles) else []
        return Message.signed(self.decoded(1)[0], files, sender)

    def _first(self, max_items: int) -> tuple[list[Body], deque[Body], Mappings]:
        """Up to so many, the others, and where they lie; all of them are still here."""
        assert self._mappings is not None
        bodies = list(self._bodies)
        return bodies[:max_items], deque(bodies[max_items:]), self._mappings

    def discard(self) -> None:
        if self._mappings is not None:
            self._mappings.discard(list(self._bodies))
