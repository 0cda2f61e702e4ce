package probe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	_ "go4.org/unsafe/assume-no-moving-gc" // pins the version that knows this Go; without it gorgonia stops the program at its start
	g "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"loupe/vectors"
)

// FitMLP trains a probe for each target by Adam on the cross-entropy (classes) or half the squared error (numbers in
// standard deviations), in gorgonia on the host: there is nothing to compile, so that many small probes cost what
// their arithmetic costs. Activations are standardised for the training, and the scale is then folded into the first
// layer. Targets are trained beside each other; equal seeds give equal probes. Rows of one group (nil: each its own) are not
// split between training and validation.
func FitMLP(ctx context.Context, x Rows, targets []Target, group []int, cfg MLPConfig, seed uint64) ([]*MLP, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := x.check("x"); err != nil {
		return nil, err
	}
	for _, t := range targets {
		if err := t.Check(x.N, 2); err != nil {
			return nil, err
		}
	}
	out, errs := make([]*MLP, len(targets)), make([]error, len(targets))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(targets)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(targets); i = int(next.Add(1)) - 1 {
				if out[i], errs[i] = fitMLP(ctx, x, targets[i], group, cfg, rand.New(rand.NewPCG(seed, uint64(i)))); errs[i] != nil {
					errs[i] = fmt.Errorf("probe: MLP of %s: %w", targets[i].Name, errs[i])
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fitMLP(ctx context.Context, x Rows, t Target, group []int, cfg MLPConfig, rng *rand.Rand) (m *MLP, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gorgonia: %v", r)
		}
	}()
	rows := t.Labelled()
	var held []int
	if cfg.Validation > 0 {
		var train []int
		train, held = splitGroups(pick(orEach(group, x.N), rows), cfg.Validation, rng)
		rows, held = pick(rows, train), pick(rows, held)
	}
	scale := newNetScale(x, t, rows)
	if constant(scale.deviation) {
		return nil, constantError(t.Name)
	}
	train := scale.data(x, t, rows)
	validation := train
	if len(held) > 0 {
		validation = scale.data(x, t, held)
	}
	net, err := newNet(train.in, train.out, min(cfg.Batch, train.n), cfg, t.Task == Regression, rng)
	if err != nil {
		return nil, err
	}
	defer net.close()
	best := math.Inf(1)
	var kept []Layer
	m = &MLP{}
	for since := 0; m.Epochs < cfg.Epochs; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rng.Shuffle(train.n, train.swap)
		if err := net.epoch(train); err != nil {
			return nil, err
		}
		m.Epochs++
		if cfg.Validation == 0 && m.Epochs < cfg.Epochs {
			continue
		}
		layers := net.layers()
		loss := validation.loss(layers, t.Task == Regression)
		if since++; loss < best {
			best, since, kept = loss, 0, layers
		}
		if cfg.Validation > 0 && since == cfg.Patience {
			break
		}
	}
	if kept == nil {
		return nil, fmt.Errorf("the loss is not finite: %w; lower learning_rate", vectors.ErrNotConverged)
	}
	m.Layers, m.Loss = kept, best
	scale.undo(m.Layers, t.Task)
	return m, nil
}

// netScale is what activations and numbers are standardised by.
type netScale struct {
	frame
	level, unit float64 // of numbers
}

func newNetScale(x Rows, t Target, rows []int) netScale {
	s := netScale{unit: 1}
	s.mean, s.deviation = x.spread(rows)
	if t.Task == Regression {
		values := pick(t.Value, rows)
		s.level = stat.Mean(values, nil)
		s.unit = max(stat.PopStdDev(values, nil), math.SmallestNonzeroFloat32)
	}
	return s
}

// undo makes layers of standardised rows layers of rows as they are, with one score for a binary probe.
func (s netScale) undo(layers []Layer, task Task) {
	layers[0].unscale(s.mean, s.deviation)
	last := &layers[len(layers)-1]
	switch task {
	case Binary:
		last.halve()
	case Regression:
		floats.Scale(s.unit, last.Weights)
		last.Bias[0] = last.Bias[0]*s.unit + s.level
	}
}

// netData are standardised rows [n, in] with their targets [n, out], one-hot for classes.
type netData struct {
	n, in, out int
	x, y       []float64
}

// data returns the given rows, standardised.
func (s netScale) data(x Rows, t Target, rows []int) netData {
	d := netData{n: len(rows), in: x.D, out: max(t.K(), 1), x: s.apply(x.Take(rows))}
	d.y = make([]float64, d.n*d.out)
	for i, r := range rows {
		if t.Task == Regression {
			d.y[i] = (t.Value[r] - s.level) / s.unit
		} else {
			d.y[i*d.out+t.Class[r]] = 1
		}
	}
	return d
}

func (d netData) slice(lo, hi int) netData {
	return netData{n: hi - lo, in: d.in, out: d.out, x: d.x[lo*d.in : hi*d.in], y: d.y[lo*d.out : hi*d.out]}
}

func (d netData) swap(i, j int) {
	swapRows(d.x, d.in, i, j)
	swapRows(d.y, d.out, i, j)
}

