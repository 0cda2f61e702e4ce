package vectors

// CAA is contrastive activation addition (arXiv:2312.06681): the mean of pos - neg over the pairs [d], not normalised, so
// that a strength of 1 moves by the gap itself.
func CAA(p Pairs) ([]float64, error) {
	if _, _, err := p.check(); err != nil {
		return nil, err
	}
	return columnMeans(p.differences()), nil
}
