package gguf

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"loupe/internal/graphtest"
)

// BenchmarkLoad dequantises all of SmolLM2-135M, reading by one goroutine and by two.
func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(graphtest.Model(b, "smollm2"), "SmolLM2-135M-Instruct.Q4_1.gguf")
	for _, readers := range []int{1, 2} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			for b.Loop() {
				bytes := load(b, path, readers)
				b.SetBytes(bytes)
			}
		})
	}
}

func load(b *testing.B, path string, readers int) (bytes int64) {
	f, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	names := make(chan string, len(f.Tensors()))
	for _, t := range f.Tensors() {
		names <- t.Name
	}
	close(names)
	var mu sync.Mutex
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			for name := range names {
				values, err := f.Float32(name)
				if err != nil {
					b.Error(err)
				}
				mu.Lock()
				bytes += 4 * int64(len(values))
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return bytes
}
