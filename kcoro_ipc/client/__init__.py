"""The trio client: named channels of the daemon as trio channels.

    opening      open_client                channel   send, receive, close
    dialing      connect and greet          link      the connection, and the next one
    connection   the reader and the writer  inbox     receive with acknowledgement
    client       make, open, list, select   handle    what the daemon granted

It stands on kcoro_ipc.protocol and adds only the waiting.
"""

from kcoro_ipc.client.channel import Channel
from kcoro_ipc.client.client import Client
from kcoro_ipc.client.inbox import Inbox, Job
from kcoro_ipc.client.opening import open_client
from kcoro_ipc.protocol.selects import Clause, Selected

__all__ = ["Channel", "Clause", "Client", "Inbox", "Job", "Selected", "open_client"]
