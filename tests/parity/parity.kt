// parity.kt: scripted scenarios of channels, select, cancels, scopes and actors; one line of events for each.
//
// The same scenarios stand in tests/native/parity/*.c, name by name and step by step. tools/parity.sh runs this file and
// keeps what it says in kotlin.txt. Everything runs in one thread, first come, first served. A line is
//     NAME: EVENTS | sent N received N closed N cancelled N timeout N
// in which the numbers count how operations on channels ended.

import kotlinx.coroutines.*
import kotlinx.coroutines.channels.*
import kotlinx.coroutines.selects.*

val events = ArrayList<String>()
val counts = IntArray(5)

enum class End { SENT, RECEIVED, CLOSED, CANCELLED, TIMEOUT }

fun say(event: String) {
    events.add(event)
}

fun ended(who: String, end: End, word: String) {
    counts[end.ordinal]++
    say("$who $word")
}

// How an operation ends is an event. What cancelled it goes on being thrown by whatever waits next.
suspend fun noted(who: String, end: End, act: suspend () -> String) {
    try {
        ended(who, end, act())
    } catch (e: ClosedSendChannelException) {
        ended(who, End.CLOSED, "closed")
    } catch (e: ClosedReceiveChannelException) {
        ended(who, End.CLOSED, "closed")
    } catch (e: CancellationException) {
        ended(who, End.CANCELLED, "cancelled")
    }
}

suspend fun sends(who: String, to: SendChannel<Int>, value: Int) = noted(who, End.SENT) {
    to.send(value)
    "sent"
}

suspend fun receives(who: String, from: ReceiveChannel<Int>) = noted(who, End.RECEIVED) { from.receive().toString() }

fun triesToSend(who: String, to: SendChannel<Int>, value: Int) {
    try {
        if (to.offer(value)) ended(who, End.SENT, "sent") else say("$who full")
    } catch (e: ClosedSendChannelException) {
        ended(who, End.CLOSED, "closed")
    }
}

fun triesToReceive(who: String, from: ReceiveChannel<Int>) {
    val value = from.poll()
    if (value != null) ended(who, End.RECEIVED, value.toString()) else say("$who empty")
}

suspend fun receivesUntil(who: String, from: ReceiveChannel<Int>, ms: Long) {
    val value = withTimeoutOrNull(ms) { from.receive() }
    if (value != null) ended(who, End.RECEIVED, value.toString()) else ended(who, End.TIMEOUT, "timeout")
}

suspend fun sendsUntil(who: String, to: SendChannel<Int>, value: Int, ms: Long) {
    val done = withTimeoutOrNull(ms) { to.send(value) }
    if (done != null) ended(who, End.SENT, "sent") else ended(who, End.TIMEOUT, "timeout")
}

// All others get as far as they can.
suspend fun settle() = repeat(20) { yield() }

fun CoroutineScope.sender(who: String, to: SendChannel<Int>, vararg values: Int) =
    launch { for (value in values) sends(who, to, value) }

fun CoroutineScope.receiver(who: String, from: ReceiveChannel<Int>, times: Int = 1) =
    launch { repeat(times) { receives(who, from) } }

// A select of receives; the event names the place of the clause.
suspend fun selects(who: String, vararg from: ReceiveChannel<Int>) = noted(who, End.RECEIVED) {
    select<String> {
        from.forEachIndexed { place, channel -> channel.onReceive { "$place:$it" } }
    }
}

// A select of sends: 10 to the first, 11 to the second.
suspend fun selectsSends(who: String, vararg to: SendChannel<Int>) = noted(who, End.SENT) {
    select<String> {
        to.forEachIndexed { place, channel -> channel.onSend(10 + place) { "$place:sent" } }
    }
}

fun scenario(name: String, play: suspend CoroutineScope.() -> Unit) {
    events.clear()
    counts.fill(0)
    try {
        runBlocking { play() }
    } catch (e: StackOverflowError) {
        say("StackOverflowError")
    }
    val numbers = End.values().joinToString(" ") { "${it.name.toLowerCase()} ${counts[it.ordinal]}" }
    println("$name: ${events.joinToString(", ")} | $numbers")
}

fun kinds(name: String, play: suspend CoroutineScope.(Channel<Int>) -> Unit) {
    val capacities = listOf("rendezvous" to 0, "buffered" to 2, "conflated" to Channel.CONFLATED,
        "unlimited" to Channel.UNLIMITED)
    for ((kind, capacity) in capacities) scenario("$name-$kind") { play(Channel(capacity)) }
}

