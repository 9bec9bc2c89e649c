/* kcoro.hpp: all of the C++ face, and the one list of its headers: each uses what stands above it.
 *
 * C++20, headers only; what they call is the C runtime (kc_channel.h and the like). docs/CPP.md is a tour.
 */
#ifndef KCORO_CPP_KCORO_HPP
#define KCORO_CPP_KCORO_HPP

#include "kcoro/cpp/result.hpp"    /* result<T>, codes, error */
#include "kcoro/cpp/waiting.hpp"   /* deadlines in std::chrono; exceptions and parking */
#include "kcoro/cpp/cancel.hpp"    /* the tree of cancellations */
#include "kcoro/cpp/scheduler.hpp" /* workers, coroutines with stacks */
#include "kcoro/cpp/message.hpp"   /* objects on their way */
#include "kcoro/cpp/hub.hpp"       /* what channels share */
#include "kcoro/cpp/channel.hpp"   /* channel<T> and its range */
#include "kcoro/cpp/select.hpp"    /* one of several */
#include "kcoro/cpp/memory.hpp"    /* zero copy: loans, leases, descriptors */
#include "kcoro/cpp/scope.hpp"     /* leaving it leaves nobody behind */
#include "kcoro/cpp/actor.hpp"     /* one message after the other */
#include "kcoro/cpp/executor.hpp"  /* who resumes tasks */
#include "kcoro/cpp/task.hpp"      /* task<T> of C++20 */
#include "kcoro/cpp/async.hpp"     /* what a task awaits */
#include "kcoro/cpp/look.hpp"      /* tokens and cells, for tools */
#include "kcoro/cpp/delivery.hpp"  /* whole messages of the daemon */
#include "kcoro/cpp/daemon_channel.hpp" /* its channels of them */
#include "kcoro/cpp/ipc.hpp"       /* connections, and their channels */

#endif
