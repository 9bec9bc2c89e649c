// bench_gosched.go: P10 in Go: two goroutines on one thread that give way to each other. Usage: bench_gosched SECONDS;
// prints nanoseconds per switch.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

const round = 4096

func main() {
	seconds, err := strconv.ParseFloat(os.Args[len(os.Args)-1], 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, "usage: bench_gosched SECONDS")
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	seen := 0
	go func() {
		for {
			seen++
			runtime.Gosched()
		}
	}()
	pass := func() int {
		before := seen
		for i := 0; i < round; i++ {
			runtime.Gosched()
		}
		return seen - before
	}
	pass()
	done, begin := 0, time.Now()
	for time.Since(begin).Seconds() < seconds {
		switched := pass()
		if switched == 0 {
			fmt.Fprintln(os.Stderr, "the other goroutine took no turn")
			os.Exit(1)
		}
		done += round + switched
	}
	fmt.Printf("%.3f\n", float64(time.Since(begin).Nanoseconds())/float64(done))
}
