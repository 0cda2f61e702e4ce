package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// PairMethod says which rows PairPCA decomposes.
type PairMethod string

// The ways to a direction from contrastive pairs by PCA.
const (
	// PairDiff is the top right singular vector of pos - neg, not centred: the mean gap counts.
	PairDiff PairMethod = "diff"
	// PairDiffCentred takes the mean difference away first. It is what repeng 0.4.0 calls pca_diff, and it loses a
	// concept whose gap is the same in every pair; it is here to compare with published vectors.
	PairDiffCentred PairMethod = "diff-centred"
	// PairCentre decomposes both halves less the midpoint of their pair (repeng's pca_center).
	PairCentre PairMethod = "centre"
	// RepE decomposes the differences with the sign of odd pairs flipped, centred (arXiv:2310.01405): the flips keep the
	// mean gap through the centring.
	RepE PairMethod = "repe"
)

// PairPCA returns the unit direction [d] that explains most of the pairs' differences, signed so that most pairs have
// pos.w > neg.w (where as many have neg.w > pos.w, so that its entry of largest magnitude is positive).
func PairPCA(p Pairs, method PairMethod) ([]float64, error) {
	n, _, err := p.check()
	if err != nil {
		return nil, err
	}
	rows, err := pairRows(p, method)
	if err != nil {
		return nil, err
	}
	values, directions, err := rightSingular(rows)
	if err != nil {
		return nil, err
	}
	if values[0] <= floats.Max([]float64{mat.Norm(p.Pos, 2), mat.Norm(p.Neg, 2)})*epsilon {
		return nil, fmt.Errorf("vectors: PCA %q of %d pairs: %w; the rows that it decomposes are all zero", method, n, ErrSingular)
	}
	w := mat.Row(nil, 0, directions)
	p.orient(w)
	return w, nil
}

// pairRows are the rows whose second moment is decomposed.
func pairRows(p Pairs, method PairMethod) (*mat.Dense, error) {
	diff := p.differences()
	n, d := diff.Dims()
	switch method {
	case PairDiff:
		return diff, nil
	case PairDiffCentred:
		return centred(diff, columnMeans(diff)), nil
	case RepE:
		for i := 1; i < n; i += 2 {
			floats.Scale(-1, diff.RawRowView(i))
		}
		return centred(diff, columnMeans(diff)), nil
	case PairCentre:
		both := mat.NewDense(2*n, d, nil) // pos - (pos+neg)/2 and neg - (pos+neg)/2: the mean is 0
		for i := range n {
			floats.ScaleTo(both.RawRowView(i), 0.5, diff.RawRowView(i))
			floats.ScaleTo(both.RawRowView(n+i), -0.5, diff.RawRowView(i))
		}
		return both, nil
	}
	return nil, fmt.Errorf("vectors: pair method %q: %w; it is one of %q, %q, %q, %q", method, ErrArgument, PairDiff, PairDiffCentred, PairCentre, RepE)
}
