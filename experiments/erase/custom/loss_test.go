package custom

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"loupe/vectors"
)

func random(rng *rand.Rand, n, d int) *mat.Dense {
	x := mat.NewDense(n, d, nil)
	for i := range x.RawMatrix().Data {
		x.RawMatrix().Data[i] = rng.NormFloat64()
	}
	return x
}

// checkGradient compares a gradient with central differences of a loss of x.
func checkGradient(t *testing.T, what string, x, gradient *mat.Dense, loss func() float64) {
	t.Helper()
	const h = 1e-5
	data, worst := x.RawMatrix().Data, 0.0
	for i := range data {
		v := data[i]
		data[i] = v + h
		up := loss()
		data[i] = v - h
		down := loss()
		data[i] = v
		worst = max(worst, math.Abs((up-down)/(2*h)-gradient.RawMatrix().Data[i]))
	}
	if !(worst < 1e-8) { // differences err by about h² and by 1e-16 / h
		t.Errorf("%s: the gradient is off by %g", what, worst)
	}
}

// TestSemanticPreservationHand: cos 0.6 of (3, 4) with (1, 0), the gradient by hand and by differences; no change by scale.
func TestSemanticPreservationHand(t *testing.T) {
	a, b := []float64{3, 4}, []float64{2, 0}
	loss, g, err := SemanticPreservation(a, b)
	if err != nil {
		t.Fatal(err)
	}
	// 1 - 3/5; d cos = b/(|a||b|) - cos a/|a|² = (1/5 - 0.6*3/25, -0.6*4/25)
	for i, want := range []float64{-(0.2 - 0.072), 0.096} {
		if !(math.Abs(g[i]-want) < 1e-15) {
			t.Errorf("gradient %d: %v, want %v", i, g[i], want)
		}
	}
	if !(math.Abs(loss-0.4) < 1e-15) {
		t.Errorf("loss %v", loss)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	x, y := random(rng, 1, 7), random(rng, 1, 7)
	_, g, _ = SemanticPreservation(x.RawRowView(0), y.RawRowView(0))
	checkGradient(t, "semantic preservation", x, mat.NewDense(1, 7, g), func() float64 {
		l, _, _ := SemanticPreservation(x.RawRowView(0), y.RawRowView(0))
		return l
	})
	if _, _, err := SemanticPreservation([]float64{0, 0}, b); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("a zero embedding: %v", err)
	}
}

// TestSupConHand: two labels of two equal rows, orthogonal to each other.
func TestSupConHand(t *testing.T) {
	x := mat.NewDense(4, 2, []float64{1, 0, 2, 0, 0, 1, 0, 3})
	loss, _, err := SupCon(x, []int{5, 5, 7, 7}, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	// each row sees its partner at 1/0.5 = 2 and two others at 0
	if want := math.Log(math.Exp(2)+2) - 2; !(math.Abs(loss-want) < 1e-14) {
		t.Errorf("loss %v, want %v", loss, want)
	}
	// a row without a partner is only a negative: rows 0 and 1 as before, the third is no anchor
	if loss, _, err = SupCon(mat.NewDense(3, 2, []float64{1, 0, 2, 0, 0, 1}), []int{1, 1, 2}, 1); err != nil || !(math.Abs(loss-(math.Log(math.E+1)-1)) < 1e-14) {
		t.Errorf("loss %v, %v", loss, err)
	}
}

// TestSupConGradient: central differences, with labels of one to three rows.
func TestSupConGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	x, label := random(rng, 7, 5), []int{0, 0, 1, 1, 1, 2, 0}
	_, g, err := SupCon(x, label, 0.3)
	if err != nil {
		t.Fatal(err)
	}
	checkGradient(t, "SupCon", x, g, func() float64 {
		l, _, _ := SupCon(x, label, 0.3)
		return l
	})
}

