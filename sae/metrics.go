package sae

import (
	"fmt"
	"math"
)

// logDensityFloor is added to densities before their logarithm, as SAELens and SAEBench do.
const logDensityFloor = 1e-10

// Metrics gathers the measures of a reconstruction over any number of rows, in float64 and without keeping the rows.
// The fields named legacy reproduce published tables and depend on how rows fall into batches; a batch is one call of
// [Metrics.Add].
type Metrics struct {
	d, f  int
	n     int64
	batch int64 // calls of Add with at least one row

	origin   []float64 // the first row; sums of x are taken relative to it, so that a large mean costs no digits
	sum      []float64 // of x - origin
	sumSq    float64   // of |x - origin|^2
	errSq    float64   // of |x - x^|^2
	xSq, ySq float64   // of |x|^2, |x^|^2
	xy       float64   // of x . x^
	cos      float64   // of the cosines of x and x^
	ratio    float64   // of |x^| / |x|

	active  int64
	l1      float64
	firings []int64

	legacyEV  float64 // of 1 - |e|^2 / |x - batch mean|^2 over rows
	legacyMSE float64 // of the batches' mean squared error divided once more by their rows
}

// NewMetrics returns empty metrics for activations of width d and f latents.
func NewMetrics(d, f int) *Metrics {
	return &Metrics{d: d, f: f, sum: make([]float64, d), firings: make([]int64, f)}
}

// Add takes in rows x and their reconstructions y, both [n, d], and their latents.
func (m *Metrics) Add(x, y []float32, lat Latents) error {
	wide := func(s []float32) []float64 {
		w := make([]float64, len(s))
		for i, v := range s {
			w[i] = float64(v)
		}
		return w
	}
	return m.add(wide(x), wide(y), lat)
}

func (m *Metrics) add(x, y []float64, lat Latents) error {
	n := len(x) / m.d
	if len(x) != n*m.d || len(y) != len(x) || lat.Rows() != n {
		return fmt.Errorf("sae: metrics: %d values, %d reconstructed, %d rows of latents do not fit width %d", len(x), len(y), lat.Rows(), m.d)
	}
	if n == 0 {
		return nil
	}
	if m.origin == nil {
		m.origin = append([]float64{}, x[:m.d]...)
	}
	mean := make([]float64, m.d)
	for r := range n {
		for j, v := range x[r*m.d : (r+1)*m.d] {
			mean[j] += v / float64(n)
		}
	}
	var batchErr float64
	for r := range n {
		batchErr += m.addRow(x[r*m.d:(r+1)*m.d], y[r*m.d:(r+1)*m.d], mean)
	}
	m.legacyMSE += batchErr / float64(n) / float64(n)
	for j, i := range lat.Index {
		v := lat.Value[j]
		if v == 0 {
			continue
		}
		if int(i) < 0 || int(i) >= m.f {
			return fmt.Errorf("sae: metrics: latent %d of %d", i, m.f)
		}
		m.active++
		m.l1 += math.Abs(float64(v))
		m.firings[i]++
	}
	m.n += int64(n)
	m.batch++
	return nil
}

// addRow takes in one row and returns its squared error.
func (m *Metrics) addRow(x, y, batchMean []float64) float64 {
	var e, xx, yy, xy, spread, centred float64
	for j, v := range x {
		w := y[j]
		e += (v - w) * (v - w)
		xx += v * v
		yy += w * w
		xy += v * w
		spread += (v - batchMean[j]) * (v - batchMean[j])
		rel := v - m.origin[j]
		m.sum[j] += rel
		centred += rel * rel
	}
	m.errSq += e
	m.sumSq += centred
	m.xSq, m.ySq, m.xy = m.xSq+xx, m.ySq+yy, m.xy+xy
	if xx > 0 && yy > 0 {
		m.cos += xy / math.Sqrt(xx*yy)
	}
	if xx > 0 {
		m.ratio += math.Sqrt(yy / xx)
	}
	if spread > 0 {
		m.legacyEV += 1 - e/spread
	}
	return e
}

