/* kcoro.h: all of kcoro for C and C++ users, and the one list of its public headers.
 *
 * The order is meaning: a header uses what those above it declare. The build reads these lines too: cffi's cdef, and
 * with it the Python module, is the preprocessor's view of this file with KC_CDEF defined, under which no header
 * includes the system's, defines a body or asserts.
 */
#ifndef KCORO_KCORO_H
#define KCORO_KCORO_H

#include <kcoro/kc_wire.h>   /* numbers: commands, attributes, codes, counters (generated) */
#include <kcoro/kc_types.h>  /* tickets, kinds, reasons, snapshots of results */
#include <kcoro/kc_engine.h> /* one arena with its channels, accounts, scopes, ports and clock */
#include <kcoro/kc_chan.h>   /* operations: send, receive, select, cancel, close, destroy, acks */
#include <kcoro/kc_desc.h>   /* messages that name memory; regions */
#include <kcoro/kc_file.h>   /* messages that carry open files */
#include <kcoro/kc_codec.h>  /* the frame reader, for comparison with the definition of the wire */
#include <kcoro/kc_pump.h>   /* connections: hot frames become operations, results become replies */
#include <kcoro/kc_turn.h>   /* sockets: one epoll set, drained and written once a turn */
#ifndef KC_CDEF
#include <kcoro/kc_ipc.h>    /* the daemon's channels for C programs; Python has clients of its own */
#endif

#ifndef KC_CDEF              /* the runtime: a library of its own, of which Python knows nothing */
#include <kcoro/kc_co.h>      /* coroutines */
#include <kcoro/kc_sched.h>   /* threads that run them */
#include <kcoro/kc_timer.h>   /* sleeping, and being unparked at a time */
#include <kcoro/kc_io.h>      /* waiting for open files; calls that block */
#include <kcoro/kc_cancel.h>  /* a tree of wishes that something end */
#include <kcoro/kc_channel.h> /* sends, receives and selects of coroutines and threads */
#include <kcoro/kc_task.h>    /* scopes of coroutines */
#include <kcoro/kc_actor.h>   /* coroutines that receive from one channel */
#include <kcoro/kc_remote.h>  /* the daemon's channels by the calls of the runtime's */
#endif

#endif
