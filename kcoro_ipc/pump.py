"""The daemon's connections and its turn, as typed Python: kc_pump.h and kc_turn.h, verb by verb.

It adds no meaning: what a control frame asks is control/'s business, when to turn is daemon.py's.

Invariants:
- A pump is touched by one thread at a time: the one that turns, or, between two turns, the one that
  got its report. Only `wake` may be called from anywhere.
- A connection is a ticket. Verbs about one that is gone do nothing and answer KC_ENOENT, because a
  reply that comes too late for its connection is lost with it and harms nobody.
"""

from collections.abc import Sequence
from typing import Any

from kcoro_ipc.errors import KC_ENOMEM
from kcoro_ipc.native import NativeEngine
from kcoro_ipc.reports import Batch, Closed, ConnectionInfo, Control, Note, Report, Share
from kcoro_ipc.structs import checked, ffi, lib

STREAM: int = lib.KC_TRANSPORT_STREAM
SEQPACKET: int = lib.KC_TRANSPORT_SEQPACKET


def judge_region(file: int, size: int) -> str | None:
    """What is wrong with a file that is to be a region of `size` bytes; None: it is fit."""
    why = ffi.new("const char **")
    code = lib.kc_region_judge(file, size, why)
    return None if code == 0 else ffi.string(why[0]).decode()


def close_files(files: Sequence[int]) -> None:
    """close(2) of each, without the interpreter's lock: for a thread, because it may block."""
    lib.kc_files_close(ffi.new("int32_t[]", list(files)), len(files))


