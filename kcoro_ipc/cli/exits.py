"""Exit codes, and which error ends with which.

A script tells from the code alone whether to wait, to retry, to give up or to ask for rights; the
one line on stderr tells people. 1 is for what is outside of kcoro: a command of --exec that
failed, output that could not be written.
"""

import errno

from kcoro_ipc import errors
from kcoro_ipc.errors import KcoroError

OK = 0
OUTSIDE = 1
USAGE = 2
WOULD_BLOCK = 3
TIMED_OUT = 4
CLOSED = 5
CANCELLED = 6
REFUSED = 7
NO_CHANNEL = 8
NO_DAEMON = 9
DEADLOCK = 10  # what `kcoro why` looked for is there
OUR_FAULT = 70
INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE

_BY_CODE = {
    errors.KC_EINVAL: USAGE,
    errors.KC_ENAMETOOLONG: USAGE,
    errors.KC_ENOTSUP: USAGE,
    errors.KC_EAGAIN: WOULD_BLOCK,
    errors.KC_ETIME: TIMED_OUT,
    errors.KC_EINPROGRESS: TIMED_OUT,
    errors.KC_EPIPE: CLOSED,
    errors.KC_ECANCELED: CANCELLED,
    errors.KC_EACCES: REFUSED,
    errors.KC_EDQUOT: REFUSED,
    errors.KC_EEXIST: REFUSED,
    errors.KC_EMSGSIZE: REFUSED,
    errors.KC_ENOMEM: REFUSED,
    errors.KC_ENOSPC: REFUSED,
    errors.KC_ENOENT: NO_CHANNEL,
    errors.KC_ECONNRESET: NO_DAEMON,
}


class OutsideError(Exception):
    """Something that is not kcoro's failed; the text says what, and what to do."""


_ROOM = "free some space, or use another disk"
_DESCRIPTORS = "close some files, or raise `ulimit -n`"
_STEPS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise `ulimit -f`, or write less",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file, not a directory",
    errno.EACCES: "ask for the right, or name another",
    errno.EPERM: "ask for the right, or name another",
    errno.EROFS: "name one on a disk that can be written",
    errno.EBADF: "open it: < FILE or > FILE",
    errno.EMFILE: _DESCRIPTORS,
    errno.ENFILE: _DESCRIPTORS,
    errno.ENOEXEC: "begin it with #! and its interpreter",
    errno.E2BIG: "make the command shorter",
    errno.ENOMEM: "free some memory, and try again",
    errno.EAGAIN: "try again, or raise `ulimit -u`",
}


def outside(what: str, error: OSError, step: str | None = None) -> OutsideError:
    """What the system refused, in its words, and the next step."""
    step = step or _STEPS.get(error.errno or 0, "try another, or see dmesg")
    return OutsideError(f"{what}: {error.strerror or type(error).__name__}; {step}")


# In a shell there are other ways out than in a program, for which the exception's words are.
ABSENT = "there is no such channel; `kcoro ls` shows those that you may see"
WAIT = ", and --wait waits until somebody makes it"
# What to do where the daemon's own words only say why.
STEPS = {
    errors.KC_EACCES: "ask its owner or an administrator for the right",
    errors.KC_EEXIST: "open it as it is, or take another name",
    errors.KC_EINVAL: "correct the options",
    errors.KC_ECANCELED: "it can be tried again",
}


def line_of(error: KcoroError, can_wait: bool = False) -> str:
    """What stands on stderr: where, what, and what to do about it; `can_wait`: by --wait, too.

    The daemon's own words (`reason`) replace the general ones, except where they only say why
    somebody ended the channel.
    """
    where = f"channel {error.details['channel']}: " if "channel" in error.details else ""
    more = {key: value for key, value in error.details.items() if key not in ("channel", "reason")}
    reason = error.reason
    what = error.message
    if reason and error.code == errors.KC_ECANCELED:
        what = f"{what}: {reason}"
    elif reason:
        what = str(reason)
    if what == errors.NoSuchChannel.advice:
        what = ABSENT + (WAIT if can_wait else "")
    if reason and error.code in STEPS:
        what = f"{what}; {STEPS[error.code]}"
    said = ", ".join(f"{key} {value}" for key, value in more.items())
    return where + what + (f" ({said})" if said else "")


def code_of(error: KcoroError) -> int:
    return _BY_CODE.get(error.code, OUR_FAULT)


def leaf_of(error: BaseException) -> BaseException:
    """What went wrong, without the nurseries that it came through; of several the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
