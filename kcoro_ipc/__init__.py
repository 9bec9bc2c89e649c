"""Named channels between the programs of one Linux machine.

    async with kcoro_ipc.open_client() as client:
        jobs = await client.open_channel("jobs", kind="buffered", capacity=64)
        await jobs.send(b"payload")

`kcoro_ipc.blocking` has the same names without await, `kcoro_ipc.engine` channels inside one
process, `kcoro_ipc.errors` every exception.

This file is the list of public names and nothing else: each is loaded from its module when it is
first asked for, so that a shell command which needs the blocking client never pays for trio.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kcoro_ipc import blocking, engine, errors
    from kcoro_ipc.building import get_include
    from kcoro_ipc.client import Channel, Clause, Client, Inbox, Job, Selected, open_client
    from kcoro_ipc.errors import KcoroError
    from kcoro_ipc.files import File, Message, Sender
    from kcoro_ipc.regions import Lease, Loan

__version__ = "0.1.0"

# Where each public name lives; a name that stands for itself is a module.
_HOMES = {
    "Channel": "client",
    "Clause": "client",
    "Client": "client",
    "File": "files",
    "Inbox": "client",
    "Job": "client",
    "KcoroError": "errors",
    "Lease": "regions",
    "Loan": "regions",
    "Message": "files",
    "Selected": "client",
    "Sender": "files",
    "blocking": "blocking",
    "engine": "engine",
    "errors": "errors",
    "get_include": "building",
    "open_client": "client",
}

__all__ = [
    "Channel",
    "Clause",
    "Client",
    "File",
    "Inbox",
    "Job",
    "KcoroError",
    "Lease",
    "Loan",
    "Message",
    "Selected",
    "Sender",
    "__version__",
    "blocking",
    "engine",
    "errors",
    "get_include",
    "open_client",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{home}")
    value: object = module if name == home else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
