// Writes two heap profiles of itself to the files that are named: between them it keeps more in one
// function, and forgets what another one had kept.
package main

import (
	"os"
	"runtime"
	"runtime/pprof"
)

var kept, forgotten [][]byte

//go:noinline
func keep(blocks int) {
	for range make([]struct{}, blocks) {
		kept = append(kept, make([]byte, 64<<10))
	}
}

//go:noinline
func forget(blocks int) {
	for range make([]struct{}, blocks) {
		forgotten = append(forgotten, make([]byte, 32<<10))
	}
}

func write(path string) {
	// A profile shows what the last collection found, of the cycle before it.
	runtime.GC()
	runtime.GC()
	file, err := os.Create(path)
	if err == nil {
		err = pprof.WriteHeapProfile(file)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		panic(err)
	}
}

func main() {
	runtime.MemProfileRate = 4096
	keep(16)
	forget(64)
	write(os.Args[1])
	keep(128)
	forgotten = nil
	write(os.Args[2])
	runtime.KeepAlive(kept)
}
