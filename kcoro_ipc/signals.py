"""What signals ask of the daemon: a task for each kind, from `started` on none is missed.

They know the daemon as two functions; what these do is the daemon's and the reloader's.
"""

import logging
import signal
from collections.abc import Awaitable, Callable

import trio

from kcoro_ipc.logs import say


async def stop_by_signal(
    stop: Callable[[bool], object],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """SIGTERM drains (`stop(True)`), a second one or SIGINT ends at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            stop(number == signal.SIGTERM)


async def reload_by_signal(
    reload: Callable[[], Awaitable[object]],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """SIGHUP."""
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            try:
                await reload()
            except Exception as error:  # noqa: BLE001  a fault of ours: what is served goes on
                say(logging.ERROR, "fault", error)
