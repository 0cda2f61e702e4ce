package sae

import (
	"math"
	"testing"
)

// TestLinearMap: on rows y = x A + noise with A of rank 2, the map of rank 2 leaves the noise and that of rank 1 more; where
// target and input are the same it is PCA; an input that lies in a plane is no obstacle.
func TestLinearMap(t *testing.T) {
	const n, dIn, dOut = 4000, 5, 3
	x, noise, a := normals(1, n*dIn), normals(2, n*dOut), normals(3, dIn*2)
	b := normals(4, 2*dOut)
	var joint, y []float32
	for r := range n {
		row := x[r*dIn : (r+1)*dIn]
		row[0] += 7
		row[4] = 2*row[1] - 1 // of no variance of its own
		var code [2]float32
		for j, v := range row {
			code[0], code[1] = code[0]+v*a[2*j], code[1]+v*a[2*j+1]
		}
		out := make([]float32, dOut)
		for j := range out {
			out[j] = code[0]*b[j] + code[1]*b[dOut+j] + noise[r*dOut+j]/10 + 3
		}
		joint, y = append(append(joint, row...), out...), append(y, out...)
	}
	rows, sum, cross := moments(joint, dIn+dOut)
	fvu := func(k int) float64 {
		m, err := NewLinearMap(rows, sum, cross, dIn, k)
		if err != nil {
			t.Fatal(err)
		}
		lat, got, err := m.Reconstruct(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		metrics := NewMetrics(dOut, k)
		if err := metrics.Add(y, got, lat); err != nil {
			t.Fatal(err)
		}
		return metrics.Result().FVU
	}
	variance := 0.0
	for j := range dOut {
		i := dIn + j
		variance += cross[i*(dIn+dOut)+i]/rows - sum[i]*sum[i]/rows/rows
	}
	if got, want := fvu(2), 0.01*dOut/variance; math.Abs(got/want-1) > 0.1 {
		t.Errorf("rank 2 leaves %v of the variance; the noise is %v", got, want)
	}
	if one, two := fvu(1), fvu(2); one < 2*two {
		t.Errorf("rank 1 leaves %v, rank 2 %v", one, two)
	}
	if _, err := NewLinearMap(rows, sum, cross, dIn, 4); err == nil {
		t.Error("a rank above the target's width")
	}

	twice := make([]float32, 0, 2*len(x))
	for r := range n {
		twice = append(append(twice, x[r*dIn:(r+1)*dIn]...), x[r*dIn:(r+1)*dIn]...)
	}
	rows, sum, cross = moments(twice, 2*dIn)
	m, err := NewLinearMap(rows, sum, cross, dIn, 2)
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := m.Reconstruct(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	rows, sum, cross = moments(x, dIn)
	p, err := NewPCA(rows, sum, cross, 2)
	if err != nil {
		t.Fatal(err)
	}
	_, want, err := p.Reconstruct(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "as PCA", got, want, 1e-4, 1e-4)
}
