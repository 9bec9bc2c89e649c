// bench_handover.go: P7 in Go: what it costs to hand 64 B from one goroutine to another.
// Usage: bench_handover rendezvous|buffered|select SECONDS; prints nanoseconds for each message received.
// select: the receiver selects over two unbuffered channels, each with a sender of its own.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

const round = 1024

func send(channel chan [64]byte) {
	var element [64]byte
	for {
		element[0]++
		channel <- element
	}
}

func passOne(channel chan [64]byte) bool {
	last, good := byte(0), true
	for i := 0; i < round; i++ {
		element := <-channel
		good = good && (i == 0 || element[0] == last+1)
		last = element[0]
	}
	return good
}

func passSelect(one, two chan [64]byte) bool {
	count := 0
	for i := 0; i < round; i++ {
		select {
		case <-one:
			count++
		case <-two:
			count++
		}
	}
	return count == round
}

func passOf(mode string) func() bool {
	capacity := 0
	if mode == "buffered" {
		capacity = 64
	}
	one := make(chan [64]byte, capacity)
	go send(one)
	if mode != "select" {
		return func() bool { return passOne(one) }
	}
	two := make(chan [64]byte)
	go send(two)
	return func() bool { return passSelect(one, two) }
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[len(os.Args)-1], 64)
	if err != nil || len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bench_handover rendezvous|buffered|select SECONDS")
		os.Exit(2)
	}
	pass := passOf(os.Args[1])
	good := pass()
	done, begin := 0, time.Now()
	for good && time.Since(begin).Seconds() < seconds {
		good = pass()
		done += round
	}
	if !good {
		fmt.Fprintln(os.Stderr, "a message changed on its way")
		os.Exit(1)
	}
	fmt.Printf("%.3f\n", float64(time.Since(begin).Nanoseconds())/float64(done))
}
