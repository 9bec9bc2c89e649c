// bench_tasks.go: what it costs to start a goroutine, to run it and to end it. As bench_tasks.c; the runtime counts no
// steals. Usage: bench_tasks spawn|spread SECONDS; prints nanoseconds a goroutine.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

const small, large, steps = 64, 1024, 256

var sum uint64

func compute(group *sync.WaitGroup) {
	x := uint64(uintptr(unsafe.Pointer(group))) | 1
	for i := 0; i < steps; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	atomic.AddUint64(&sum, x&1)
	group.Done()
}

func empty(group *sync.WaitGroup) { group.Done() }

func main() {
	mode, size, task := os.Args[1], large, compute
	seconds, err := strconv.ParseFloat(os.Args[len(os.Args)-1], 64)
	if err != nil || len(os.Args) != 3 || (mode != "spawn" && mode != "spread") {
		fmt.Fprintln(os.Stderr, "usage: bench_tasks spawn|spread SECONDS")
		os.Exit(2)
	}
	if mode == "spawn" {
		size, task = small, empty
	}
	var group sync.WaitGroup
	pass := func() {
		group.Add(size)
		for i := 0; i < size; i++ {
			go task(&group)
		}
		group.Wait()
	}
	pass()
	done, begin := 0, time.Now()
	for time.Since(begin).Seconds() < seconds {
		pass()
		done += size
	}
	fmt.Printf("%.3f\n", float64(time.Since(begin).Nanoseconds())/float64(done))
}