// TestSupConProperties: rows keep their value under rotation, permutation and scale, and the loss is least where labels agree with
// the rows.
func TestSupConProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	x, label := random(rng, 8, 6), []int{0, 0, 1, 1, 2, 2, 3, 3}
	want, _, err := SupCon(x, label, 0.2)
	if err != nil {
		t.Fatal(err)
	}
	var qr mat.QR
	var q, turned mat.Dense
	qr.Factorize(random(rng, 6, 6))
	qr.QTo(&q)
	turned.Mul(x, &q)
	order := rng.Perm(8)
	y, other := mat.NewDense(8, 6, nil), make([]int, 8)
	for i, r := range order {
		row := mat.Row(nil, r, &turned)
		for j := range row {
			row[j] *= float64(i + 1)
		}
		y.SetRow(i, row)
		other[i] = label[r]
	}
	if got, _, err := SupCon(y, other, 0.2); err != nil || !(math.Abs(got-want) < 1e-12) {
		t.Errorf("turned, permuted and scaled: %v, %v; want %v", got, err, want)
	}
	planted := mat.NewDense(8, 6, nil)
	for i := range 8 {
		planted.Set(i, label[i], 1)
		planted.Set(i, 5, 0.1*rng.NormFloat64())
	}
	right, _, _ := SupCon(planted, label, 0.2)
	wrong, _, _ := SupCon(planted, []int{0, 1, 1, 2, 2, 3, 3, 0}, 0.2)
	if !(right < wrong-1) {
		t.Errorf("loss %v with the planted labels, %v with others", right, wrong)
	}
	for _, bad := range []struct {
		label []int
		t     float64
		want  error
	}{{label[:3], 1, vectors.ErrShape}, {label, 0, vectors.ErrArgument}, {make([]int, 8), 1, vectors.ErrClasses}, {[]int{0, 1, 2, 3, 4, 5, 6, 7}, 1, vectors.ErrClasses}} {
		if _, _, err := SupCon(x, bad.label, bad.t); !errors.Is(err, bad.want) {
			t.Errorf("labels %v, temperature %v: %v", bad.label, bad.t, err)
		}
	}
}

// TestAspectLossGradient: central differences through both heads' outputs.
func TestAspectLossGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	z := []*mat.Dense{random(rng, 6, 4), random(rng, 6, 4)}
	labels := [][]int{{0, 0, 1, 1, 2, 2}, {0, 1, 0, 1, 0, 1}}
	_, g, err := AspectLoss(z, labels, 0.4, 1.7)
	if err != nil {
		t.Fatal(err)
	}
	for a := range z {
		checkGradient(t, "aspect", z[a], g[a], func() float64 {
			l, _, _ := AspectLoss(z, labels, 0.4, 1.7)
			return l
		})
	}
}

