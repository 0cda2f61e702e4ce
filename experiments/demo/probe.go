package demo

// meanProbe is the mass-mean probe: the difference of the class means, with its threshold half way.
type meanProbe struct {
	direction []float64
	low, high float64 // projections of the negative and the positive class mean
}

// fitMean fits the probe to embeddings x [n, w].
func fitMean(x []float32, w int, positive []bool) meanProbe {
	sums := [2][]float64{make([]float64, w), make([]float64, w)}
	count := [2]float64{}
	for i, p := range positive {
		c := 0
		if p {
			c = 1
		}
		count[c]++
		for j, v := range x[i*w : (i+1)*w] {
			sums[c][j] += float64(v)
		}
	}
	m := meanProbe{direction: make([]float64, w)}
	for j := range w {
		m.direction[j] = sums[1][j]/count[1] - sums[0][j]/count[0]
	}
	for j, v := range m.direction {
		m.low += v * sums[0][j] / count[0]
		m.high += v * sums[1][j] / count[1]
	}
	return m
}

// score is an embedding's place between the class means: 0 at the negative one, 1 at the positive one.
func (m meanProbe) score(x []float32) float64 {
	var at float64
	for j, v := range x {
		at += float64(v) * m.direction[j]
	}
	return (at - m.low) / (m.high - m.low)
}

// scores of the rows of x [n, w].
func (m meanProbe) scores(x []float32, w int) []float64 {
	out := make([]float64, len(x)/w)
	for i := range out {
		out[i] = m.score(x[i*w : (i+1)*w])
	}
	return out
}

// right tells for each score whether it is on its class's side of the threshold: 1 or 0.
func right(scores []float64, positive []bool) []float64 {
	out := make([]float64, len(scores))
	for i, s := range scores {
		if (s > 0.5) == positive[i] {
			out[i] = 1
		}
	}
	return out
}