fun channels() {
    kinds("send-then-receive") { c ->
        sender("s", c, 1, 2, 3, 4)
        settle()
        receiver("r", c, 2)
        settle()
        say("close")
        c.close()
        receiver("q", c, 3)
        settle()
    }
    kinds("receive-then-send") { c ->
        receiver("r", c, 2)
        receiver("q", c, 2)
        settle()
        sender("s", c, 1, 2, 3, 4)
        settle()
        c.close()
        settle()
    }
    kinds("two-senders-two-receivers") { c ->
        sender("s", c, 1, 2, 3)
        sender("t", c, 11, 12, 13)
        receiver("r", c, 3)
        receiver("q", c, 3)
        settle()
        c.close()
        settle()
    }
    kinds("tries") { c ->
        triesToReceive("r", c)
        for (value in 1..3) triesToSend("s", c, value)
        for (time in 1..3) triesToReceive("r", c)
        receiver("q", c)
        settle()
        triesToSend("s", c, 4)
        settle()
        c.close()
        triesToSend("s", c, 5)
    }
    kinds("try-receive-after-close") { c ->
        triesToSend("s", c, 1)
        c.close()
        triesToReceive("r", c)
        triesToReceive("r", c)
    }
    scenario("try-meets-parked-sender") {
        val c = Channel<Int>()
        sender("s", c, 1)
        settle()
        triesToReceive("r", c)
        settle()
    }
    kinds("close-with-parked-receivers") { c ->
        for (who in listOf("r", "q", "p")) receiver(who, c)
        settle()
        say("close")
        c.close()
        say("closed it")
        settle()
    }
    kinds("close-with-parked-senders") { c ->
        for ((place, who) in listOf("s", "t", "u", "v").withIndex()) sender(who, c, place + 1)
        settle()
        say("close")
        c.close()
        sender("late", c, 9)
        settle()
        receiver("r", c, 5)
        settle()
    }
    scenario("close-twice") {
        val c = Channel<Int>(2)
        sends("s", c, 1)
        c.close()
        c.close()
        receives("r", c)
        receives("r", c)
        receives("r", c)
        sends("s", c, 2)
    }
    kinds("destroy-with-parked-receivers") { c ->
        receiver("r", c)
        receiver("q", c)
        settle()
        say("destroy")
        c.cancel()
        settle()
        sender("late", c, 9)
        settle()
    }
    kinds("destroy-with-parked-senders") { c ->
        for ((place, who) in listOf("s", "t", "u", "v").withIndex()) sender(who, c, place + 1)
        settle()
        say("destroy")
        c.cancel()
        settle()
        receiver("late", c)
        settle()
    }
}

fun cancels() {
    kinds("receive-cancelled-before-parking") { c ->
        triesToSend("s", c, 1)
        val r = receiver("r", c)
        yield()
        settle()
        val p = launch(start = CoroutineStart.ATOMIC) {
            say("p starts")
            receives("p", c)
        }
        p.cancel()
        settle()
        triesToSend("s", c, 2)
        settle()
        r.cancel()
        c.cancel()
    }
    kinds("send-cancelled-before-parking") { c ->
        val s = launch(start = CoroutineStart.ATOMIC) {
            say("s starts")
            sends("s", c, 1)
        }
        s.cancel()
        settle()
        triesToReceive("r", c)
    }
    scenario("child-cancelled-before-it-started") {
        val c = Channel<Int>()
        val r = receiver("r", c)
        r.cancel()
        settle()
        say("cancelled ${r.isCancelled}")
    }
    scenario("receive-cancelled-while-parked") {
        val c = Channel<Int>()
        val r = receiver("r", c)
        receiver("q", c)
        settle()
        r.cancel()
        say("cancel")
        sends("s", c, 1)
        settle()
    }
    scenario("send-cancelled-while-parked") {
        val c = Channel<Int>()
        val s = sender("s", c, 1)
        sender("t", c, 2)
        settle()
        s.cancel()
        say("cancel")
        receives("r", c)
        settle()
    }
    scenario("send-cancelled-in-a-full-buffer") {
        val c = Channel<Int>(1)
        val s = sender("s", c, 1, 2)
        sender("t", c, 3)
        settle()
        s.cancel()
        receives("r", c)
        receives("r", c)
        settle()
        triesToReceive("r", c)
    }
    scenario("receive-cancelled-after-the-match") {
        val c = Channel<Int>()
        val r = receiver("r", c)
        settle()
        sends("s", c, 1)
        r.cancel()
        say("cancel")
        settle()
    }
    scenario("send-cancelled-after-the-match") {
        val c = Channel<Int>()
        val s = sender("s", c, 1)
        settle()
        receives("r", c)
        s.cancel()
        say("cancel")
        settle()
    }
    scenario("middle-one-of-three-cancelled") {
        val c = Channel<Int>()
        val jobs = listOf("r", "q", "p").map { receiver(it, c) }
        settle()
        jobs[1].cancel()
        sends("s", c, 1)
        sends("s", c, 2)
        settle()
    }
    scenario("cancelled-twice") {
        val c = Channel<Int>()
        val r = receiver("r", c)
        settle()
        r.cancel()
        r.cancel()
        settle()
        triesToSend("s", c, 1)
    }
    scenario("last-parked-sender-of-a-closed-channel-cancelled") {
        val c = Channel<Int>()
        val s = sender("s", c, 1)
        settle()
        c.close()
        s.cancel()
        settle()
        receives("r", c)
    }
}

