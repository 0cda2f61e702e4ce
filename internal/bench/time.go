package bench

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// repeat calls fn Warmup times untimed and then until the options' budget is spent; it returns the seconds of each
// timed call.
func repeat(ctx context.Context, o Options, fn func() error) ([]float64, error) {
	for range o.Warmup {
		if err := fn(); err != nil {
			return nil, err
		}
	}
	var took []float64
	begun := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := fn(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start).Seconds())
		if time.Since(begun).Seconds() >= o.Seconds || o.Steps > 0 && len(took) >= o.Steps {
			return took, nil
		}
	}
}

func sum(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s
}

func median(x []float64) float64 {
	sorted := slices.Sorted(slices.Values(x))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func round(x float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(x*p) / p
}

// rateFields are the fields of a case whose steps process this many tokens each.
func rateFields(took []float64, tokens int) []Field {
	return []Field{
		{"tokens_per_s", round(float64(tokens*len(took))/sum(took), 1)},
		{"tokens_per_s_median_step", round(float64(tokens)/median(took), 1)},
		{"timed_steps", len(took)}, {"timed_s", round(sum(took), 3)},
	}
}

// peakRSS is the largest resident set of this process so far, in MiB.
func peakRSS() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return round(float64(usage.Maxrss)/1024, 1)
}

// Limit restricts the process to n processors, for thread pools that take as many threads as there are processors. It
// must be called before a backend is opened; it starts the program again when the restriction is not in force yet.
func Limit(n int, self string, args, env []string) error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("bench: processors: %w", err)
	}
	if n < 1 || set.Count() <= n {
		return nil
	}
	var kept unix.CPUSet
	for cpu := 0; kept.Count() < n; cpu++ {
		if set.IsSet(cpu) {
			kept.Set(cpu)
		}
	}
	runtime.LockOSThread()
	if err := unix.SchedSetaffinity(0, &kept); err != nil {
		return fmt.Errorf("bench: restrict to %d processors: %w", n, err)
	}
	return fmt.Errorf("bench: start again: %w", syscall.Exec(self, append([]string{self}, args...), env))
}
