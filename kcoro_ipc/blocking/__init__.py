"""The blocking client: the names of kcoro_ipc.client without `await`, `timeout=` in seconds.

    opening      open_client                         channel   send, receive, close
    dialing      connect and greet                   link      the connection, and the next one
    client       make, open, list, select            inbox     receive with acknowledgement
    connection   one request, then its reply         handle    what the daemon granted
    inflow       bytes that came, as frames          outflow   frames that go
    sorting      replies, notices, events            ending    why it cannot be used any more
    timeouts     seconds for the wire and the socket

It imports neither trio nor construct: `kcoro send` and `kcoro recv` start with it.
"""

from kcoro_ipc.blocking.channel import Channel
from kcoro_ipc.blocking.client import Client
from kcoro_ipc.blocking.inbox import Inbox, Job
from kcoro_ipc.blocking.opening import open_client
from kcoro_ipc.protocol.selects import Clause, Selected

__all__ = ["Channel", "Clause", "Client", "Inbox", "Job", "Selected", "open_client"]
