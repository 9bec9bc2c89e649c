"""A configuration in the words of its file, which config.py would read as the same one.

Users and groups are numbers, amounts bytes, modes octal digits, times seconds. A key that only its
absence can say (the daemon finds it out by itself, or there is none) is None.
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.access import OPERATIONS, Rule
from kcoro_ipc.config_forms import (
    LISTS,
    PLAIN_KEYS,
    TABLES,
    WAITING_BYTES,
    Config,
    Declared,
)
from kcoro_ipc.protocol.channels import KIND_NAMES, OVERFLOW_NAMES, UNDELIVERED
from kcoro_ipc.records import Settings

_UNDELIVERED_NAMES = {number: word for word, number in UNDELIVERED.items()}


def shown_config(config: Config) -> dict[str, Any]:
    policy = config.policy
    return {
        **{key: shown_setting(key, getattr(config, key)) for key in PLAIN_KEYS},
        "limits": dataclasses.asdict(config.limits),
        "access": {
            "admin_group": "" if policy.admin_gid is None else str(policy.admin_gid),
            "allow_unmapped": policy.allow_unmapped,
        },
        "channel": [shown_channel(one) for one in config.channels],
        "rule": [shown_rule(one) for one in policy.rules],
    }


def shown_setting(key: str, value: Any) -> Any:
    """Of a key before the first table."""
    if key == "socket_mode" and value is not None:
        return octal(value)
    return list(value) if isinstance(value, tuple) else value


def shown_channel(one: Declared) -> dict[str, Any]:
    settings = shown_settings(one.settings)
    return {"name": one.name, "owner": one.owner.uid, "group": one.owner.gid, **settings}


def shown_settings(settings: Settings) -> dict[str, Any]:
    return {
        "kind": KIND_NAMES[settings.kind],
        "capacity": settings.capacity,
        "mode": octal(settings.mode),
        "overflow": OVERFLOW_NAMES[settings.overflow],
        "undelivered": _UNDELIVERED_NAMES.get(settings.undelivered),
        "ack": "required" if settings.flags & _wire.FLAG_CHAN_ACK_REQUIRED else "optional",
        "dead_letter": settings.dead_letter,
        "max_attempts": settings.max_attempts,
        "max_bytes": settings.max_bytes or WAITING_BYTES,
        "elem_size": settings.elem_size,
        "fixed_size": bool(settings.flags & _wire.FLAG_CHAN_FIXED_SIZE),
        "ttl": settings.ttl_ms / 1000 if settings.ttl_ms else None,
        "file_ttl": settings.file_ttl_ms / 1000 if settings.file_ttl_ms else None,
    }


def shown_rule(one: Rule) -> dict[str, Any]:
    words = [word for word, bit in OPERATIONS.items() if one.operations & bit]
    return {
        "allow" if one.allow else "deny": words,
        "name": one.pattern,
        "users": sorted(one.uids),
        "groups": sorted(one.gids),
    }


def octal(mode: int) -> str:
    return f"{mode:04o}"


def toml(values: dict[str, Any]) -> Iterator[str]:
    """The lines of a file that says what `shown_config` gave; what is None is a comment."""
    plain = {key: value for key, value in values.items() if key not in TABLES | LISTS}
    yield from _pairs(plain)
    for table in TABLES:
        yield from ("", f"[{table}]", *_pairs(values[table]))
    for table in LISTS:
        for one in values[table]:
            yield from ("", f"[[{table}]]", *_pairs(one))


def _pairs(values: dict[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        yield f"#{key} =" if value is None else f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    """JSON is TOML for all that stands in the file, but for a DEL as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
