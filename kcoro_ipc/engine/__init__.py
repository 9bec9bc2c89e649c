"""Channels for the tasks of one trio program, on the same engine that the daemon uses.

    engine     make channels, select          memory    trio's memory channels
    channel    send, receive, close           select    one of several clauses
    handle     operations under way           objects   Python objects on their way
    port       where engine and trio meet

No daemon, no thread, no descriptor: `Engine` is a piece of memory, and tasks wait in trio.
"""

from kcoro_ipc.engine.channel import Channel
from kcoro_ipc.engine.engine import Engine
from kcoro_ipc.engine.memory import MemoryReceiveChannel, MemorySendChannel
from kcoro_ipc.engine.select import Clause, Selected

__all__ = [
    "Channel",
    "Clause",
    "Engine",
    "MemoryReceiveChannel",
    "MemorySendChannel",
    "Selected",
]
