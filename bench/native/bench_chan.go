// bench_chan.go: P8 in Go: one send and one receive on a buffered channel of 64 B arrays, one goroutine, nobody
// waits. Usage: bench_chan SECONDS; prints nanoseconds per send and receive.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

const round = 1024

func pass(channel chan [64]byte) bool {
	var element [64]byte
	for i := 0; i < round; i++ {
		element[0] = byte(i)
		channel <- element
		if got := <-channel; got != element {
			return false
		}
	}
	return true
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[len(os.Args)-1], 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, "usage: bench_chan SECONDS")
		os.Exit(2)
	}
	channel := make(chan [64]byte, 64)
	good := pass(channel)
	done, begin := 0, time.Now()
	for good && time.Since(begin).Seconds() < seconds {
		good = pass(channel)
		done += round
	}
	if !good {
		fmt.Fprintln(os.Stderr, "a message changed on its way")
		os.Exit(1)
	}
	fmt.Printf("%.3f\n", float64(time.Since(begin).Nanoseconds())/float64(done))
}
