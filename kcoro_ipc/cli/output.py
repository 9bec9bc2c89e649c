"""Writing received messages to stdout: whole batches, straight to the descriptor.

Not through sys.stdout: a message counts as written when write(2) has taken it, and a broken pipe
must not come back when the interpreter flushes its buffers.
"""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kcoro_ipc.cli.standard import unwritable

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Job
    from kcoro_ipc.cli.invocation import Invocation
    from kcoro_ipc.files import File, Message

STDOUT = 1


def write_all(data: bytes | memoryview, fd: int = STDOUT) -> None:
    """BrokenPipeError passes; any other failure is an OutsideError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            _wait(fd)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(error) from error


def _wait(fd: int) -> None:
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()


def close_files(messages: "Iterable[Job | Message]", invocation: "Invocation") -> None:
    """Open files that came with messages and have nowhere to go; that is said."""
    files = [file for message in messages for file in files_of(message)]
    for file in files:
        file.close()
    if files:
        what = "1 open file was" if len(files) == 1 else f"{len(files)} open files were"
        invocation.say(f"{what} closed; take them with recv --exec")


def files_of(message: "Job | Message") -> "list[File]":
    return message.files if isinstance(message, tuple) else message.take_files()


def data_fields(data: bytes) -> dict[str, Any]:
    """`data` as text when it is UTF-8, else in base64 with `encoding` to say so."""
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        import base64

        return {"data": base64.b64encode(data).decode(), "encoding": "base64"}


def json_line(fields: dict[str, Any]) -> bytes:
    import json

    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def json_jobs(jobs: "Sequence[Job]") -> bytes:
    """One object a line."""
    return b"".join(
        json_line(
            {
                **data_fields(job.data),
                "redelivered": job.redelivered,
                "attempts": job.attempts,
                **(job.sender._asdict() if job.sender else {}),
            }
        )
        for job in jobs
    )
