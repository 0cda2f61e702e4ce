package sae

// ExplainedSquaredMean is the explained variance as SAEBench up to 0.6 and SAELens before 6.45.1 computed it, for
// comparison with their tables only: the mean of x^2 stands where the mean of x is meant, summed over dimensions to
// S = E|x|^2, so that the "variance" is S - (S/d)^2 and the value is mostly too high (it can exceed 1).
// [Result.ExplainedLegacy] is the other published variant, and [Result.Explained] the right value.
func (m *Metrics) ExplainedSquaredMean() float64 {
	n := float64(m.n)
	s := m.xSq / n
	perDim := s / float64(m.d)
	return 1 - m.errSq/n/(s-perDim*perDim)
}
