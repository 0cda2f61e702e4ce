package fewshoterasing

import "time"

// timed runs do and returns the seconds that it took.
func timed[T any](do func() (T, error)) (float64, T, error) {
	start := time.Now()
	v, err := do()
	return time.Since(start).Seconds(), v, err
}
