"""Accepting connections: who comes in, who is over the quota, and when descriptors run out.

When accept(2) reports that no descriptor is left, accepting pauses: a readable listener must not
spin the loop, and who waits in the backlog is served later. It resumes when a connection has ended,
or after a second. One descriptor is held in reserve and set free for the pause, so that the daemon
itself can still open a file (a traceback reads sources).
"""

import logging
import os
import resource
import socket
from collections.abc import Sequence
from contextlib import suppress

from kcoro_ipc.broker import NOBODY, Broker
from kcoro_ipc.control.greeting import refusal_frame
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.logs import say
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import Peer, User
from kcoro_ipc.transport import Credentials, Listener, credentials

PER_TURN = 64
OWN_DESCRIPTORS = 64  # listeners, epoll, timer, files of Python, and some to spare
PAUSE_NS = 1_000_000_000
QUIET_NS = 10_000_000_000  # between two log lines about the same trouble
# Over its quota a user may still say HELLO, to hear why, on this many connections at a time.
OVER_QUOTA_MOST = 64


class Acceptor:
    def __init__(self, broker: Broker, listeners: Sequence[Listener]) -> None:
        """Listens at once; the listeners stay the caller's until `close`."""
        self.broker = broker
        self._listeners = {listener.socket.fileno(): listener for listener in listeners}
        self._reserve: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._resume_at_ns: int | None = None
        self._quiet_until_ns: dict[str, int] = {}
        for fd in self._listeners:
            broker.pump.listen(fd)

    def close(self) -> None:
        """No more connections; the paths are gone, the listeners closed. Safe twice."""
        for fd, listener in self._listeners.items():
            self.broker.pump.unlisten(fd)
            listener.close()
        self._listeners.clear()
        self._resume_at_ns = None
        self._release_reserve()

    # --- descriptors that ran out ---

    def next_deadline_ns(self) -> int | None:
        return self._resume_at_ns

    def resume(self) -> None:
        """A connection ended or time has passed: accept again if the reserve can be had back."""
        if self._resume_at_ns is None or not self._listeners:
            return
        try:
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._resume_at_ns = self.broker.clock() + PAUSE_NS
            return
        self._resume_at_ns = None
        self.broker.pump.accept_pause(False)

    def resume_if_due(self) -> None:
        if self._resume_at_ns is not None and self._resume_at_ns <= self.broker.clock():
            self.resume()

    def _pause(self, error: OSError) -> None:
        self.broker.pump.accept_pause(True)
        self._release_reserve()
        self._resume_at_ns = self.broker.clock() + PAUSE_NS
        if self._may_say("pause"):
            count = len(self.broker.registry.peers)
            say(logging.WARNING, "accepting paused", why=error.strerror, connections=count)

    def say_cut(self) -> None:
        """A client passed files, and no descriptor was free for them."""
        if self._may_say("cut"):
            why = "no descriptor was free: set LimitNOFILE= of the service, or ulimit -n"
            say(logging.WARNING, "passed files lost", why=why, descriptors=descriptor_limit())

    def _release_reserve(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def _may_say(self, what: str) -> bool:
        now_ns = self.broker.clock()
        if now_ns < self._quiet_until_ns.get(what, 0):
            return False
        self._quiet_until_ns[what] = now_ns + QUIET_NS
        return True

    # --- connections ---

    def accept(self) -> None:
        """Up to PER_TURN connections from each listener that is readable."""
        while (fd := self.broker.pump.accept_ready()) is not None:
            if fd in self._listeners and self._resume_at_ns is None:
                self._accept_from(self._listeners[fd])

    def _accept_from(self, listener: Listener) -> None:
        for _ in range(PER_TURN):
            try:
                connected, _ = listener.socket.accept()
            except BlockingIOError:
                break  # that was all
            except ConnectionAbortedError:
                continue  # who was there is gone
            except OSError as error:
                self._pause(error)
                break
            self._receive(connected, listener.transport)

    def _receive(self, connected: socket.socket, transport: int) -> None:
        connected.setblocking(False)
        user: User | None = None
        who: Credentials | None = None
        try:
            who = credentials(connected)
            user = self.broker.user(who.uid)
            self._admit(connected, transport, user, who)
        except (KcoroError, OSError) as error:
            self._say_refused(who, error)
            self._tell_refused(connected, error)
        finally:
            self._close_refused(connected, transport, user)

    def _close_refused(self, connected: socket.socket, transport: int, user: User | None) -> None:
        """What was said on it may hold files of any kind: its user pays until they are closed."""
        account = NOBODY if user is None else user.account
        if connected.fileno() >= 0:
            self.broker.pump.close_socket(connected.detach(), transport, account)
        if user is not None:
            self.broker.settle(user)

    def _say_refused(self, who: Credentials | None, error: KcoroError | OSError) -> None:
        """Each one who it was; what is too much of one user is counted by the throttle."""
        about = {"why": error.message, **error.details} if isinstance(error, KcoroError) else {}
        if isinstance(error, OSError):
            about["why"] = error.strerror or type(error).__name__
        if who is not None:
            about = {"uid": who.uid, "pid": who.pid, **about}
            self.broker.talk.say(who.uid, logging.WARNING, "connection refused", **about)
        elif self._may_say("nameless"):
            say(logging.WARNING, "connection refused", **about)

    def _tell_refused(self, connected: socket.socket, error: KcoroError | OSError) -> None:
        """To the peer, if that is possible at once; HELLO would come too late."""
        if isinstance(error, KcoroError):
            with suppress(OSError):
                connected.send(refusal_frame(error), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                connected.shutdown(socket.SHUT_WR)

    def _admit(
        self, connected: socket.socket, transport: int, user: User, who: Credentials
    ) -> None:
        """Raises when it cannot be served at all; the caller closes the socket."""
        conn = self._add(connected, transport, user, who.pid)
        peer = Peer(conn, user, who.gid, who.groups, who.pid, transport, unmapped=who.unmapped)
        self.broker.join(peer)
        say(logging.DEBUG, "connected", conn=conn, uid=who.uid, pid=who.pid)

    def _add(self, connected: socket.socket, transport: int, user: User, pid: int) -> int:
        limits = self.broker.registry.limits
        if len(self.broker.registry.peers) >= limits.connections:
            raise limits.refuse("connections", len(self.broker.registry.peers))
        if user.connections >= limits.connections_per_uid + OVER_QUOTA_MOST:
            raise limits.refuse("connections_per_uid", user.connections)
        return self.broker.pump.add(connected.detach(), transport, user.account, pid)


def descriptor_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_descriptor_limit() -> int:
    """The soft limit of open files becomes the hard one; the limit now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft


def check_descriptor_limit(limits: Limits, most: int) -> None:
    """Says so when connections, regions and files may be more than the process may have open: who
    comes last is then turned away by the kernel, not by a quota that says its name."""
    wanted = limits.connections + limits.regions + limits.files + OWN_DESCRIPTORS
    if most < wanted:
        say(
            logging.WARNING,
            "descriptors may run out",
            descriptors=most,
            connections=limits.connections,
            regions=limits.regions,
            files=limits.files,
            advice=f"set LimitNOFILE={wanted} (ulimit -n), or lower limits with --limit",
        )
