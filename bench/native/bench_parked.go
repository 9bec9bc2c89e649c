// bench_parked.go: memory of goroutines that wait: 10,000 are started, each receives from one channel; what the process has
// more than before, for each of them. Usage: bench_parked recv|tables SECONDS, as bench_parked.c.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
)

const goroutines = 10000

func bytesOf(field string) float64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return -1
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) > 1 && words[0] == field {
			kilobytes, _ := strconv.ParseFloat(words[1], 64)
			return kilobytes * 1024
		}
	}
	return -1
}

func main() {
	fields := map[string]string{"recv": "VmRSS:", "tables": "VmPTE:"}
	field := ""
	if len(os.Args) == 3 {
		field = fields[os.Args[1]]
	}
	if field == "" {
		fmt.Fprintln(os.Stderr, "usage: bench_parked recv|tables SECONDS")
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	channel := make(chan [64]byte)
	here := int64(0)
	before := bytesOf(field)
	for i := 0; i < goroutines; i++ {
		go func() {
			atomic.AddInt64(&here, 1)
			<-channel
		}()
	}
	for atomic.LoadInt64(&here) != goroutines {
		runtime.Gosched()
	}
	runtime.Gosched()
	fmt.Printf("%.1f\n", (bytesOf(field)-before)/goroutines)
}