class NativePump:
    """The pump over one engine. Free it with `free` before the engine."""

    def __init__(self, engine: NativeEngine, **config: int) -> None:
        """`config`: fields of kc_pump_config; those left out take the default."""
        out = ffi.new("kc_pump **")
        code = lib.kc_pump_make(engine.handle, ffi.new("kc_pump_config *", config), out)
        checked(code, what="no pump")
        self.handle = out[0]
        self._report = ffi.new("kc_report *")
        self._control = ffi.new("kc_control *")

    def free(self) -> None:
        """Ends every connection and closes its socket; safe twice."""
        handle, self.handle = self.handle, ffi.NULL
        lib.kc_pump_free(handle)

    def fd(self) -> int:
        """The epoll descriptor: readable when a turn has something to do."""
        return checked(lib.kc_pump_fd(self.handle), what="no descriptor of the pump")

    def wake(self) -> None:
        """From any thread: ends a blocking turn soon."""
        if self.handle != ffi.NULL:
            lib.kc_pump_wake(self.handle)

    def turn(self, timeout_ns: int = 0, repoll_ns: int = 50_000) -> Report:
        """One turn. Raises when the epoll set itself failed."""
        report = self._report
        checked(lib.kc_turn(self.handle, timeout_ns, repoll_ns, report), what="the turn failed")
        return Report(
            report.flags,
            report.frames,
            report.control,
            report.accept,
            report.closed,
            report.cancelled,
            report.polls,
            report.events,
            report.regions,
            report.files,
            report.notes,
        )

    def limit(self, requests: int, parked: int, held: int) -> None:
        """Of each connection, those that are there included."""
        config = {
            "requests_per_conn": requests,
            "parked_per_conn": parked,
            "held_per_conn": held,
        }
        lib.kc_pump_limit(self.handle, ffi.new("kc_pump_config *", config))

    # --- listeners ---

    def listen(self, fd: int) -> None:
        checked(lib.kc_pump_listen(self.handle, fd), what="the listener cannot be watched")

    def unlisten(self, fd: int) -> None:
        lib.kc_pump_unlisten(self.handle, fd)

    def accept_ready(self) -> int | None:
        """The descriptor of a readable listener."""
        fd = lib.kc_pump_accept_ready(self.handle)
        return None if fd < 0 else int(fd)

    def accept_pause(self, on: bool) -> None:
        lib.kc_pump_accept_pause(self.handle, int(on))

    # --- connections ---

    def add(self, fd: int, transport: int, account: int, pid: int = 0) -> int:
        """Takes the socket over, closed by the pump also when this fails; the new ticket. `pid`:
        what receivers who ask are told of the sender of what comes over it."""
        out = ffi.new("kc_conn *")
        code = lib.kc_conn_add(self.handle, fd, transport, account, out)
        checked(code, what="the connection cannot be served")
        lib.kc_conn_name(self.handle, out[0], pid)
        return int(out[0])

    def speak(self, conn: int, minor: int, max_frame: int, caps: int = 0) -> int:
        code = lib.kc_conn_speak(self.handle, conn, minor, max_frame)
        return int(code or lib.kc_conn_able(self.handle, conn, caps))

    def grant(self, conn: int, chan_id: int, chan: int, rights: int) -> int:
        return int(lib.kc_conn_grant(self.handle, conn, chan_id, chan, rights))

    def close(self, conn: int, code: int) -> int:
        return int(lib.kc_conn_close(self.handle, conn, code))

    def info(self, conn: int) -> ConnectionInfo | None:
        info = ffi.new("kc_conn_info *")
        if lib.kc_conn_measure(self.handle, conn, info) != 0:
            return None
        return ConnectionInfo(*(int(getattr(info, name)) for name in ConnectionInfo._fields))

    def share(self, account: int) -> Share:
        share = ffi.new("kc_pump_account *")
        lib.kc_pump_measure_account(self.handle, account, share)
        return Share(share.connections, share.leases, share.slowed)

    def unread_bytes(self) -> int:
        """What was said to all connections and their peers have not taken."""
        usage = ffi.new("kc_pump_usage *")
        lib.kc_pump_measure(self.handle, usage)
        return int(usage.queued_bytes)

    def conn_of_waiter(self, user: int) -> int:
        """The connection of a waiter (`Waiter.user`), 0 when it is none of this pump's."""
        return int(lib.kc_conn_of_waiter(self.handle, user))

    def next_closed(self) -> Closed | None:
        closed = ffi.new("kc_closed *")
        if lib.kc_pump_closed(self.handle, closed) != 0:
            return None
        info = closed.info
        counts = (info.frames_in, info.frames_out, info.bytes_in, info.bytes_out, info.files_in)
        return Closed(closed.conn, closed.code, closed.account, *counts)

    # --- control frames ---

    def next_control(self) -> Control | None:
        """The next control frame; its connection is behind the barrier until it is answered.

        MemoryError ends the connection: nobody else would lift the barrier.
        """
        control: Any = self._control
        if lib.kc_pump_control(self.handle, control) != 0:
            return None
        try:
            payload = bytes(ffi.buffer(control.payload, control.length)) if control.length else b""
        except MemoryError:
            self.close(control.conn, KC_ENOMEM)
            raise
        return Control(
            control.conn,
            control.cmd,
            control.minor,
            control.req_id,
            bool(control.greeted),
            bool(control.ungranted),
            control.chan_id,
            payload,
            control.files,
        )

    def control_file(self, conn: int) -> int:
        """The next file of the control frame in our hands, ours from then on; -1: none is left."""
        file = ffi.new("int32_t *", -1)
        code = lib.kc_pump_control_file(self.handle, conn, file)
        return int(file[0]) if code == 0 else -1

    def discard_file(self, account: int, file: int) -> None:
        """Such a file is not wanted: it is closed with the others, where that may block, and
        charged to the account until then."""
        lib.kc_pump_discard_file(self.handle, account, file)

    def close_socket(self, fd: int, transport: int, account: int) -> None:
        """A connected socket that is refused, ours no more: closed at once unless files are in it,
        which are then closed as if they had been discarded."""
        lib.kc_pump_close_socket(self.handle, fd, transport, account)

    def reply(self, conn: int, frame: bytes) -> int:
        return int(lib.kc_pump_reply(self.handle, conn, frame, len(frame)))

    def resume(self, conn: int) -> int:
        """Lets the frame go; a request with an id lives on until `finish`."""
        return int(lib.kc_pump_resume(self.handle, conn))

    def resubmit(self, conn: int) -> int:
        return int(lib.kc_pump_resubmit(self.handle, conn))

    def finish(self, conn: int, req_id: int, frame: bytes) -> int:
        return int(lib.kc_pump_finish(self.handle, conn, req_id, frame, len(frame)))

    def event(self, conn: int, frame: bytes) -> int:
        """KC_EAGAIN, and nothing said, when the peer does not read fast enough."""
        return int(lib.kc_pump_event(self.handle, conn, frame, len(frame)))

    def next_cancelled(self) -> tuple[int, int] | None:
        """(connection, REQ_ID) of a request that was let go and is now cancelled."""
        conn, req_id = ffi.new("kc_conn *"), ffi.new("uint32_t *")
        if lib.kc_pump_cancelled(self.handle, conn, req_id) != 0:
            return None
        return int(conn[0]), int(req_id[0])

    # --- pace, and what is for the log ---

    def pace(self, per_connection: int, per_account: int) -> None:
        """Frames per second; 0: as many as come."""
        lib.kc_pump_pace(self.handle, per_connection, per_account)

    def next_note(self) -> Note | None:
        note = ffi.new("kc_note *")
        if lib.kc_pump_next_note(self.handle, note) != 0:
            return None
        setting = ffi.string(note.setting).decode() if note.setting != ffi.NULL else None
        name = ffi.string(note.name).decode()
        return Note(note.conn, note.code, name, note.limit, note.usage, setting, note.lost)

    # --- regions, and files to be closed ---

    def next_region_ended(self) -> tuple[int, int] | None:
        """(connection that had registered it, REGION_ID) of a region that ended."""
        conn, region = ffi.new("kc_conn *"), ffi.new("kc_ticket *")
        if lib.kc_pump_region_ended(self.handle, conn, region) != 0:
            return None
        return int(conn[0]), int(region[0])

    def take_files(self, most: int) -> Batch:
        """Files that nobody wants any more, ours to close, then to be told by `files_closed`. None
        when nothing waits, or a uid's takers have all they may. `most` is 16 or more."""
        if self.handle == ffi.NULL:
            return Batch(0, [])
        files: Any = ffi.new("int32_t[]", most)
        account = ffi.new("uint32_t *")
        taken = lib.kc_pump_take_files(self.handle, files, most, account)
        return Batch(int(account[0]), [int(files[i]) for i in range(taken)])

    def files_closed(self, account: int, count: int) -> None:
        lib.kc_pump_files_closed(self.handle, account, count)

    # --- the pump without sockets: add(-1, ...), for tests ---

    def feed(self, conn: int, data: bytes, eof: bool = False) -> int:
        return int(lib.kc_conn_feed(self.handle, conn, data, len(data), int(eof)))

    def fetch(self, conn: int, most: int = 1 << 16) -> bytes:
        """Output that now counts as taken by the peer."""
        buffer = ffi.new("char[]", most)
        taken = checked(lib.kc_conn_fetch(self.handle, conn, buffer, most))
        return bytes(ffi.buffer(buffer, taken))

    def run(self) -> bool:
        """One round without system calls; True when input is left that may be served."""
        return bool(checked(lib.kc_pump_run(self.handle)) == lib.KC_PUMP_MORE)

    def usage(self) -> dict[str, int]:
        usage = ffi.new("kc_pump_usage *")
        lib.kc_pump_measure(self.handle, usage)
        return {name: int(getattr(usage, name)) for name in dir(usage)}

    # --- the end ---

    def drain(self) -> None:
        lib.kc_pump_drain(self.handle)

    def cancel_all(self) -> None:
        lib.kc_pump_cancel_all(self.handle)
