package bottleneck_test

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors/bottleneck"
)

// Two concepts of two classes, and texts that hold one of them each: the head gives each class weight on its own concept, and
// says which concept carries a decision.
func Example() {
	bank := bottleneck.Bank{Names: []string{"goal", "violin"}, Vectors: mat.NewDense(2, 3, []float64{1, 0, 0, 0, 1, 0})}
	texts := mat.NewDense(4, 3, []float64{1, 0, 0.2, 0, 1, 0.1, 0.9, 0.1, 0, 0.1, 0.8, 0.3})
	topic := []int{0, 1, 0, 1}
	scorer, err := bottleneck.FitScorer(bank, texts, bottleneck.Cosine)
	if err != nil {
		fmt.Println(err)
		return
	}
	fit, err := bottleneck.FitPostHoc(context.Background(), scorer, texts, topic, 2, bottleneck.DefaultPostHoc())
	if err != nil {
		fmt.Println(err)
		return
	}
	scores, err := scorer.Apply(texts)
	if err != nil {
		fmt.Println(err)
		return
	}
	decision, contributions, err := bottleneck.Contributions(fit.Head, scores)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(decision)
	fmt.Println(contributions.At(0, 0) > 0, contributions.At(1, 1) > 0)
	// Output:
	// [0 1 0 1]
	// true true
}
