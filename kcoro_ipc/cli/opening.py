"""A channel by name for send, recv and select: opened if it is there, else made.

What they make is for the moment: rendezvous, 0600, gone with its last handle. What is there is
taken as it is, whatever its kind.
"""

from typing import TYPE_CHECKING

from kcoro_ipc.errors import ChannelExists, NoSuchChannel

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Channel, Client
    from kcoro_ipc.protocol.channels import ChannelOptions

# Between open ("not there") and make ("there") others may make and destroy it. A name that is
# taken by a channel we may not see answers the same way, and for ever.
ATTEMPTS = 5


def open_end(
    client: "Client",
    name: str,
    *,
    existing: bool,
    wait: bool,
    timeout: float | None,
    read: bool = True,
    write: bool = True,
) -> "Channel":
    """A handle with the rights asked for."""
    rights: ChannelOptions = {"read": read, "write": write}
    made: ChannelOptions = {**rights, "ephemeral": True, "mode": 0o600}
    if wait:
        return client.open_channel(name, wait=True, timeout=timeout, **rights)
    for attempt in range(ATTEMPTS):
        try:
            return client.open_channel(name, existing=True, **rights)
        except NoSuchChannel:
            if existing:
                raise
        try:
            return client.make_channel(name, **made)
        except ChannelExists:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")
