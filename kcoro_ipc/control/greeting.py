"""HELLO and GET_INFO: who speaks, in which version, and how long a frame may be.

HELLO is the first frame of a connection, once; a connection over its user's quota, and one whose
user this daemon cannot tell, is refused here, so that the client learns why.
"""

import os

from kcoro_ipc import _wire
from kcoro_ipc.broker import Broker
from kcoro_ipc.control.request import Outcome, Request, Then, failure
from kcoro_ipc.errors import AccessDenied, InvalidArgument, KcoroError, VersionMismatch
from kcoro_ipc.frames import Pair, build_frame
from kcoro_ipc.pump import SEQPACKET
from kcoro_ipc.quotas import words
from kcoro_ipc.records import Peer

OUR_CAPS = _wire.CAP_DESCRIPTORS | _wire.CAP_FILES
LEAST_MAX_FRAME = 4096  # below this not every answer could be told
MISSING = -1


def hello(broker: Broker, request: Request) -> Outcome:
    """Raises what refuses it, for `refusal`."""
    peer = request.peer
    peer.client_name = request.text(_wire.ATTR_CLIENT_NAME)
    minor = _agreed_minor(request)
    peer.max_frame = _max_frame(request)
    _check_known(broker, peer)
    if peer.over_quota:
        raise broker.registry.limits.refuse("connections_per_uid", peer.user.connections)
    peer.minor = minor
    pairs = _versions(minor)
    if minor:
        pairs += [(_wire.ATTR_CAPS, OUR_CAPS), (_wire.ATTR_MAX_FRAME, frame_limit(peer))]
    caps = request.number(_wire.ATTR_CAPS) & OUR_CAPS if minor else 0
    if caps & _wire.CAP_DESCRIPTORS:
        pairs += _quota(broker, "region_bytes_per_uid")
    frame = build_frame(_wire.CMD_HELLO, pairs, 0)
    return Outcome(Then.REPLY, frame, greet=(minor, peer.max_frame, caps))


def _check_known(broker: Broker, peer: Peer) -> None:
    """The kernel names users that do not exist in the daemon's user namespace all alike."""
    if peer.unmapped and not broker.registry.judge.policy.allow_unmapped:
        raise AccessDenied(
            f"credentials from another user namespace (uid {peer.uid}, gid {peer.gid}); run this "
            "in the daemon's, or set access.allow_unmapped in the daemon's configuration"
        )


def _agreed_minor(request: Request) -> int:
    major = request.number(_wire.ATTR_ABI_MAJOR, MISSING)
    minor = request.number(_wire.ATTR_ABI_MINOR, MISSING)
    if major == MISSING or (major, minor) in ((0, 0), (0, MISSING)):
        raise InvalidArgument("HELLO carries ABI_MAJOR and ABI_MINOR")
    if major != _wire.ABI_MAJOR:
        raise VersionMismatch(f"this daemon speaks ABI {_wire.ABI_MAJOR}, not {major}")
    return min(max(minor, 0), _wire.ABI_MINOR)


def _max_frame(request: Request) -> int:
    """The longest payload that this peer takes and its transport carries."""
    asked = request.number(_wire.ATTR_MAX_FRAME, _wire.MAX_FRAME_BYTES)
    if asked < LEAST_MAX_FRAME:
        raise InvalidArgument(f"MAX_FRAME is at least {LEAST_MAX_FRAME}, not {asked}")
    return min(asked, frame_limit(request.peer))


def frame_limit(peer: Peer) -> int:
    if peer.transport == SEQPACKET:
        return _wire.MAX_SEQPACKET_FRAME_BYTES
    return _wire.MAX_FRAME_BYTES


def _versions(minor: int) -> list[Pair]:
    return [(_wire.ATTR_ABI_MAJOR, _wire.ABI_MAJOR), (_wire.ATTR_ABI_MINOR, minor)]


def _quota(broker: Broker, name: str) -> list[Pair]:
    """For who would otherwise fill that much memory first and be refused then."""
    quota, setting = words(name)
    limit = getattr(broker.registry.limits, name)
    return [
        (_wire.ATTR_QUOTA_LIMIT, limit),
        (_wire.ATTR_QUOTA_NAME, quota),
        (_wire.ATTR_QUOTA_SETTING, setting),
    ]


def refusal_frame(error: KcoroError) -> bytes:
    """The answer to a HELLO that is refused."""
    return build_frame(_wire.CMD_HELLO, _versions(_wire.ABI_MINOR) + failure(error, minor=1), 0)


def refusal(error: KcoroError) -> Outcome:
    return Outcome(Then.REPLY, refusal_frame(error), end=error.code)


def get_info(broker: Broker, request: Request) -> Outcome:
    """Versions and, in 1.1, the frame limit, the daemon's own pid and uid, and what the asking user
    has here."""
    caps = OUR_CAPS if request.minor else 0
    pairs: list[Pair] = [*_versions(request.minor), (_wire.ATTR_CAPS, caps)]
    if request.minor:
        pairs += [
            (_wire.ATTR_MAX_FRAME, frame_limit(request.peer)),
            (_wire.ATTR_SENDER_PID, os.getpid()),
            (_wire.ATTR_SENDER_UID, os.getuid()),
        ]
        pairs += [
            (_wire.ATTR_ITEM, [(_wire.ATTR_NAME, name), (_wire.ATTR_VALUE, value)])
            for name, value in broker.users.usage(request.peer.user).items()
        ]
    return request.done(*pairs)