// loss is the mean loss of layers on standardised rows.
func (d netData) loss(layers []Layer, regression bool) float64 {
	h := mat.NewDense(d.n, d.in, d.x)
	for i, l := range layers {
		h = l.apply(h, i < len(layers)-1)
	}
	total := 0.0
	for i := range d.n {
		row, y := h.RawRowView(i), d.y[i*d.out:(i+1)*d.out]
		norm := floats.LogSumExp(row)
		for j, s := range row {
			if regression {
				total += (s - y[j]) * (s - y[j]) / 2
			} else if y[j] == 1 {
				total += norm - s
			}
		}
	}
	return total / float64(d.n)
}

func swapRows(v []float64, width, i, j int) {
	a, b := v[i*width:(i+1)*width], v[j*width:(j+1)*width]
	for k := range a {
		a[k], b[k] = b[k], a[k]
	}
}

// net is a gorgonia graph of the probe on batches of a fixed size.
type net struct {
	batch            int
	x, y, use        *g.Node // [batch, in], [batch, out], [batch, out]: 0 for padding
	weights, biases  []*g.Node
	cost             g.Value // mean loss of the batch and the penalty
	machine          g.VM
	solver           g.Solver
	bufX, bufY, bufU []float64
}

func newNet(in, out, batch int, cfg MLPConfig, regression bool, rng *rand.Rand) (*net, error) {
	graph := g.NewGraph()
	n := &net{batch: batch, bufX: make([]float64, batch*in), bufY: make([]float64, batch*out), bufU: make([]float64, batch*out)}
	matrix := func(name string, rows, cols int, values []float64) *g.Node {
		return g.NewMatrix(graph, tensor.Float64, g.WithShape(rows, cols), g.WithName(name),
			g.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(values))))
	}
	n.x, n.y, n.use = matrix("x", batch, in, n.bufX), matrix("y", batch, out, n.bufY), matrix("use", batch, out, n.bufU)
	h, width, penalty := n.x, in, (*g.Node)(nil)
	for l := range cfg.Layers + 1 {
		next := cfg.Hidden
		if l == cfg.Layers {
			next = out
		}
		values := make([]float64, width*next)
		for i := range values {
			values[i] = rng.NormFloat64() * math.Sqrt(2/float64(width)) // He et al., arXiv:1502.01852
		}
		w, b := matrix(fmt.Sprintf("w%d", l), width, next, values), matrix(fmt.Sprintf("b%d", l), 1, next, make([]float64, next))
		n.weights, n.biases = append(n.weights, w), append(n.biases, b)
		h = g.Must(g.BroadcastAdd(g.Must(g.Mul(h, w)), b, nil, []byte{0})) // [batch, next]
		if l < cfg.Layers {
			h = g.Must(g.Rectify(h))
		}
		size := g.Must(g.Sum(g.Must(g.Square(w))))
		if penalty == nil {
			penalty = size
		} else {
			penalty = g.Must(g.Add(penalty, size))
		}
		width = next
	}
	var sum *g.Node // of the batch's losses
	if regression {
		sum = g.Must(g.Mul(g.Must(g.Sum(g.Must(g.HadamardProd(n.use, g.Must(g.Square(g.Must(g.Sub(h, n.y)))))))), g.NewConstant(0.5)))
	} else {
		sum = g.Must(g.Neg(g.Must(g.Sum(g.Must(g.HadamardProd(n.y, g.Must(g.LogSoftMax(h, 1))))))))
	}
	cost := g.Must(g.Add(g.Must(g.Mul(sum, g.NewConstant(1/float64(batch)))), g.Must(g.Mul(penalty, g.NewConstant(cfg.L2/2)))))
	g.Read(cost, &n.cost)
	if _, err := g.Grad(cost, n.learnables()...); err != nil {
		return nil, fmt.Errorf("gorgonia: %w", err)
	}
	n.machine = g.NewTapeMachine(graph, g.BindDualValues(n.learnables()...))
	n.solver = g.NewAdamSolver(g.WithLearnRate(cfg.LearningRate))
	return n, nil
}

func (n *net) close() { n.machine.Close() }

func (n *net) learnables() g.Nodes { return slices.Concat(g.Nodes(n.weights), g.Nodes(n.biases)) }

// epoch goes through the rows in order, a step a batch.
func (n *net) epoch(d netData) error {
	for lo := 0; lo < d.n; lo += n.batch {
		n.fill(d.slice(lo, min(lo+n.batch, d.n)))
		if err := n.machine.RunAll(); err != nil {
			return fmt.Errorf("gorgonia: %w", err)
		}
		if err := n.solver.Step(g.NodesToValueGrads(n.learnables())); err != nil {
			return fmt.Errorf("gorgonia: %w", err)
		}
		n.machine.Reset()
	}
	return nil
}

// fill sets the graph's inputs to at most a batch of rows and pads it.
func (n *net) fill(d netData) {
	clear(n.bufX[copy(n.bufX, d.x):])
	clear(n.bufY[copy(n.bufY, d.y):])
	clear(n.bufU)
	for i := range d.n * d.out {
		n.bufU[i] = 1
	}
}

// layers copies the weights out, transposed to [out, in].
func (n *net) layers() []Layer {
	var out []Layer
	for i, node := range n.weights {
		shape := node.Shape()
		l := Layer{In: shape[0], Out: shape[1], Weights: make([]float64, shape[0]*shape[1])}
		for at, v := range node.Value().Data().([]float64) {
			l.Weights[at%l.Out*l.In+at/l.Out] = v
		}
		l.Bias = slices.Clone(n.biases[i].Value().Data().([]float64))
		out = append(out, l)
	}
	return out
}