// TestAspectLossHand: outputs of two heads that are parallel pay the weight, orthogonal ones nothing.
func TestAspectLossHand(t *testing.T) {
	a := mat.NewDense(4, 4, []float64{1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0})
	free := mat.NewDense(4, 4, []float64{0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1})
	labels := [][]int{{0, 0, 1, 1}, {0, 1, 0, 1}}
	without, _, err := AspectLoss([]*mat.Dense{a, free}, labels, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 * (math.Log(math.E+2) - 1); !(math.Abs(without-want) < 1e-14) {
		t.Errorf("loss %v, want %v", without, want)
	}
	if with, _, _ := AspectLoss([]*mat.Dense{a, free}, labels, 1, 3); with != without {
		t.Errorf("orthogonal outputs: %v, want %v", with, without)
	}
	// the same rows for both heads: |cos| is 1 everywhere
	same := [][]int{{0, 0, 1, 1}, {0, 0, 1, 1}}
	l0, _, _ := AspectLoss([]*mat.Dense{a, a}, same, 1, 0)
	if l3, _, _ := AspectLoss([]*mat.Dense{a, a}, same, 1, 3); !(math.Abs(l3-l0-3) < 1e-14) {
		t.Errorf("parallel outputs pay %v, want 3", l3-l0)
	}
}

// TestAspectLossGorgonia: value and gradients as gorgonia differentiates them, of the loss written as a graph of its own.
func TestAspectLossGorgonia(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	const n, h, temperature, orthogonal = 6, 4, 0.4, 1.3
	z := []*mat.Dense{random(rng, n, h), random(rng, n, h)}
	labels := [][]int{{0, 0, 1, 1, 2, 2}, {0, 1, 2, 0, 1, 2}}
	want, gradients, err := AspectLoss(z, labels, temperature, orthogonal)
	if err != nil {
		t.Fatal(err)
	}
	graph := gorgonia.NewGraph()
	matrix := func(name string, rows, cols int, values []float64) *gorgonia.Node {
		return gorgonia.NewMatrix(graph, tensor.Float64, gorgonia.WithShape(rows, cols), gorgonia.WithName(name),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(values))))
	}
	var nodes, units gorgonia.Nodes
	var cost *gorgonia.Node
	add := func(term *gorgonia.Node) {
		if cost == nil {
			cost = term
			return
		}
		cost = gorgonia.Must(gorgonia.Add(cost, term))
	}
	ones := make([]float64, h)
	for j := range ones {
		ones[j] = 1
	}
	column := matrix("ones", h, 1, ones)
	row := matrix("row", 1, h, append([]float64{}, ones...))
	for a, x := range z {
		node := matrix([]string{"content", "style"}[a], n, h, append([]float64{}, x.RawMatrix().Data...))
		norm := gorgonia.Must(gorgonia.Sqrt(gorgonia.Must(gorgonia.Mul(gorgonia.Must(gorgonia.Square(node)), column)))) // [n, 1]
		unit := gorgonia.Must(gorgonia.HadamardDiv(node, gorgonia.Must(gorgonia.Mul(norm, row))))
		hide, pick := make([]float64, n*n), make([]float64, n*n) // a row's own similarity, and the share of its positive
		for i := range n {
			hide[i*n+i] = -60 // e^-60 of the sum, where the method leaves it out
			for p := range n {
				if p != i && labels[a][p] == labels[a][i] {
					pick[i*n+p] = 1.0 / n
				}
			}
		}
		s := gorgonia.Must(gorgonia.Mul(unit, gorgonia.Must(gorgonia.Transpose(unit))))
		s = gorgonia.Must(gorgonia.Mul(s, gorgonia.NewConstant(1/temperature)))
		s = gorgonia.Must(gorgonia.Add(s, matrix([]string{"hide0", "hide1"}[a], n, n, hide)))
		p := gorgonia.Must(gorgonia.LogSoftMax(s, 1))
		add(gorgonia.Must(gorgonia.Neg(gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.HadamardProd(p, matrix([]string{"pick0", "pick1"}[a], n, n, pick))))))))
		nodes, units = append(nodes, node), append(units, unit)
	}
	cosines := gorgonia.Must(gorgonia.Mul(gorgonia.Must(gorgonia.HadamardProd(units[0], units[1])), column))
	add(gorgonia.Must(gorgonia.Mul(gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Abs(cosines)))), gorgonia.NewConstant(orthogonal/n))))
	if _, err := gorgonia.Grad(cost, nodes...); err != nil {
		t.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(graph, gorgonia.BindDualValues(nodes...))
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	if got := cost.Value().Data().(float64); !(math.Abs(got-want) < 1e-9) {
		t.Errorf("loss %v, gorgonia's %v", want, got)
	}
	for a, node := range nodes {
		g, err := node.Grad()
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range g.Data().([]float64) {
			if !(math.Abs(v-gradients[a].RawMatrix().Data[i]) < 1e-9) {
				t.Fatalf("head %d, entry %d: %v, gorgonia's %v", a, i, gradients[a].RawMatrix().Data[i], v)
			}
		}
	}
}
