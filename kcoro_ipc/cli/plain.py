"""A conflated channel has no acknowledgement: this gives its messages the face of jobs.

Such a message is the receiver's when it arrives; ack and nack say nothing to anybody. What is lost
with a receiver that dies is a value that the next one replaces anyway.
"""

from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Channel
    from kcoro_ipc.files import File, Sender


class PlainJob(NamedTuple):
    data: bytes
    files: "list[File]"
    sender: "Sender | None" = None
    attempts: int = 0
    redelivered: bool = False
    lease: None = None

    def take_files(self) -> "list[File]":
        return self.files

    def ack(self) -> None:
        """Nothing: it is done already."""

    def nack(self) -> None:
        """Nothing: there is no way back."""


class PlainInbox:
    def __init__(self, channel: "Channel", sender: bool = False) -> None:
        self._channel = channel
        self._sender = sender

    def receive_many(self, max_items: int, *, timeout: float | None = None) -> list[PlainJob]:
        """One at most: the channel has no place for a second."""
        message = self._channel.receive_message(timeout=timeout, sender=self._sender)
        return [PlainJob(message.data, message.files, message.sender)]

    def ack(self, *jobs: object) -> None:
        """Nothing: they are done already."""

    def __enter__(self) -> "PlainInbox":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing is held."""
