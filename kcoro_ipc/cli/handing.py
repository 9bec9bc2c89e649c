"""`kcoro recv --exec`: a shell command that has a message as its own.

Its stdin is a file with the message's bytes, or, of a message with open files, the first of these.
Then the numbers are always the same, so that a script can name them: the others are 3, 4, ...;
after the last one stands a file with the bytes. `$KCORO_FILES` lists the numbers of the files,
`$KCORO_MESSAGE_FD` is that of the bytes, and `$KCORO_MESSAGE` holds the bytes themselves where an
environment can: no NUL, at most 64 KiB.
"""

import fcntl
import os
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress

from kcoro_ipc.cli.output import write_all
from kcoro_ipc.files import Loose

STDIN = 0
FIRST_BESIDE = 3  # after stdin, stdout, stderr
ABOVE_ALL = 64  # over every number that a command is given: 16 files and the bytes
OF_A_MESSAGE = (b"KCORO_MESSAGE", b"KCORO_FILES", b"KCORO_MESSAGE_FD")
LONGEST_VARIABLE = 64 << 10  # execve(2) takes 128 KiB for one string


def run(command: str, data: bytes, files: Sequence[int]) -> int:
    """Its exit code, negative for a signal. Interrupted, it is killed."""
    # An interrupt waits until there is somebody to kill; between the two nobody would know whom.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    process = 0
    try:
        process = _spawn(command, data, files, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    except BaseException:
        if process:
            _kill(process)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _spawn(command: str, data: bytes, files: Sequence[int], mask: Iterable[int]) -> int:
    numbers = [STDIN, *range(FIRST_BESIDE, FIRST_BESIDE + len(files))]
    message = _file_of(data)
    told = _outer()
    if files:
        told |= _environment(data, numbers[:-1], numbers[-1])
    # Out of the way first: a file may have the number that another is to get.
    sources = Loose(_high(file) for file in [*files, *message])
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", command],
        told,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, source, number)
            for source, number in zip(sources, numbers, strict=True)
        ],
        setsigmask=mask,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # which Python ignores
    )


def _high(file: int) -> int:
    return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, ABOVE_ALL)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError, ChildProcessError):  # it has ended, and was waited for
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _file_of(data: bytes) -> Loose:
    own = Loose([os.memfd_create("kcoro-message", os.MFD_CLOEXEC)])
    write_all(data, own[0])
    os.lseek(own[0], 0, os.SEEK_SET)
    return own


def _outer() -> dict[bytes, bytes]:
    """Our environment without what a `recv --exec` around this one told of its own message."""
    return {name: value for name, value in os.environb.items() if name not in OF_A_MESSAGE}


def _environment(data: bytes, files: Sequence[int], message: int) -> dict[bytes, bytes]:
    told = {
        b"KCORO_FILES": " ".join(map(str, files)).encode(),
        b"KCORO_MESSAGE_FD": str(message).encode(),
    }
    if b"\0" not in data and len(data) <= LONGEST_VARIABLE:
        told[b"KCORO_MESSAGE"] = data
    return told
