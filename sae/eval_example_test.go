package sae_test

import (
	"context"
	"fmt"
	"log"

	"loupe/sae"
)

// Two of three architectures lie inside the noise of their seeds, and so share a rank.
func ExampleRank() {
	ranked, err := sae.Rank([]sae.Contender{
		{Name: "topk", Values: []float64{0.81, 0.84, 0.82}},
		{Name: "relu", Values: []float64{0.61, 0.60, 0.63}},
		{Name: "batchtopk", Values: []float64{0.83, 0.82, 0.84}},
	}, true, 0.95)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range ranked {
		fmt.Printf("%d %s %.2f [%.2f, %.2f]\n", r.Rank, r.Name, r.Mean.Value, r.Mean.Low, r.Mean.High)
	}
	// Output:
	// 1 batchtopk 0.83 [0.81, 0.85]
	// 1 topk 0.82 [0.79, 0.86]
	// 3 relu 0.61 [0.58, 0.65]
}

// Latent 2 of four is on exactly where the concept is.
func ExampleSparseProbe() {
	var acts []float32
	var concept []bool
	for i := range 40 {
		has := i%3 == 0
		row := []float32{float32(i % 2), 0.5, 0, float32(i % 5)}
		if has {
			row[2] = 2
		}
		acts, concept = append(acts, row...), append(concept, has)
	}
	x, err := sae.SparseOf(acts, 4)
	if err != nil {
		log.Fatal(err)
	}
	cfg := sae.DefaultProbeConfig()
	cfg.K = []int{1}
	r, err := sae.SparseProbe(context.Background(), x, concept, cfg)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("latent %d: accuracy %.2f, majority %.2f\n", r.Scores[0].Latents[0], r.Scores[0].Accuracy.Value, r.Majority)
	// Output: latent 2: accuracy 1.00, majority 0.67
}