// Merge takes in the rows of other metrics of the same sizes, as if they had been added here.
func (m *Metrics) Merge(other *Metrics) error {
	if m.d != other.d || m.f != other.f {
		return fmt.Errorf("sae: metrics: width %d and %d latents do not merge with width %d and %d latents", m.d, m.f, other.d, other.f)
	}
	if other.n == 0 {
		return nil
	}
	if m.origin == nil {
		m.origin = append([]float64{}, other.origin...)
	}
	for j, s := range other.sum {
		shift := other.origin[j] - m.origin[j]
		m.sum[j] += s + float64(other.n)*shift
		m.sumSq += 2*shift*s + float64(other.n)*shift*shift
	}
	m.sumSq += other.sumSq
	m.errSq, m.xSq, m.ySq, m.xy = m.errSq+other.errSq, m.xSq+other.xSq, m.ySq+other.ySq, m.xy+other.xy
	m.cos, m.ratio, m.l1 = m.cos+other.cos, m.ratio+other.ratio, m.l1+other.l1
	m.active, m.n, m.batch = m.active+other.active, m.n+other.n, m.batch+other.batch
	m.legacyEV, m.legacyMSE = m.legacyEV+other.legacyEV, m.legacyMSE+other.legacyMSE
	for i, c := range other.firings {
		m.firings[i] += c
	}
	return nil
}

// Result are the measures of an SAE on a set of rows.
type Result struct {
	Rows       int64   `json:"rows"`
	L0         float64 `json:"l0"`  // mean number of active latents
	L1         float64 `json:"l1"`  // mean sum of activations
	MSE        float64 `json:"mse"` // mean over rows of |x - x^|^2, summed over dimensions
	MSEPerDim  float64 `json:"mse_per_dim"`
	FVU        float64 `json:"fvu"`                          // E|x - x^|^2 / E|x - E x|^2 over all rows
	Explained  float64 `json:"explained_variance"`           // 1 - FVU
	Cosine     float64 `json:"cosine"`                       // mean cosine of x and x^
	L2Ratio    float64 `json:"l2_ratio"`                     // mean |x^| / |x|
	RelBias    float64 `json:"relative_reconstruction_bias"` // E|x^|^2 / E[x . x^]; below 1 means shrinkage; 0 where nothing is reconstructed
	Dead       int     `json:"dead"`                         // latents never active on these rows
	AliveShare float64 `json:"alive_share"`

	ExplainedLegacy float64 `json:"explained_variance_legacy"` // mean over rows of 1 - |e|^2/|x - batch mean|^2 (SAEBench's paper)
	UncentredFVU    float64 `json:"fvu_uncentred_legacy"`      // E|x - x^|^2 / E|x|^2
	MSELegacy       float64 `json:"mse_saebench_legacy"`       // divided once more by the rows of the batch (SAEBench)

	Density   []float64        `json:"-"`         // share of rows on which each latent is active
	Histogram DensityHistogram `json:"histogram"` // of log10 density
}

// Result returns the measures so far. Over no rows, or rows without variance, the ratios are NaN.
func (m *Metrics) Result() Result {
	n, variance := float64(m.n), m.variance()
	r := Result{
		Rows: m.n, L0: float64(m.active) / n, L1: m.l1 / n,
		MSE: m.errSq / n, MSEPerDim: m.errSq / n / float64(m.d),
		FVU: m.errSq / variance, Explained: 1 - m.errSq/variance,
		Cosine: m.cos / n, L2Ratio: m.ratio / n, RelBias: m.ySq * inverse(m.xy),
		ExplainedLegacy: m.legacyEV / n, UncentredFVU: m.errSq / m.xSq, MSELegacy: m.legacyMSE / float64(m.batch),
		Density: make([]float64, m.f),
	}
	for i, c := range m.firings {
		if c == 0 {
			r.Dead++
		}
		r.Density[i] = float64(c) / n
	}
	r.AliveShare = 1 - float64(r.Dead)/float64(m.f)
	r.Histogram = histogram(r.Density)
	return r
}

// variance is the sum over rows of |x - E x|^2.
func (m *Metrics) variance() float64 {
	v := m.sumSq
	for _, s := range m.sum {
		v -= s * s / float64(m.n)
	}
	return v
}

// DensityHistogram counts latents by the log10 of their density, in half decades from 1e-7 (or less) to 1. Latents that
// were never active are counted apart.
type DensityHistogram struct {
	Edges []float64 `json:"log10_edges"` // the lower edge of each bin; the first has no lower limit
	Count []int     `json:"count"`
	Never int       `json:"never"`
}

func histogram(density []float64) DensityHistogram {
	const low, perDecade, bins = -7, 2, 14
	h := DensityHistogram{Count: make([]int, bins)}
	for b := range bins {
		h.Edges = append(h.Edges, low+float64(b)/perDecade)
	}
	for _, v := range density {
		if v == 0 {
			h.Never++
			continue
		}
		bin := int(math.Floor((math.Log10(v) - low) * perDecade))
		h.Count[min(max(bin, 0), bins-1)]++
	}
	return h
}
