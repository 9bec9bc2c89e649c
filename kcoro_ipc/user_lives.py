"""Lives of users: from the first that may be charged to them until nothing is any more.

Not who may do what (rights.py), and not their channels (channel_lives.py) and connections
(broker.py), which their records only count.

Invariants:
- A user has an account as long as the registry, a channel or a connection may charge it.
- Who has no connection is idle; after LEGACY_IDLE_NS what it left behind ends.
"""

from collections.abc import Callable, Iterator

from kcoro_ipc.books import Books
from kcoro_ipc.errors import QuotaExceeded
from kcoro_ipc.native import NativeEngine
from kcoro_ipc.pump import NativePump
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import User
from kcoro_ipc.registry import Registry

LEGACY_IDLE_NS = 60_000_000_000  # anonymous channels of 1.0 clients outlive their user's absence


def account_limits(limits: Limits) -> dict[str, int]:
    return {
        "parked": limits.parked_per_uid,
        "held": limits.held_per_uid,
        "channels": limits.channels_per_uid,
        "bytes": limits.bytes_per_uid,
        "files": limits.files_per_uid,
        "messages": limits.messages_per_uid,
    }


class UserLives:
    def __init__(
        self,
        engine: NativeEngine,
        pump: NativePump,
        registry: Registry,
        books: Books,
        clock: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._pump = pump
        self._registry = registry
        self._books = books
        self._clock = clock
        self._users: dict[int, User] = {}
        self._idle: dict[int, int] = {}  # uid -> since when it has no connection, oldest first

    def get(self, uid: int) -> User:
        """The user, with an account from now on. Raises when no account is left.

        Whoever asked calls `settle` when nothing came of it.
        """
        user = self._users.get(uid)
        if user is None:
            user = self._users[uid] = User(uid, self._account(uid))
            self._books.begin_user(uid)
        return user

    def _account(self, uid: int) -> int:
        limits = self._registry.limits
        try:
            return self._engine.account_make(uid, **account_limits(limits))
        except QuotaExceeded:
            raise limits.refuse("accounts", self._engine.usage()["accounts"]) from None

    def set_limits(self, limits: Limits) -> None:
        """Of those that are there. Who uses more keeps it, and gets no more."""
        for user in self._users.values():
            self._engine.account_limit(user.account, **account_limits(limits))

    # --- connections come and go ---

    def came(self, user: User) -> None:
        self._idle.pop(user.uid, None)

    def left(self, user: User) -> None:
        if not user.connections:
            self._idle[user.uid] = self._clock()

    def next_deadline_ns(self) -> int | None:
        """When `idle_for_long` has somebody to tell of."""
        since = next(iter(self._idle.values()), None)
        return None if since is None else since + LEGACY_IDLE_NS

    def idle_for_long(self) -> Iterator[User]:
        """Each once; who is told of it ends what they left behind and settles them."""
        now_ns = self._clock()
        for uid, since in list(self._idle.items()):
            if since + LEGACY_IDLE_NS > now_ns:
                break
            del self._idle[uid]
            yield self._users[uid]

    def settle(self, user: User) -> None:
        """Returns the account of a user without connections and channels. Safe twice.

        Who still pays for files is kept, and looked at again: coming back is no way to a new limit.
        """
        used = user.connections or user.channels or user.regions or user.uid in self._idle
        if used or user.uid not in self._users:
            return
        if self._engine.account_usage(user.account)["files"]:
            self._idle[user.uid] = self._clock()
        else:
            del self._users[user.uid]
            self._engine.account_free(user.account)
            self._books.end_user(user.uid)

    # --- looking ---

    def all(self) -> list[User]:
        """Those with an account."""
        return list(self._users.values())

    def is_known(self, user: User) -> bool:
        """Whether it still has its account."""
        return self._users.get(user.uid) is user

    def uid_of(self, account: int) -> int | None:
        return next((uid for uid, user in self._users.items() if user.account == account), None)

    def usage(self, user: User) -> dict[str, int]:
        """What a user has here now. It costs the same however much that is."""
        share = self._pump.share(user.account)
        account = self._engine.account_usage(user.account)
        return {
            "connections": user.connections,
            "channels": user.channels,
            "parked": account["parked"],
            "held": account["held"],
            "messages": account["messages"],
            "bytes": account["bytes"],
            "regions": user.regions,
            "region_bytes": user.region_bytes,
            "leases": share.leases,
            "files": account["files"],
            "slowed": share.slowed,
        }
