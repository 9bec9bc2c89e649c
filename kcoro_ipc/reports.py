"""What the pump tells, as plain records: the structs of kc_turn.h and kc_pump.h that Python reads.

They are copies: nothing in them changes or ends with the next call.
"""

from typing import NamedTuple

from kcoro_ipc.structs import lib


class Report(NamedTuple):
    """struct kc_report: what one turn leaves to Python."""

    flags: int
    frames: int
    control: int
    accept: int
    closed: int
    cancelled: int
    polls: int
    events: int
    regions: int = 0
    files: int = 0
    notes: int = 0

    @property
    def more(self) -> bool:
        """Work is left: turn again after a checkpoint."""
        return bool(self.flags & lib.KC_TURN_MORE)

    @property
    def cut(self) -> bool:
        """No descriptor was free for a file that a client passed."""
        return bool(self.flags & lib.KC_TURN_CUT)

    @property
    def idle(self) -> bool:
        """Nothing is left to do for C or for Python; files to be closed wait for a thread."""
        waiting = self.control or self.accept or self.closed or self.cancelled or self.events
        waiting = waiting or self.regions or self.notes
        return not waiting and not self.more


class Control(NamedTuple):
    """struct kc_control with the payload copied: one frame that Python answers.

    `minor` is 0 before HELLO was answered (`greeted`). `ungranted`: a hot frame of a 1.0 connection
    that has no handle for its channel `chan_id`; its payload is empty if it is large.
    """

    conn: int
    cmd: int
    minor: int
    req_id: int
    greeted: bool
    ungranted: bool
    chan_id: int
    payload: bytes
    files: int = 0


class Closed(NamedTuple):
    """struct kc_closed: a connection that ended; `code` 0 when the peer closed it."""

    conn: int
    code: int
    account: int
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    files_in: int


class ConnectionInfo(NamedTuple):
    """struct kc_conn_info."""

    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    files_in: int
    queued_bytes: int
    requests: int
    handles: int
    transport: int
    minor: int
    leases: int
    files: int
    account: int
    fd: int
    scope: int = 0
    slowed: int = 0


class Share(NamedTuple):
    """struct kc_pump_account: the connections of one account together."""

    connections: int
    leases: int
    slowed: int


class Batch(NamedTuple):
    """Files to be closed, and the account that pays for them."""

    account: int
    files: list[int]


class Note(NamedTuple):
    """struct kc_note: a hot request was refused by a quota, or (`code` 0) its connection slowed."""

    conn: int
    code: int
    quota: str
    limit: int
    usage: int
    setting: str | None
    lost: int
