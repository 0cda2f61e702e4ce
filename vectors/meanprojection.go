package vectors

import "gonum.org/v1/gonum/mat"

// MeanProjection removes the span of the class means about their unweighted mean, at most k-1 directions: class means
// coincide afterwards. It is the orthogonal map that does so, not the least one (see LEACE).
func MeanProjection(x *mat.Dense, y []int) (*Eraser, error) {
	means, counts, err := ClassMeans(x, y)
	if err != nil {
		return nil, err
	}
	_, d := means.Dims()
	values, rows, err := rightSingular(centred(means, columnMeans(means)))
	if err != nil {
		return nil, err
	}
	rank := 0
	for rank < min(len(counts)-1, len(values)) && values[rank] > values[0]*1e-12 {
		rank++
	}
	if rank == 0 {
		return projection(nil, make([]float64, d)), nil
	}
	return projection(rows.Slice(0, rank, 0, d).(*mat.Dense), make([]float64, d)), nil
}
