package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Centring says what PCA takes from every row first. It decides whether the mean itself can be found: see PairPCA.
type Centring string

// Centred takes the mean row, Uncentred nothing.
const (
	Centred   Centring = "mean"
	Uncentred Centring = "none"
)

// PCA are the leading principal components of some rows.
type PCA struct {
	Centre     []float64  // [d], zeros when uncentred
	Components *mat.Dense // [r, d], unit rows, each signed so that its entry of largest magnitude is positive
	Variance   []float64  // [r], descending: over n-1 when centred, the mean square when not
	Ratio      []float64  // [r], of the variance of all d components
}

// FitPCA finds the r leading components of x [n, d]: the eigenvectors of the covariance, or of the second moment when
// uncentred. r is at most min(n, d).
func FitPCA(x *mat.Dense, r int, centring Centring) (*PCA, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if r < 1 || r > min(n, d) {
		return nil, fmt.Errorf("vectors: %d components of %d rows of width %d: %w; ask for 1 to %d", r, n, d, ErrArgument, min(n, d))
	}
	centre, per := make([]float64, d), float64(n)
	switch centring {
	case Centred:
		if n < 2 {
			return nil, fmt.Errorf("vectors: centred PCA of one row: %w; it needs two", ErrArgument)
		}
		centre, per = columnMeans(x), float64(n-1)
	case Uncentred:
	default:
		return nil, fmt.Errorf("vectors: centring %q: %w; it is %q or %q", centring, ErrArgument, Centred, Uncentred)
	}
	values, rows, err := rightSingular(centred(x, centre))
	if err != nil {
		return nil, err
	}
	p := &PCA{Centre: centre, Components: mat.NewDense(r, d, nil), Variance: make([]float64, r), Ratio: make([]float64, r)}
	total := floats.Dot(values, values)
	if total == 0 {
		return nil, fmt.Errorf("vectors: PCA of rows that do not vary: %w", ErrSingular)
	}
	for j := range r {
		row := p.Components.RawRowView(j)
		copy(row, rows.RawRowView(j))
		orient(row)
		p.Variance[j], p.Ratio[j] = values[j]*values[j]/per, values[j]*values[j]/total
	}
	return p, nil
}

// Project returns the coordinates [n, r] of the rows of x [n, d].
func (p *PCA) Project(x *mat.Dense) (*mat.Dense, error) {
	_, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if err := checkWidth("components", len(p.Centre), d); err != nil {
		return nil, err
	}
	var out mat.Dense
	out.Mul(centred(x, p.Centre), p.Components.T())
	return &out, nil
}

// rightSingular returns the min(n, d) singular values of x [n, d], descending, and the right singular vectors as rows. The
// tall case goes through R of a QR decomposition, which keeps small singular values exact where x'x would lose half
// their digits.
func rightSingular(x *mat.Dense) ([]float64, *mat.Dense, error) {
	n, d := x.Dims()
	if n > 2*d {
		var qr mat.QR
		qr.Factorize(x)
		var r mat.Dense
		qr.RTo(&r)
		x = r.Slice(0, d, 0, d).(*mat.Dense)
	}
	var svd mat.SVD
	if !svd.Factorize(x, mat.SVDThinV) {
		return nil, nil, fmt.Errorf("vectors: singular value decomposition of %d rows of width %d: %w", n, d, ErrNotConverged)
	}
	var v mat.Dense
	svd.VTo(&v)
	return svd.Values(nil), mat.DenseCopyOf(v.T()), nil
}
