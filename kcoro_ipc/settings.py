"""Which settings a channel can have, whoever asks for it: a frame or the configuration."""

from kcoro_ipc import _wire
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.metrics import KINDS
from kcoro_ipc.records import Settings


def check_settings(settings: Settings) -> None:
    """InvalidArgument for what no channel can be, in the words of the wire."""
    kind, capacity = settings.kind, settings.capacity
    buffered = kind == _wire.KIND_BUFFERED
    if kind not in (0, 1, -1, -2):
        raise InvalidArgument(f"KIND {kind} cannot be made; choose 0, 1, -1 or -2")
    if buffered and not 1 <= capacity <= _wire.MAX_CAPACITY:
        raise InvalidArgument(f"CAPACITY is 1 to {_wire.MAX_CAPACITY}, not {capacity}")
    if capacity and not buffered:
        raise InvalidArgument(f"CAPACITY is for buffered channels, this one is {KINDS[kind]}")
    if settings.overflow and not buffered:
        raise InvalidArgument(f"OVERFLOW is for buffered channels, this one is {KINDS[kind]}")
    if not 1 <= settings.elem_size <= _wire.MAX_ELEMENT_BYTES:
        raise InvalidArgument(
            f"ELEM_SIZE is 1 to {_wire.MAX_ELEMENT_BYTES}, not {settings.elem_size}"
        )
    if kind == _wire.KIND_CONFLATED and settings.flags & _wire.FLAG_CHAN_ACK_REQUIRED:
        raise InvalidArgument("a conflated channel has no acknowledgements")
    if settings.undelivered == _wire.UNDELIVERED_DEAD_LETTER and settings.dead_letter is None:
        raise InvalidArgument("UNDELIVERED says dead letter; name one in DEAD_LETTER")