fun selections() {
    scenario("select-biased") {
        val a = Channel<Int>(3)
        val b = Channel<Int>(3)
        for (value in 1..3) {
            sends("s", a, value)
            sends("s", b, 10 + value)
        }
        repeat(6) { selects("x", a, b) }
    }
    scenario("select-unbiased-takes-both") {
        val a = Channel<Int>(Channel.UNLIMITED)
        val b = Channel<Int>(Channel.UNLIMITED)
        val taken = IntArray(2)
        for (value in 1..100) {
            a.offer(value)
            b.offer(value)
        }
        repeat(100) {
            taken[selectUnbiased<Int> {
                a.onReceive { 0 }
                b.onReceive { 1 }
            }]++
        }
        say("together ${taken[0] + taken[1]}")
        say("first ${taken[0] > 0}")
        say("second ${taken[1] > 0}")
    }
    scenario("select-parked-then-sent") {
        val a = Channel<Int>()
        val b = Channel<Int>()
        launch { selects("x", a, b) }
        settle()
        sender("s", b, 1)
        sender("t", a, 2)
        settle()
        receives("r", a)
        settle()
    }
    scenario("select-sends-to-who-waits") {
        val a = Channel<Int>()
        val b = Channel<Int>()
        receiver("r", b)
        settle()
        selectsSends("x", a, b)
        settle()
    }
    scenario("select-parked-sends") {
        val a = Channel<Int>()
        val b = Channel<Int>()
        launch { selectsSends("x", a, b) }
        settle()
        receives("r", b)
        settle()
        triesToReceive("q", a)
    }
    scenario("select-cancelled-while-parked") {
        val a = Channel<Int>()
        val b = Channel<Int>()
        val x = launch { selects("x", a, b) }
        settle()
        x.cancel()
        settle()
        triesToSend("s", a, 1)
        triesToSend("s", b, 2)
    }
    scenario("select-cancelled-before-parking") {
        val a = Channel<Int>(1)
        sends("s", a, 1)
        val x = launch(start = CoroutineStart.ATOMIC) { selects("x", a) }
        x.cancel()
        settle()
        triesToReceive("r", a)
    }
    scenario("select-cancelled-after-the-match") {
        val a = Channel<Int>()
        val b = Channel<Int>()
        val x = launch { selects("x", a, b) }
        settle()
        sends("s", b, 1)
        x.cancel()
        settle()
    }
    scenario("select-of-a-closed-channel") {
        val a = Channel<Int>()
        val b = Channel<Int>()
        b.close()
        selects("x", a, b)
    }
    scenario("select-parked-then-closed") {
        val a = Channel<Int>()
        val b = Channel<Int>()
        launch { selects("x", a, b) }
        settle()
        say("close")
        b.close()
        settle()
        triesToSend("s", a, 1)
    }
    scenario("select-in-line-with-receivers") {
        val a = Channel<Int>()
        val b = Channel<Int>()
        receiver("r", a)
        launch { selects("x", b, a) }
        receiver("q", a)
        settle()
        for (value in 1..3) sends("s", a, value)
        settle()
    }
    scenario("two-selects-meet") {
        val a = Channel<Int>()
        val b = Channel<Int>()
        launch { selectsSends("x", a, b) }
        settle()
        launch { selects("y", b) }
        settle()
    }
    scenario("select-meets-not-itself") {
        val a = Channel<Int>()
        launch {
            noted("x", End.SENT) { // coroutines 1.0.1 do not survive it
                select<String> {
                    a.onSend(10) { "0:sent" }
                    a.onReceive { "1:$it" }
                }
            }
        }
        settle()
        say("settled")
        triesToReceive("r", a)
        settle()
    }
}

