// bench_independent.go: pairs of goroutines, each with a channel of its own, 64 B a message; see bench_independent.c.
// Usage: bench_independent rendezvous|buffered PAIRS PROCESSORS rate SECONDS; prints messages a second, all pairs together.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const round = 1024
const capacity = 64

type end struct {
	count, sum uint64
	_          [112]byte // no line is shared by two
}

func send(channel chan [64]byte, number uint64, until time.Time, told *end) {
	var element [64]byte
	for time.Now().Before(until) {
		for i := 0; i < round; i++ {
			binary.LittleEndian.PutUint64(element[:], number)
			channel <- element
			told.sum += number
			number++
		}
		told.count += round
	}
	close(channel)
}

func receive(channel chan [64]byte, told *end) {
	for element := range channel {
		told.sum += binary.LittleEndian.Uint64(element[:])
		told.count++
	}
}

// run answers messages a second; 0 when a pair's two ends have not counted the same, or nobody sent any.
func run(pairs, room int, wanted time.Duration) float64 {
	sent, received := make([]end, pairs), make([]end, pairs)
	var all sync.WaitGroup
	begin := time.Now()
	for i := 0; i < pairs; i++ {
		channel := make(chan [64]byte, room)
		mine, yours := &sent[i], &received[i]
		first := uint64(i+1) << 40
		all.Add(2)
		go func() { defer all.Done(); receive(channel, yours) }()
		go func() { defer all.Done(); send(channel, first, begin.Add(wanted), mine) }()
	}
	all.Wait()
	took, total := time.Since(begin).Seconds(), uint64(0)
	for i := range sent {
		if sent[i] != received[i] { // both 0: it never had a turn
			return 0
		}
		total += sent[i].count
	}
	return float64(total) / took
}

func main() {
	rooms := map[string]int{"rendezvous": 0, "buffered": capacity}
	room, known, pairs, processors, seconds := 0, false, 0, 0, 0.0
	if len(os.Args) == 6 && os.Args[4] == "rate" {
		room, known = rooms[os.Args[1]]
		pairs, _ = strconv.Atoi(os.Args[2])
		processors, _ = strconv.Atoi(os.Args[3])
		seconds, _ = strconv.ParseFloat(os.Args[5], 64)
	}
	if !known || pairs < 1 || processors < 1 || seconds <= 0 {
		fmt.Fprintln(os.Stderr, "usage: bench_independent rendezvous|buffered PAIRS PROCESSORS rate SECONDS")
		os.Exit(2)
	}
	runtime.GOMAXPROCS(processors)
	rate := run(pairs, room, time.Duration(seconds*1e9))
	if rate == 0 {
		fmt.Fprintln(os.Stderr, "what a pair sent and what it received are not the same")
		os.Exit(1)
	}
	fmt.Printf("%.0f\n", rate)
}
