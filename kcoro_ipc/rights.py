"""What a mode and what rules give one peer on one channel: functions of records, and their words.

Who is an administrator, and when both are asked, is the registry's.
"""

from kcoro_ipc.access import RECEIVE, SEE, SEND, Rules, allowed
from kcoro_ipc.records import MANAGE, READ, WRITE, Channel, Peer

OPERATIONS = {READ: RECEIVE, WRITE: SEND}  # what the rules call the rights of a handle


def by_mode(peer: Peer, channel: Channel) -> int:
    mode = channel.settings.mode
    if peer.uid == channel.uid:
        return _bits(mode >> 6) | MANAGE
    if channel.name is None:
        return 0
    return _bits(mode >> 3 if channel.gid in peer.groups else mode)


def by_rules(rules: Rules, name: str | None) -> int:
    """Who may not see it has no right at all; managing is what the mode alone decides."""
    left = allowed(rules, name or "")
    if not left & SEE:
        return 0
    rights = [right for right, operation in OPERATIONS.items() if left & operation]
    return sum(rights, MANAGE)


def _bits(mode: int) -> int:
    return (READ if mode & 4 else 0) | (WRITE if mode & 2 else 0) | (MANAGE if mode & 1 else 0)


def words(rights: int) -> str:
    words = {READ: "receiving", WRITE: "sending", MANAGE: "managing"}
    return " and ".join(word for right, word in words.items() if rights & right)
