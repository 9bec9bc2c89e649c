"""The client's side of a connection without I/O: bytes in, replies out; values in, frames out.

    attributes   any attribute, the general way        address   where the daemon is
    requests     frames to send                        channels  options of a channel, what it is
    replies      frames received, in batches           batches   long lists cut into frames
    exchange     requests that wait for replies        outcome   what a reply means
    handles      what the daemon granted               selects   one of several clauses
    items        deliveries, read fast                 deliveries  what a receive brought
    greeting     what the daemon is                    waiters   who waits at a channel

Both clients (kcoro_ipc.client on trio, kcoro_ipc.blocking) stand on this and add only the waiting.
Nothing here waits, opens a socket or looks at a clock, so a peer is easy to script in a test.
"""
