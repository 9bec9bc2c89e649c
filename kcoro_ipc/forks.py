"""Which life of this program we are in: a child of fork() must not touch its parent's connections.

What a connection or an engine remembers is `generation` at the time it was made; a different
number now means that a fork lies between, that the socket is shared with the parent and that
nothing may be sent, not even by a finalizer. Comparing two numbers costs less than getpid(2).
"""

import os

generation = 0


def _in_child() -> None:
    global generation
    generation += 1


os.register_at_fork(after_in_child=_in_child)
