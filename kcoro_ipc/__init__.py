"""Named channels between the programs of one Linux machine.

This file is the list of public names and nothing else: each is loaded from its module when it is
first asked for, so that a shell command which needs the blocking client never pays for trio.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "open_client": "client",
    "blocking": "",
    "engine": "",
    "errors": "",
}

__all__ = ["__version__", "blocking", "engine", "errors", "open_client"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if home == "":
        return import_module(f"{__name__}.{name}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
