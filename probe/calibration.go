package probe

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"loupe/vectors"
)

// Probabilities turns scores [n, outputs] that are log-odds or logits into class probabilities [n, k].
func Probabilities(t Target, scores []float64) ([]float64, error) {
	k, out := t.K(), t.Outputs()
	if t.Task == Regression || len(scores)%max(out, 1) != 0 {
		return nil, fmt.Errorf("probe: probabilities of target %s (%s) from %d scores: %w", t.Name, t.Task, len(scores), vectors.ErrArgument)
	}
	n := len(scores) / out
	p := make([]float64, n*k)
	for i := range n {
		if t.Task == Binary {
			p[2*i], p[2*i+1] = sigmoid(-scores[i]), sigmoid(scores[i])
			continue
		}
		row := scores[i*k : (i+1)*k]
		norm := floats.LogSumExp(row)
		for c, s := range row {
			p[i*k+c] = math.Exp(s - norm)
		}
	}
	return p, nil
}

// Bin is the rows whose confidence lies in [Low, High).
type Bin struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	N          int     `json:"n"`
	Confidence float64 `json:"confidence"` // mean
	Accuracy   float64 `json:"accuracy"`
}

// Reliability says how far probabilities can be taken at their word.
type Reliability struct {
	LogLoss float64 `json:"log_loss"` // nats a row
	Brier   float64 `json:"brier"`    // mean over rows of the squared distance to the label, over 2 for two classes
	ECE     float64 `json:"ece"`      // mean over rows of |accuracy - confidence| of their bin
	Bins    []Bin   `json:"bins"`
}

// Calibration bins class probabilities p [n, k] of labelled rows by confidence, the probability of the class that is said, in bins
// of equal width (Guo et al., arXiv:1706.04599). Two classes: by the probability of class 1, against its share. Empty
// bins are left out.
func Calibration(t Target, p []float64, bins int) (Reliability, error) {
	n, k := t.Len(), t.K()
	if t.Task == Regression || len(p) != n*k || n == 0 || bins < 1 {
		return Reliability{}, fmt.Errorf("probe: calibration of target %s: %d probabilities for %d rows in %d bins: %w", t.Name, len(p), n, bins, vectors.ErrShape)
	}
	var r Reliability
	all := make([]Bin, bins)
	for i, class := range t.Class {
		if class == Unlabelled {
			return Reliability{}, fmt.Errorf("probe: calibration of target %s: row %d has no label: %w", t.Name, i, vectors.ErrClasses)
		}
		row := p[i*k : (i+1)*k]
		if s := floats.Sum(row); !(math.Abs(s-1) < 1e-6) {
			return Reliability{}, fmt.Errorf("probe: calibration of target %s: probabilities of row %d sum to %v: %w", t.Name, i, s, vectors.ErrArgument)
		}
		said, confidence := 1, row[1]
		if t.Task == Multiclass {
			said = floats.MaxIdx(row)
			confidence = row[said]
		}
		r.LogLoss -= math.Log(max(row[class], math.SmallestNonzeroFloat64)) / float64(n)
		for c, v := range row {
			d := v
			if c == class {
				d--
			}
			if t.Task == Binary {
				d /= math.Sqrt2
			}
			r.Brier += d * d / float64(n)
		}
		b := &all[min(int(confidence*float64(bins)), bins-1)]
		b.N++
		b.Confidence += confidence
		if said == class {
			b.Accuracy++
		}
	}
	for i, b := range all {
		if b.N == 0 {
			continue
		}
		b.Low, b.High = float64(i)/float64(bins), float64(i+1)/float64(bins)
		b.Confidence /= float64(b.N)
		b.Accuracy /= float64(b.N)
		r.ECE += math.Abs(b.Accuracy-b.Confidence) * float64(b.N) / float64(n)
		r.Bins = append(r.Bins, b)
	}
	return r, nil
}

// Calibrator maps scores to better log-odds or logits: Slope s + Offset.
type Calibrator struct {
	Slope  float64 `json:"slope"`
	Offset float64 `json:"offset"` // 0 for several classes
}

// Apply returns the calibrated scores.
func (c Calibrator) Apply(scores []float64) []float64 {
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = c.Slope*s + c.Offset
	}
	return out
}

