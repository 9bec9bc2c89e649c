"""What one uid, connection or channel may use, and how a refusal names the limit.

Rates are no quotas: whoever is faster is not refused but not read until its time has come.

`kcoro serve --limit NAME=N` sets one. The words are those of native/ipc/pump_words.c, which refuses
hot frames.
"""

from dataclasses import dataclass

from kcoro_ipc.errors import QuotaExceeded

_WORDS = {"tokens": "waiters", "clauses": "select clauses", "accounts": "uids"}


def words(name: str) -> tuple[str, str]:
    """QUOTA_NAME and QUOTA_SETTING of a limit."""
    return _WORDS.get(name, name.replace("_", " ")), f"limits.{name}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Defaults; those without `per` are sizes of tables, fixed when the daemon starts. Frames per
    second are rates, 0 for none."""

    connections_per_uid: int = 16_384
    channels_per_uid: int = 16_384
    parked_per_uid: int = 65_536
    held_per_uid: int = 65_536
    bytes_per_uid: int = 256 << 20
    messages_per_uid: int = 1 << 21
    files_per_uid: int = 1_024
    region_bytes_per_uid: int = 4 << 30
    regions_per_uid: int = 16_384
    parked_per_channel: int = 16_384
    parked_per_connection: int = 1_024
    held_per_connection: int = 4_096
    requests_per_connection: int = 2_048
    handles_per_connection: int = 16_384
    openings_per_connection: int = 64
    openings_per_uid: int = 1_024
    subscriptions_per_connection: int = 64
    regions_per_connection: int = 256
    frames_per_second_per_uid: int = 0
    frames_per_second_per_connection: int = 0
    connections: int = 131_072
    channels: int = 65_536
    tokens: int = 1 << 20
    clauses: int = 1 << 20
    messages: int = 1 << 22
    accounts: int = 4_096
    regions: int = 65_536
    files: int = 4_096
    bytes: int = 8 << 30

    def refuse(self, name: str, usage: int) -> QuotaExceeded:
        quota, setting = words(name)
        limit: int = getattr(self, name)
        return QuotaExceeded(quota=quota, limit=limit, usage=usage, setting=setting)
