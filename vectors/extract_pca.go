package vectors

import (
	"context"

	"gonum.org/v1/gonum/mat"
)

// PCAExtractor takes the leading principal components: orthogonal concepts with codes of both signs about the mean.
type PCAExtractor struct{}

// Name is "pca".
func (PCAExtractor) Name() string { return "pca" }

// Extract is Extractor's; nothing is random.
func (x PCAExtractor) Extract(_ context.Context, a *mat.Dense, r int, _ uint64) (*Concepts, error) {
	if _, _, err := checkExtract("PCA", a, r); err != nil {
		return nil, err
	}
	p, err := FitPCA(a, r, Centred)
	if err != nil {
		return nil, err
	}
	c := &Concepts{Method: x.Name(), W: p.Components, Centre: p.Centre}
	c.encode = func(_ context.Context, a *mat.Dense) (*mat.Dense, error) { return p.Project(a) }
	c.jacobian = func([]float64) (*mat.Dense, error) { return mat.DenseCopyOf(p.Components), nil }
	c.U, err = p.Project(a)
	return c, err
}