// Calibrate fits a Calibrator to scores [n, outputs] of rows that the probe was not fitted on. A binary probe gets Platt's
// sigmoid with his smoothed targets (N1+1)/(N1+2) and 1/(N0+2) (Advances in Large Margin Classifiers, 1999); several
// classes get a temperature, Slope = 1/T (arXiv:1706.04599).
func Calibrate(t Target, scores []float64) (Calibrator, error) {
	if err := t.Check(t.Len(), 1); err != nil {
		return Calibrator{}, err
	}
	if t.Task == Regression || len(scores) != t.Len()*t.Outputs() || len(t.Labelled()) < t.Len() {
		return Calibrator{}, fmt.Errorf("probe: calibrate target %s (%s): %d scores for %d rows: %w; give scores of labelled rows", t.Name, t.Task, len(scores), t.Len(), vectors.ErrShape)
	}
	if t.Task == Multiclass {
		return temperature(t, scores)
	}
	return platt(t, scores)
}

// platt is Newton's method with step halving on the cross-entropy of two parameters.
func platt(t Target, scores []float64) (Calibrator, error) {
	counts := t.Counts()
	high, low := (float64(counts[1])+1)/(float64(counts[1])+2), 1/(float64(counts[0])+2)
	goal := func(i int) float64 {
		if t.Class[i] == 1 {
			return high
		}
		return low
	}
	loss := func(a, b float64) float64 {
		total := 0.0
		for i, s := range scores {
			z := a*s + b
			total += max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) - goal(i)*z
		}
		return total
	}
	a, b := 0.0, math.Log((float64(counts[1])+1)/(float64(counts[0])+1))
	value := loss(a, b)
	for range 200 {
		var ga, gb, haa, hab, hbb float64
		for i, s := range scores {
			p := sigmoid(a*s + b)
			g, h := p-goal(i), p*(1-p)
			ga, gb = ga+g*s, gb+g
			haa, hab, hbb = haa+h*s*s, hab+h*s, hbb+h
		}
		haa, hbb = haa+1e-12*(1+haa), hbb+1e-12*(1+hbb)
		det := haa*hbb - hab*hab
		da, db := (hbb*ga-hab*gb)/det, (haa*gb-hab*ga)/det
		decrease := da*ga + db*gb
		if !(decrease > 1e-14*(1+value)) {
			return Calibrator{Slope: a, Offset: b}, nil
		}
		step := 1.0
		for ; step > 1e-10; step /= 2 {
			if next := loss(a-step*da, b-step*db); next < value {
				a, b, value = a-step*da, b-step*db, next
				break
			}
		}
		if step <= 1e-10 {
			return Calibrator{Slope: a, Offset: b}, nil
		}
	}
	return Calibrator{}, fmt.Errorf("probe: calibrate target %s: 200 Newton steps: %w; are the scores finite?", t.Name, vectors.ErrNotConverged)
}

// temperature minimises the cross-entropy of Slope * scores over log Slope, which has one minimum, by golden section.
func temperature(t Target, scores []float64) (Calibrator, error) {
	k := t.K()
	row := make([]float64, k)
	loss := func(logSlope float64) float64 {
		slope, total := math.Exp(logSlope), 0.0
		for i, class := range t.Class {
			floats.ScaleTo(row, slope, scores[i*k:(i+1)*k])
			total += floats.LogSumExp(row) - row[class]
		}
		return total
	}
	lo, hi := -10.0, 10.0
	ratio := (math.Sqrt(5) - 1) / 2
	x, y := hi-ratio*(hi-lo), lo+ratio*(hi-lo)
	fx, fy := loss(x), loss(y)
	for hi-lo > 1e-9 {
		if fx < fy {
			hi, y, fy = y, x, fx
			x = hi - ratio*(hi-lo)
			fx = loss(x)
		} else {
			lo, x, fx = x, y, fy
			y = lo + ratio*(hi-lo)
			fy = loss(y)
		}
	}
	if math.IsNaN(fx) {
		return Calibrator{}, fmt.Errorf("probe: calibrate target %s: %w; are the scores finite?", t.Name, vectors.ErrNotFinite)
	}
	return Calibrator{Slope: math.Exp((lo + hi) / 2)}, nil
}
