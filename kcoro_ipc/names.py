"""What a channel may be called, whoever names it: a frame or the configuration."""

from kcoro_ipc import _wire
from kcoro_ipc.errors import InvalidArgument, NameTooLong


def check_name(name: bytes) -> str:
    """1..255 bytes of UTF-8 without control characters and '/'; InvalidArgument otherwise."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise InvalidArgument("a channel's name is UTF-8") from None
    if len(name) > _wire.MAX_NAME_BYTES:
        raise NameTooLong(f"a channel's name has at most 255 bytes, this one {len(name)}")
    if not name or "/" in text or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        raise InvalidArgument("a channel's name has 1 to 255 bytes, no '/', no control characters")
    return text