suspend fun finishes(who: String, from: ReceiveChannel<Int>, back: () -> Unit = {}) {
    say("$who starts")
    receives(who, from)
    back()
    say("$who ends")
}

fun scopes() {
    scenario("scope-waits-for-its-children") {
        coroutineScope {
            for (who in listOf("a", "b")) launch {
                say("$who starts")
                yield()
                say("$who ends")
            }
            say("launched")
        }
        say("left")
    }
    scenario("scope-cancelled") {
        val c = Channel<Int>()
        val parent = launch {
            try {
                coroutineScope {
                    for (who in listOf("a", "b", "c")) launch { finishes(who, c) }
                    say("launched")
                }
            } finally {
                say("left")
            }
        }
        settle()
        say("cancel")
        parent.cancel()
        say("cancelled it")
        parent.join()
        say("joined")
    }
    scenario("scope-cancelled-children-take-their-time") {
        val c = Channel<Int>()
        val parent = launch {
            try {
                coroutineScope {
                    for (who in listOf("a", "b")) launch {
                        receives(who, c)
                        withContext(NonCancellable) { repeat(if (who == "a") 9 else 3) { yield() } }
                        say("$who ends")
                    }
                }
            } finally {
                say("left")
            }
        }
        settle()
        say("cancel")
        parent.cancel()
        parent.join()
        say("joined")
    }
    scenario("scope-in-scope-cancelled") {
        val c = Channel<Int>()
        val parent = launch {
            try {
                coroutineScope {
                    launch { finishes("a", c) }
                    launch {
                        try {
                            coroutineScope {
                                for (who in listOf("b", "c")) launch { finishes(who, c) }
                            }
                        } finally {
                            say("inner left")
                        }
                    }
                    launch { finishes("d", c) }
                }
            } finally {
                say("outer left")
            }
        }
        settle()
        say("cancel")
        parent.cancel()
        parent.join()
        say("joined")
    }
    scenario("inner-scope-cancelled-outer-goes-on") {
        val c = Channel<Int>()
        val inner = CompletableDeferred<Job>()
        val parent = launch {
            coroutineScope {
                launch { finishes("a", c) }
                inner.complete(launch {
                    coroutineScope {
                        for (who in listOf("b", "c")) launch { finishes(who, c) }
                    }
                })
            }
            say("outer left")
        }
        settle()
        say("cancel")
        inner.await().cancel()
        settle()
        sends("s", c, 1)
        parent.join()
        say("joined")
    }
    scenario("child-cancels-its-scope") {
        val c = Channel<Int>()
        val parent = launch {
            try {
                coroutineScope {
                    launch { finishes("a", c) }
                    launch {
                        say("b starts")
                        yield()
                        say("b cancels")
                        this@coroutineScope.coroutineContext.cancel()
                        say("b ends")
                    }
                    launch { finishes("c", c) }
                }
            } catch (e: CancellationException) {
                say("left")
            }
        }
        parent.join()
        say("joined")
    }
    scenario("child-fails") {
        val c = Channel<Int>()
        try {
            coroutineScope {
                launch { finishes("a", c) }
                launch {
                    say("b starts")
                    yield()
                    say("b fails")
                    throw IllegalStateException("b")
                }
                launch { finishes("c", c) }
            }
        } catch (e: IllegalStateException) {
            say("scope fails of b")
        }
    }
    scenario("launch-in-a-cancelled-scope") {
        val parent = Job()
        parent.cancel()
        launch(parent) { say("a starts") }
        settle()
        say("settled")
    }
    scenario("cancel-before-children-started") {
        val c = Channel<Int>()
        val parent = launch {
            coroutineScope {
                for (who in listOf("a", "b")) launch { finishes(who, c) }
                coroutineContext.cancel()
            }
        }
        parent.join()
        say("joined")
    }
}

