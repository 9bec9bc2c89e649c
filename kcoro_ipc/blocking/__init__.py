"""The blocking client: the names of kcoro_ipc.client without `await`, `timeout=` in seconds.

    client       connect, make, open, list, select   channel   send, receive, close
    connection   one request, then its reply         inbox     receive with acknowledgement
    handle       what the daemon granted

It imports neither trio nor construct: `kcoro send` and `kcoro recv` start with it.
"""

from kcoro_ipc.blocking.channel import Channel
from kcoro_ipc.blocking.client import Client, open_client
from kcoro_ipc.blocking.inbox import Inbox, Job
from kcoro_ipc.protocol.selects import Clause, Selected

__all__ = ["Channel", "Clause", "Client", "Inbox", "Job", "Selected", "open_client"]
