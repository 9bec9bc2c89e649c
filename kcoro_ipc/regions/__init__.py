"""The client's side of shared memory, without I/O on the connection: what is sent from and read in.

    memory    a region's memory: made and sealed, or mapped to be read
    views     who else looks at a piece of memory, and where it begins
    space     the free ranges of one region
    pool      regions of one connection to send from     loan      a range that is being written
    mappings  regions of others to read in               lease     a range that is being read
    releases  leases that have ended, until the daemon knows
    parcels   what a value goes out as                   side      both of them for one connection

Both clients stand on this; none of it waits, and it knows no socket: frames go out through a
function that the client gives it.
"""

from kcoro_ipc.regions.lease import Lease
from kcoro_ipc.regions.loan import Loan
from kcoro_ipc.regions.parcels import Parcel
from kcoro_ipc.regions.side import INLINE_BELOW, POOL_BYTES, ZERO_COPY_FROM, Settings, Side

__all__ = [
    "INLINE_BELOW",
    "POOL_BYTES",
    "ZERO_COPY_FROM",
    "Lease",
    "Loan",
    "Parcel",
    "Settings",
    "Side",
]
