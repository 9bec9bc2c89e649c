// bench_timer.go: what it costs in Go to arm a timer and to stop it before it comes. Usage: bench_timer alone|among SECONDS,
// as bench_timer.c; prints nanoseconds for each pair.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

const round, others = 1024, 10000

func pass() bool {
	good := true
	for i := 0; i < round; i++ {
		timer := time.AfterFunc(2*time.Hour, func() {})
		good = timer.Stop() && good
	}
	return good
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[len(os.Args)-1], 64)
	if err != nil || len(os.Args) != 3 || (os.Args[1] != "alone" && os.Args[1] != "among") {
		fmt.Fprintln(os.Stderr, "usage: bench_timer alone|among SECONDS")
		os.Exit(2)
	}
	for i := 0; os.Args[1] == "among" && i < others; i++ {
		time.AfterFunc(time.Hour+time.Duration(i), func() {})
	}
	good := pass()
	done, begin := 0, time.Now()
	for good && time.Since(begin).Seconds() < seconds {
		good = pass()
		done += round
	}
	if !good {
		fmt.Fprintln(os.Stderr, "a timer could not be stopped")
		os.Exit(1)
	}
	fmt.Printf("%.3f\n", float64(time.Since(begin).Nanoseconds())/float64(done))
}
