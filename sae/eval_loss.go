package sae

import (
	"fmt"
	"math"

	"loupe/internal/stats"
)

// LossRecovered is the score (ablated - spliced) / (ablated - clean), 1 for a splice that changes nothing and 0 for one as
// bad as the ablation (ce_loss_score of SAELens and SAEBench). Against zero ablation 0.99 is easy; read the raw
// difference spliced - clean too. It fails where the ablation does not change the loss.
func LossRecovered(clean, spliced, ablated float64) (float64, error) {
	if clean == ablated {
		return 0, fmt.Errorf("sae: loss recovered: the ablation leaves the loss at %v: %w; take a site that the model uses", clean, stats.ErrDegenerate)
	}
	return (ablated - spliced) / (ablated - clean), nil
}

// KLRecovered is the score (ablated - spliced) / ablated of two divergences from the clean model (kl_div_score). It fails
// where the ablation does not move the predictions.
func KLRecovered(spliced, ablated float64) (float64, error) {
	return LossRecovered(0, spliced, ablated)
}

// logSoftmax writes the log probabilities of logits, [v], into out, in float64.
func logSoftmax(out []float64, logits []float32) {
	top := math.Inf(-1)
	for _, l := range logits {
		top = max(top, float64(l))
	}
	sum := 0.0
	for i, l := range logits {
		out[i] = float64(l) - top
		sum += math.Exp(out[i])
	}
	norm := math.Log(sum)
	for i := range out {
		out[i] -= norm
	}
}

// CrossEntropy is -log p(target) of the softmax of logits, [v], in nats.
func CrossEntropy(logits []float32, target int32) float64 {
	logp := make([]float64, len(logits))
	logSoftmax(logp, logits)
	return -logp[target]
}

// Divergence is KL(p || q), in nats, of the softmaxes of two vectors of logits, both [v].
func Divergence(p, q []float32) float64 {
	a, b := make([]float64, len(p)), make([]float64, len(q))
	logSoftmax(a, p)
	logSoftmax(b, q)
	return divergence(a, b)
}

// divergence is KL(p || q) of log probabilities.
func divergence(p, q []float64) float64 {
	kl := 0.0
	for i, a := range p {
		if w := math.Exp(a); w > 0 {
			kl += w * (a - q[i])
		}
	}
	return kl
}
