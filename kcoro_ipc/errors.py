"""The KC_* result codes and the exceptions that stand for them.

A code is a small negative number, the same on the wire, in C (kc_wire.h) and here. The
numbers are Linux's errno values frozen into the protocol, so they do not change with the
host. Exactly one class belongs to each code; `error_for` is the one way from a code to an
exception.

This module imports nothing: `kcoro send` starts in milliseconds because of it. Where trio
has a name of its own (WouldBlock, EndOfChannel, BrokenResourceError, ClosedResourceError,
BusyResourceError) the class here is plain, and the trio client defines the pair, for
example ``class WouldBlock(errors.WouldBlock, trio.WouldBlock)``, and passes its own table.
"""

KC_OK = 0
KC_ENOENT = -2
KC_EBADF = -9
KC_EAGAIN = -11
KC_ENOMEM = -12
KC_EACCES = -13
KC_EBUSY = -16
KC_EEXIST = -17
KC_EINVAL = -22
KC_ENOSPC = -28
KC_EPIPE = -32
KC_ENAMETOOLONG = -36
KC_ENOSYS = -38
KC_ETIME = -62
KC_EPROTO = -71
KC_EMSGSIZE = -90
KC_EPROTONOSUPPORT = -93
KC_ENOTSUP = -95
KC_ECONNRESET = -104
KC_EINPROGRESS = -115
KC_EDQUOT = -122
KC_ECANCELED = -125

Detail = int | str | None


class KcoroError(Exception):
    """Any refusal or failure of kcoro.

    `code` is the KC_* number and `name` its name without the prefix; `message` is the text
    without the details, str() has both. `details` holds what
    the answer said beyond that: `reason` (text), `index` (the clause of a select),
    `quota`, `limit`, `usage` and `setting` (which quota refused, and what raises it).
    """

    code: int = 0
    advice = "the operation failed"
    in_doubt = False  # True: the connection ended under it, what the daemon did is not known

    def __init__(self, message: str = "", **details: Detail) -> None:
        self.details = {key: value for key, value in details.items() if value is not None}
        self.message = message or self.advice
        super().__init__(self.message + self._suffix())

    def _suffix(self) -> str:
        # A reason that only repeats the message stays in `details` and is not said twice.
        details = self.details.items()
        said = [f"{key} {value}" for key, value in details if value != self.message]
        return f" ({', '.join(said)})" if said else ""

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own form would call the class with the finished text and lose details.
        return (Exception.__new__, (type(self), *self.args), self.__dict__)

    @property
    def name(self) -> str:
        return CODE_NAMES.get(self.code, str(self.code))

    @property
    def reason(self) -> Detail:
        return self.details.get("reason")

    @property
    def index(self) -> Detail:
        return self.details.get("index")

    @property
    def quota(self) -> Detail:
        return self.details.get("quota")

    @property
    def limit(self) -> Detail:
        return self.details.get("limit")

    @property
    def usage(self) -> Detail:
        return self.details.get("usage")

    @property
    def setting(self) -> Detail:
        return self.details.get("setting")


class NoSuchChannel(KcoroError):
    code = KC_ENOENT
    advice = "there is no such channel; make it first, or open it with wait"


class UnknownDelivery(NoSuchChannel):
    advice = "this delivery is no longer yours: it was acknowledged or given back before"


class NoSuchRegion(NoSuchChannel):
    advice = "there is no such region of this connection; register it first"


class ClosedResourceError(KcoroError):
    code = KC_EBADF
    advice = "this handle is closed or was never opened; open the channel again"


class WouldBlock(KcoroError):
    code = KC_EAGAIN
    advice = "nothing can be done at once; wait instead of trying, or try later"


class OutOfMemory(KcoroError):
    code = KC_ENOMEM
    advice = "no memory is left for this; receive what waits, or send smaller elements"


class AccessDenied(KcoroError):
    code = KC_EACCES
    advice = "you lack the right to do this; ask the owner for a mode that allows it"


class BusyResourceError(KcoroError):
    code = KC_EBUSY
    advice = "another task or thread is using this; give each its own handle or client"


class RegionBusy(BusyResourceError):
    advice = "ranges of this region are in flight; wait for them, or revoke it"


class ChannelExists(KcoroError):
    code = KC_EEXIST
    advice = "a channel of that name exists and differs; open it as it is, or take another name"


class InvalidArgument(KcoroError, ValueError):
    code = KC_EINVAL
    advice = "an argument is missing or not valid here; correct it and call again"


