"""Whose is what came to a blocking client: a reply, a notice about shared memory, or an event.

Notices and events are taken when they are met, a reply stays where it is until the next request: a
step that a signal handler interrupts is taken again. It sends nothing, and reads only when a reply
is waited for.
"""

from collections.abc import Callable

from kcoro_ipc.blocking.inflow import Inflow
from kcoro_ipc.errors import KcoroError, ProtocolError
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.watches import Watched


class Sorting:
    """`watches`: requests that are answered again and again, by REQ_ID; an event belongs to one.
    `notice` takes what is for shared memory. `end` ends the connection and returns what to raise.
    """

    def __init__(
        self,
        inflow: Inflow,
        notice: Callable[[Reply], object],
        end: Callable[[KcoroError], KcoroError],
    ) -> None:
        self.watches: dict[int, Watched] = {}
        self._inflow = inflow
        self._notice = notice
        self._end = end
        self._answered: Reply | None = None

    def reply(self, req_id: int) -> Reply:
        """The reply to `req_id`, from what was received already and what comes."""
        inflow = self._inflow
        while True:
            reply = self.next()
            if reply is not None:
                self._answered = reply
                return self.checked(reply, req_id)
            inflow.receive()

    def next(self) -> Reply | None:
        """The next frame that is no notice and no event, if it has arrived; what has ended the
        connection is raised. It stays where it is until the next request."""
        inflow = self._inflow
        try:
            while (reply := inflow.first()) is not None:
                if reply.req_id in self.watches:
                    self._take_event(reply)
                elif reply.is_notice:
                    self._notice(reply)
                else:
                    break
                inflow.drop_first()
        except ProtocolError as error:
            raise self._end(error) from None
        if reply is None and inflow.failure is not None:
            raise self._end(inflow.failure)
        return reply

    def catch_up(self) -> None:
        """Looks at what came behind the last reply."""
        self.forget_answered()
        self.next()

    def forget_answered(self) -> None:
        ahead = self._inflow.ahead
        if ahead and ahead[0] is self._answered:
            del ahead[0]

    def checked(self, reply: Reply, req_id: int) -> Reply:
        if reply.req_id == req_id and reply.result is not None:
            return reply
        if reply.req_id == 0 and reply.result:
            raise self._end(failure_of(reply))
        raise self._end(ProtocolError(f"the daemon answered request {reply.req_id}, not {req_id}"))

    def _take_event(self, reply: Reply) -> None:
        self.watches[reply.req_id].take(reply)
        if reply.result is not None:
            del self.watches[reply.req_id]
