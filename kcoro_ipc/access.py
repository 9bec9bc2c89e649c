"""Rules of the administrator: who may make, send to, receive from and see which channels.

Pure: no files, no users' names, no frames; kcoro_ipc/config.py reads rules, rights.py asks them.
Rules only take away: what a rule allows must also be allowed by the channel's mode. Root and the
admin group stand outside.

How one question (who, operation, name) is answered: the rules are looked at in the order of the
file; the first that matches all three decides. Where none matches the operation is allowed.
- who: a rule without users and groups matches everybody; else one of its users must be the peer's,
  or one of its groups one of the peer's.
- operation: it is among the rule's.
- name: the whole name fits the pattern, in which `*` stands for anything, `?` for one sign, `[ab]`
  for one of these, and upper and lower case differ. An anonymous channel has the empty name.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from fnmatch import translate

MAKE, SEND, RECEIVE, SEE = 1, 2, 4, 8
ALL = MAKE | SEND | RECEIVE | SEE
OPERATIONS = {"make": MAKE, "send": SEND, "receive": RECEIVE, "see": SEE}
ROOT = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """`place`: which one of the file, from 0."""

    place: int
    allow: bool
    operations: int
    pattern: str = "*"
    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()
    _name: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_name", re.compile(translate(self.pattern)))

    def is_about(self, uid: int, groups: Collection[int]) -> bool:
        anybody = not self.uids and not self.gids
        return anybody or uid in self.uids or not self.gids.isdisjoint(groups)

    def names(self, name: str) -> bool:
        return self._name.match(name) is not None


Rules = tuple[Rule, ...]


def allowed(rules: Rules, name: str) -> int:
    """The operations that rules about one peer leave on a name."""
    found, open_ = ALL, ALL
    for rule in rules:
        decided = rule.operations & open_
        if decided and rule.names(name):
            open_ &= ~decided
            if not rule.allow:
                found &= ~decided
            if not open_:
                break
    return found


def forbidding(rules: Rules, operation: int, name: str) -> Rule | None:
    """The rule that forbids it; None: it is allowed."""
    for rule in rules:
        if rule.operations & operation and rule.names(name):
            return None if rule.allow else rule
    return None


@dataclass(frozen=True)
class Policy:
    """What one reading of the configuration says; a reload puts another in its place."""

    rules: Rules = ()
    admin_gid: int | None = None
    allow_unmapped: bool = False

    def is_admin(self, uid: int, groups: Collection[int]) -> bool:
        return uid == ROOT or (self.admin_gid is not None and self.admin_gid in groups)

    def rules_about(self, uid: int, groups: Collection[int]) -> Rules:
        """None of them for root and the admin group."""
        if self.is_admin(uid, groups):
            return ()
        return tuple(rule for rule in self.rules if rule.is_about(uid, groups))
