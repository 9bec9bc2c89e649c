"""Python objects on their way through the engine, which knows only bytes.

An object that is sent stays here under a key; its eight bytes are the message. Whoever ends the
message takes the object out again: the receiver, the sender of a send that did not happen, or the
sweep of what the engine dropped (KC_CHAN_TELL_DROPPED).

Invariant: an object is here exactly as long as its message is the engine's.
"""

from typing import Any

KEY_BYTES = 8


class Objects:
    """One table for each channel."""

    def __init__(self) -> None:
        self._held: dict[int, Any] = {}
        self._last_key = 0

    def __len__(self) -> int:
        return len(self._held)

    def put(self, value: Any) -> int:
        self._last_key = key = self._last_key + 1
        self._held[key] = value
        return key

    def take(self, key: int) -> Any:
        return self._held.pop(key)

    def clear(self) -> None:
        """The engine is gone, and every message with it."""
        self._held.clear()