fun producers() {
    scenario("produce-all") {
        val c = produce<Int>(capacity = 0) {
            for (value in 1..3) sends("p", this, value)
            say("p ends")
        }
        repeat(4) { receives("r", c) }
    }
    scenario("produce-buffered") {
        val c = produce<Int>(capacity = 2) {
            for (value in 1..3) sends("p", this, value)
            say("p ends")
        }
        settle()
        repeat(4) { receives("r", c) }
        settle()
    }
    scenario("produce-and-scope-cancelled") {
        val given = CompletableDeferred<ReceiveChannel<Int>>()
        val parent = launch {
            coroutineScope {
                given.complete(produce(capacity = 0) {
                    for (value in 1..3) sends("p", this, value)
                    say("p ends")
                })
            }
        }
        val c = given.await()
        receives("r", c)
        settle()
        say("cancel")
        parent.cancel()
        parent.join()
        receives("r", c)
    }
    scenario("produce-and-channel-destroyed") {
        val c = produce<Int>(capacity = 0) {
            sends("p", this, 1)
            sends("p", this, 2)
            say("p ends")
        }
        receives("r", c)
        settle()
        say("destroy")
        c.cancel()
        settle()
        receives("r", c)
    }
}

fun CoroutineScope.adder(kind: Int) = actor<Int>(capacity = kind) {
    try {
        for (value in channel) say("actor $value")
    } finally {
        say("actor done")
    }
}

fun actors() {
    for ((kind, capacity) in listOf("rendezvous" to 0, "buffered" to 2, "unlimited" to Channel.UNLIMITED)) {
        scenario("actor-deals-in-order-$kind") {
            val a = adder(capacity)
            for (value in 1..4) sends("s", a, value)
            say("close")
            a.close()
            settle()
        }
    }
    scenario("actor-closed-with-parked-senders") {
        val c = Channel<Int>()
        for ((place, who) in listOf("s", "t").withIndex()) sender(who, c, place + 1)
        settle()
        c.close()
        launch {
            for (value in c) say("actor $value")
            say("actor done")
        }
        settle()
    }
    scenario("actor-cancelled") {
        val a = adder(0)
        sends("s", a, 1)
        settle()
        say("cancel")
        (a as Job).cancel()
        settle()
        sender("late", a, 2)
        settle()
    }
    scenario("actor-cancelled-with-messages") {
        val a = adder(4)
        for (value in 1..3) sends("s", a, value)
        (a as Job).cancel()
        settle()
    }
    scenario("actor-in-a-scope-cancelled") {
        val given = CompletableDeferred<SendChannel<Int>>()
        val parent = launch { coroutineScope { given.complete(adder(0)) } }
        val a = given.await()
        sends("s", a, 1)
        sends("s", a, 2)
        settle()
        say("cancel")
        parent.cancel()
        parent.join()
        say("joined")
    }
}

fun deadlines() {
    scenario("deadline-passes-on-receive") {
        val c = Channel<Int>()
        receivesUntil("r", c, 5)
        triesToSend("s", c, 1)
    }
    scenario("deadline-passes-on-send") {
        val c = Channel<Int>()
        sendsUntil("s", c, 1, 5)
        triesToReceive("r", c)
    }
    scenario("value-before-the-deadline") {
        val c = Channel<Int>()
        launch { receivesUntil("r", c, 60_000) }
        settle()
        sends("s", c, 1)
        settle()
    }
    scenario("value-after-the-deadline-passed-and-before-anybody-looked") {
        val c = Channel<Int>()
        val r = launch { receivesUntil("r", c, 100) }
        settle()
        val until = System.nanoTime() + 200_000_000
        while (System.nanoTime() < until);
        sender("s", c, 1)
        r.join()
        settle()
        triesToReceive("q", c)
    }
    scenario("deadline-of-now-and-a-value-is-there") {
        val c = Channel<Int>(1)
        sends("s", c, 1)
        receivesUntil("r", c, 0)
        triesToReceive("q", c)
    }
    scenario("deadlines-end-in-the-order-of-time") {
        val c = Channel<Int>()
        val jobs = listOf("r" to 150L, "q" to 50L, "p" to 100L).map { (who, ms) ->
            launch { receivesUntil(who, c, ms) }
        }
        jobs.forEach { it.join() }
    }
    scenario("one-of-two-times-out-the-other-gets-the-value") {
        val c = Channel<Int>()
        val r = launch { receivesUntil("r", c, 5) }
        receiver("q", c)
        r.join()
        sends("s", c, 1)
        settle()
    }
}

fun main() {
    channels()
    cancels()
    selections()
    scopes()
    producers()
    actors()
    deadlines()
}
