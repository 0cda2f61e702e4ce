package stats_test

import (
	"context"
	"fmt"

	"loupe/internal/stats"
)

func ExampleBootstrap() {
	residual := []float64{0.12, 0.31, 0.08, 0.22, 0.17, 0.40, 0.11, 0.19, 0.25, 0.15}
	r, err := stats.Bootstrap(context.Background(), len(residual), stats.MeanOf(residual), stats.DefaultBootstrap())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.2f [%.2f, %.2f], n = %d\n", r.Value, r.Low, r.High, r.N)
	// Output: 0.20 [0.15, 0.27], n = 10
}

func ExampleAUCNewcombe() {
	scores := []float64{0.9, 0.8, 0.7, 0.6, 0.3, 0.2, 0.1, 0.05}
	positive := []bool{true, true, true, true, false, false, false, false}
	r, err := stats.AUCNewcombe(scores, positive, 0.95)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.2f [%.2f, %.2f]\n", r.Value, r.Low, r.High)
	// Output: 1.00 [0.58, 1.00]
}
