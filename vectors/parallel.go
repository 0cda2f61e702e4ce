package vectors

import (
	"runtime"
	"sync"
)

// parallelRows shares rows 0..n out to the processors in runs lo..hi; work on a row must not depend on another's.
func parallelRows(n int, work func(lo, hi int)) {
	parts := min(runtime.GOMAXPROCS(0), n)
	var wg sync.WaitGroup
	for p := range parts {
		wg.Go(func() { work(p*n/parts, (p+1)*n/parts) })
	}
	wg.Wait()
}
