"""Who hears what becomes of a request of a trio connection."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import outcome
from trio.lowlevel import Abort, RaiseCancelT, Task, reschedule

from kcoro_ipc.errors import KcoroError
from kcoro_ipc.protocol.replies import Reply


class Asking(ABC):
    """`ended` once one of `owners` was closed under it; `begins`: where its frame stands in what
    goes out."""

    __slots__ = ("begins", "ended", "owners", "req_id")

    def __init__(self, req_id: int, owners: tuple[object, ...]) -> None:
        self.req_id = req_id
        self.owners = owners
        self.begins = 0
        self.ended = False

    @abstractmethod
    def take(self, reply: Reply) -> None: ...

    @abstractmethod
    def fail(self, error: KcoroError) -> None:
        """No reply will come."""


class Waiting(Asking):
    """A task that waits for its only reply. `raise_cancel` is set once trio has cancelled it."""

    __slots__ = ("ask_cancel", "raise_cancel", "task")

    def __init__(
        self,
        ask_cancel: Callable[[int], None],
        req_id: int,
        task: Task,
        owners: tuple[object, ...],
    ) -> None:
        super().__init__(req_id, owners)
        self.ask_cancel = ask_cancel
        self.task = task
        self.raise_cancel: RaiseCancelT | None = None

    def take(self, reply: Reply) -> None:
        reschedule(self.task, outcome.Value(reply))

    def fail(self, error: KcoroError) -> None:
        reschedule(self.task, outcome.Error(error))

    def abort(self, raise_cancel: RaiseCancelT) -> Abort:
        self.raise_cancel = raise_cancel
        self.ask_cancel(self.req_id)
        return Abort.FAILED
