// bench_kotlin.kt: P7, P8 and P10 with kotlinx.coroutines: 64 B from one coroutine to another in the event loop of one
// thread; a send and a receive in one coroutine; two coroutines that give way to each other.
// Usage: java BenchKt rendezvous|buffered|select|pair|yield SECONDS; prints nanoseconds for each message received, or for
// each switch. select: the receiver selects over two rendezvous channels, each with a sender of its own.
import kotlin.system.exitProcess
import kotlinx.coroutines.*
import kotlinx.coroutines.channels.*
import kotlinx.coroutines.selects.select

const val ROUND = 1024
const val CAPACITY = 64
const val WARM_NS = 1_500_000_000L // the compiler of the machine needs about a second of it

// A message is an object of its own, as the others copy 64 bytes.
suspend fun sendAll(channel: SendChannel<ByteArray>) {
    var number = 0
    while (true) {
        val element = ByteArray(64)
        element[0] = (++number).toByte()
        channel.send(element)
    }
}

suspend fun passOne(channel: ReceiveChannel<ByteArray>): Int {
    var last: Byte = 0
    var good = true
    for (i in 0 until ROUND) {
        val element = channel.receive()
        good = good && (i == 0 || element[0] == (last + 1).toByte())
        last = element[0]
    }
    return if (good) ROUND else 0
}

suspend fun passSelect(one: ReceiveChannel<ByteArray>, two: ReceiveChannel<ByteArray>): Int {
    var bytes = 0
    for (i in 0 until ROUND) {
        bytes += select<Int> {
            one.onReceive { it.size }
            two.onReceive { it.size }
        }
    }
    return if (bytes == 64 * ROUND) ROUND else 0
}

suspend fun passPair(channel: Channel<ByteArray>): Int {
    var good = true
    for (i in 0 until ROUND) {
        val element = ByteArray(64)
        element[0] = i.toByte()
        channel.send(element)
        good = good && channel.receive()[0] == i.toByte()
    }
    return if (good) ROUND else 0
}

suspend fun passYield(seen: LongArray): Int {
    val before = seen[0]
    for (i in 0 until ROUND) yield()
    return if (seen[0] > before) ROUND + (seen[0] - before).toInt() else 0
}

suspend fun report(seconds: Double, pass: suspend () -> Int): Boolean {
    val warm = System.nanoTime()
    while (System.nanoTime() - warm < WARM_NS) pass()
    var done = 0L
    var good = true
    val begin = System.nanoTime()
    while (good && System.nanoTime() - begin < seconds * 1e9) {
        val count = pass()
        good = count > 0
        done += count
    }
    if (good) println("%.3f".format((System.nanoTime() - begin).toDouble() / done))
    return good
}

fun CoroutineScope.started(capacity: Int): Channel<ByteArray> {
    val channel = Channel<ByteArray>(capacity)
    launch { sendAll(channel) }
    return channel
}

suspend fun CoroutineScope.measure(mode: String, seconds: Double): Boolean? = when (mode) {
    "rendezvous", "buffered" -> {
        val channel = started(if (mode == "buffered") CAPACITY else 0)
        report(seconds) { passOne(channel) }
    }
    "select" -> {
        val one = started(0)
        val two = started(0)
        report(seconds) { passSelect(one, two) }
    }
    "pair" -> {
        val channel = Channel<ByteArray>(CAPACITY)
        report(seconds) { passPair(channel) }
    }
    "yield" -> {
        val seen = LongArray(1)
        launch {
            while (true) {
                seen[0]++
                yield()
            }
        }
        report(seconds) { passYield(seen) }
    }
    else -> null
}

fun main(args: Array<String>) {
    val seconds = args.getOrNull(1)?.toDoubleOrNull()
    var good: Boolean? = null
    if (args.size == 2 && seconds != null) runBlocking {
        good = measure(args[0], seconds)
        coroutineContext.cancelChildren()
    }
    if (good == null) System.err.println("usage: rendezvous|buffered|select|pair|yield SECONDS")
    if (good == false) System.err.println("a message changed on its way")
    exitProcess(if (good == true) 0 else if (good == false) 1 else 2)
}