class NoSpace(KcoroError):
    code = KC_ENOSPC
    advice = "no room is left; receive what waits, or raise the limit"


class PoolExhausted(NoSpace):
    advice = "the pool of shared memory is in use; wait for receivers, or raise pool_bytes"


class ChannelClosed(KcoroError):
    """The channel is closed; which of the two subclasses says from which side it was seen."""

    code = KC_EPIPE
    advice = "the channel is closed; open or make another"


class EndOfChannel(ChannelClosed):
    advice = "the channel is closed and everything in it was received; stop receiving"


class BrokenResourceError(ChannelClosed):
    advice = "the channel is closed and takes nothing more; stop sending"


class NameTooLong(KcoroError):
    code = KC_ENAMETOOLONG
    advice = "the name is too long; use at most 255 bytes of UTF-8 (107 for a socket's path)"


class UnknownCommand(KcoroError):
    code = KC_ENOSYS
    advice = "the daemon does not know this command; upgrade the daemon"


class TimedOut(KcoroError):
    code = KC_ETIME
    advice = "the time was over before it happened, so it did not; allow more time or try again"


class ProtocolError(KcoroError):
    code = KC_EPROTO
    advice = "bytes arrived that are not a valid frame; the connection ends, connect again"


class MessageTooLong(KcoroError):
    code = KC_EMSGSIZE
    advice = "the message is larger than allowed here; send it in parts, or raise elem_size"


class VersionMismatch(KcoroError):
    code = KC_EPROTONOSUPPORT
    advice = "the peer speaks another major version of the protocol; upgrade the older side"


class NotSupported(KcoroError):
    code = KC_ENOTSUP
    advice = "this kind of channel or connection cannot do that; choose another kind"


class ConnectionLost(KcoroError):
    code = KC_ECONNRESET
    advice = "the connection to the daemon is gone; connect again (a send under way is in doubt)"


class NoDaemon(ConnectionLost):
    advice = "no daemon answers; start one with `kcoro serve`, or set KCORO_SOCKET"


class Unconfirmed(KcoroError):
    code = KC_EINPROGRESS
    advice = "the message was taken but not acknowledged in time; it may still be, do not resend"


class QuotaExceeded(KcoroError):
    code = KC_EDQUOT
    advice = "a quota is used up; release something of that kind, or raise the setting"


class OperationCancelled(KcoroError):
    code = KC_ECANCELED
    advice = "the operation was cancelled before it happened; the reason says by what"


class FrameTooLong(ProtocolError):
    """A header names more bytes than a frame may have; what follows cannot be found again."""

    code = KC_EMSGSIZE
    advice = "a frame is longer than the limit; the connection ends, send less in one frame"


CODE_NAMES: dict[int, str] = {
    number: key[3:] for key, number in dict(globals()).items() if key.startswith("KC_")
}

ErrorTable = dict[int | tuple[int, str], type[KcoroError]]

ERRORS: ErrorTable = {
    cls.code: cls
    for cls in (
        NoSuchChannel,
        ClosedResourceError,
        WouldBlock,
        OutOfMemory,
        AccessDenied,
        BusyResourceError,
        ChannelExists,
        InvalidArgument,
        NoSpace,
        ChannelClosed,
        NameTooLong,
        UnknownCommand,
        TimedOut,
        ProtocolError,
        MessageTooLong,
        VersionMismatch,
        NotSupported,
        ConnectionLost,
        Unconfirmed,
        QuotaExceeded,
        OperationCancelled,
    )
} | {
    (KC_EPIPE, "send"): BrokenResourceError,
    (KC_ENOENT, "ack"): UnknownDelivery,
    (KC_EPIPE, "receive"): EndOfChannel,
}


def error_for(
    code: int,
    message: str = "",
    *,
    side: str = "",
    table: ErrorTable = ERRORS,
    **details: Detail,
) -> KcoroError:
    """The exception for a KC_* code, ready to be raised.

    `side` is "send", "receive" or "ack" where the answer depends on it (EPIPE, ENOENT). `table`
    lets a client put its own subclasses in place of these. A code that is not in the table gives
    a plain KcoroError that carries the number.
    """
    cls = table.get((code, side)) or table.get(code)
    if cls is not None:
        return cls(message, **details)
    unknown = KcoroError(message or f"the daemon answered with an unknown code, {code}", **details)
    unknown.code = code
    return unknown
