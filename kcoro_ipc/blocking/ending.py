"""Why the connection of a blocking client cannot be used any more, if so.

It closes nothing. A child of fork() has its parent's connection and may not use it.
"""

from kcoro_ipc import forks
from kcoro_ipc.errors import ClosedResourceError, KcoroError


class Ending:
    """`why`: None as long as it has not ended."""

    def __init__(self) -> None:
        self.why: KcoroError | None = None
        self.generation = forks.generation

    @property
    def has_come(self) -> bool:
        return self.why is not None or self.generation != forks.generation

    def error(self) -> KcoroError:
        """Once it has come: what whoever asks for something is told."""
        if self.generation != forks.generation:
            return ClosedResourceError(
                "this client belongs to the parent process; open another one after fork()"
            )
        ended = self.why
        assert ended is not None
        return copy_of(ended)


def copy_of(why: KcoroError) -> KcoroError:
    """To be raised: one that is kept would keep the frames that it passed."""
    return type(why)(str(why))
