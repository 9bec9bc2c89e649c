"""A task that waits for the reply to one request of a trio connection."""

from collections.abc import Callable

from trio.lowlevel import Abort, RaiseCancelT, Task


class Waiting:
    """`raise_cancel` is set once trio has cancelled it, `ended` once its handle was closed under
    it; `begins` is where its frame stands in what goes out."""

    __slots__ = ("ask_cancel", "begins", "ended", "owners", "raise_cancel", "req_id", "task")

    def __init__(
        self,
        ask_cancel: Callable[[int], None],
        req_id: int,
        task: Task,
        owners: tuple[object, ...],
    ) -> None:
        self.ask_cancel = ask_cancel
        self.req_id = req_id
        self.task = task
        self.owners = owners
        self.begins = 0
        self.ended = False
        self.raise_cancel: RaiseCancelT | None = None

    def abort(self, raise_cancel: RaiseCancelT) -> Abort:
        self.raise_cancel = raise_cancel
        self.ask_cancel(self.req_id)
        return Abort.FAILED
