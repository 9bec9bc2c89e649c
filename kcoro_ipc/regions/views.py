"""Who looks at a piece of memory: views, slices and arrays of it.

CPython's memoryviews of one origin share one buffer object, slices, casts and NumPy arrays
included, and each holds a reference to it. That is the only place where they can be found without
being released: `memoryview.release` ends one view and says nothing of the others.
"""

import gc
import sys
from collections.abc import Sequence


def _references(view: memoryview) -> int:
    (buffer,) = gc.get_referents(view)
    return sys.getrefcount(buffer)


# What the function itself holds: its name and the argument, or, from Python 3.14 on, the argument
# alone (https://docs.python.org/3.14/whatsnew/3.14.html, borrowed references). So it is measured.
OWN_REFERENCES = _references(memoryview(b"")) - 1


def seen_by_others(known: Sequence[memoryview]) -> bool:
    """Whether the memory of these views is seen through any other that is not released.

    Counting is cheap and enough as a rule; who keeps released views around has all objects of the
    program searched for those that are not.
    """
    if _references(known[0]) - OWN_REFERENCES <= len(known):
        return False
    (buffer,) = gc.get_referents(known[0])
    return any(
        isinstance(found, memoryview) and not any(found is one for one in known) and _lives(found)
        for found in gc.get_referrers(buffer)
    )


def is_released(view: memoryview) -> bool:
    """Releases it, unless its memory is seen in any other way."""
    if seen_by_others([view]):
        return False
    try:
        view.release()
    except BufferError:
        return False
    return True


def _lives(view: memoryview) -> bool:
    try:
        return view.nbytes >= 0
    except ValueError:
        return False


def buffer_id(view: memoryview) -> int:
    """The same number for all slices of one view, as long as one of them is there."""
    (buffer,) = gc.get_referents(view)
    return id(buffer)


def address_of(view: memoryview) -> int:
    """Where writable memory begins. ctypes is loaded only for who sends a part of a loan."""
    from ctypes import addressof, c_char

    return addressof(c_char.from_buffer(view))
