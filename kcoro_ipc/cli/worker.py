"""`kcoro recv --exec`: one shell command per message, and what its end means for the message."""

import os
import time
from typing import TYPE_CHECKING

from kcoro_ipc.cli import handing
from kcoro_ipc.cli.exits import outside
from kcoro_ipc.cli.invocation import Invocation

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Job

OF_A_SENDER = ("KCORO_SENDER_UID", "KCORO_SENDER_PID")
# A command that fails gets the same message again at once: from the second failure in a row on it
# waits, doubling, so that a poisoned message does not cost a whole processor.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0


class Worker:
    """Runs the command; `failures` counts the messages it gave back."""

    def __init__(self, command: str, invocation: Invocation) -> None:
        self._command = command
        self._invocation = invocation
        self._in_a_row = 0
        self.failures = 0

    def handle(self, job: "Job") -> None:
        """The message is on the command's stdin; exit 0 acknowledges it, else it goes back."""
        status = self._run(job)
        if status == 0:
            self._in_a_row = 0
            job.ack()
            return
        job.nack()
        self.failures += 1
        self._in_a_row += 1
        self._invocation.say(f"the command {_ended(status)}: its message went back to the channel")
        if self._in_a_row > 1:
            time.sleep(min(FIRST_PAUSE_S * 2 ** (self._in_a_row - 2), LONGEST_PAUSE_S))

    def _run(self, job: "Job") -> int:
        """The command's exit code."""
        for name in OF_A_SENDER:  # of a `recv --exec` around this one, or of the last message
            os.environ.pop(name, None)
        if job.sender is not None:
            os.environ |= dict(zip(OF_A_SENDER, map(str, job.sender), strict=True))
        files = job.take_files()
        try:
            return handing.run(self._command, job.data, [file.fileno() for file in files])
        except OSError as error:
            raise outside("the command cannot be run", error) from error
        finally:
            for file in files:
                file.close()


def _ended(status: int) -> str:
    return f"exited with {status}" if status > 0 else f"was killed by signal {-status}"
