"""What one peer may do with one channel: by its mode, by the rules, as an administrator.

Functions say what a mode and what rules give; a judge asks both, and has the words of a refusal.
Which channels there are, and which one a name stands for, is the registry's.
"""

from kcoro_ipc.access import MAKE, RECEIVE, SEE, SEND, Policy, Rules, allowed, forbidding
from kcoro_ipc.errors import AccessDenied, NoSuchChannel
from kcoro_ipc.records import BOTH, MANAGE, READ, WRITE, Channel, Peer

OPERATIONS = {READ: RECEIVE, WRITE: SEND}  # what the rules call the rights of a handle


class HiddenChannel(NoSuchChannel):
    """It exists and this peer may not know; told as ENOENT, logged as a refusal."""


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


class Judge:
    """`policy` may be replaced at any time; what peers know of it is renewed when it is asked."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def rights(self, peer: Peer, channel: Channel) -> int:
        """READ, WRITE and MANAGE as mode and rules give them; 0: the channel is not visible."""
        if self.is_admin(peer):
            return BOTH | MANAGE
        found = by_mode(peer, channel)
        rules = self.rules(peer)
        return found & by_rules(rules, channel.name) if found and rules else found

    def permit(self, peer: Peer, channel: Channel, wanted: int) -> None:
        """HiddenChannel where the channel is not visible, AccessDenied where a right is missing."""
        found = self.rights(peer, channel)
        if not found:
            raise HiddenChannel
        missing = wanted & ~found
        if missing:
            self.permit_by_rules(peer, channel.name, missing)
            raise AccessDenied(f"the mode {channel.settings.mode:04o} forbids {words(missing)}")

    def permit_owning(self, peer: Peer, channel: Channel) -> None:
        """For what only the owner, root and the admin group may do."""
        self.permit(peer, channel, 0)
        if peer.uid != channel.uid and not self.is_admin(peer):
            raise AccessDenied("only its owner, root and the admin group change mode and owner")

    def permit_making(self, peer: Peer, name: str | None, wanted: int) -> None:
        """AccessDenied when the rules forbid making it, or seeing it, which would hide it from its
        maker, or what its maker wants to do with it."""
        self._permit(peer, name, MAKE, "making")
        self._permit(peer, name, SEE, "seeing")
        self.permit_by_rules(peer, name, wanted)

    def permit_by_rules(self, peer: Peer, name: str | None, wanted: int) -> None:
        """As `permit`, the rules alone."""
        for right, operation in OPERATIONS.items():
            if wanted & right:
                self._permit(peer, name, operation, words(right))

    def _permit(self, peer: Peer, name: str | None, operation: int, word: str) -> None:
        rule = forbidding(self.rules(peer), operation, name or "")
        if rule is not None:
            raise AccessDenied(f"rule[{rule.place}] of the daemon's configuration forbids {word}")

    def knows(self, asker: Peer, peer: Peer) -> bool:
        """Whether one connection may know who the other is: the same user, or an administrator."""
        return asker.uid == peer.uid or self.is_admin(asker)

    def is_admin(self, peer: Peer) -> bool:
        self.rules(peer)
        return peer.admin

    def rules(self, peer: Peer) -> Rules:
        """Those about the peer; found anew when the policy is another one."""
        if peer.policy is not self.policy:
            peer.policy = self.policy
            peer.admin = self.policy.is_admin(peer.uid, peer.groups)
            peer.rules = self.policy.rules_about(peer.uid, peer.groups)
        return peer.rules
