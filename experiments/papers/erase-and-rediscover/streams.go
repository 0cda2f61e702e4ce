package eraseandrediscover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/circuits"
	"loupe/circuits/task"
	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/sae"
	"loupe/vectors"
)

// streams are the residual streams of prompts at a layer: the clean prompts' and then the corrupted ones', [2 rows, seq, d].
type streams struct {
	rows, seq, d int
	values       []float32
	examples     []task.Example
	first        int // the first position at which clean and corrupted prompts may differ
}

// read runs the model up to the layer.
func read(ctx context.Context, l *lab.Lab, layer int, examples []task.Example) (*streams, error) {
	p, err := circuits.PairsOf(examples)
	if err != nil {
		return nil, err
	}
	x := &streams{rows: p.Rows, seq: p.Seq, d: l.Model.Spec.DModel, examples: examples, first: p.Seq}
	for i := range p.Clean {
		if p.Mask[i] == 0 {
			return nil, errors.New("erase-and-rediscover: prompts of several lengths, so that positions do not stand for each other")
		}
		if p.Clean[i] != p.Corrupted[i] {
			x.first = min(x.first, i%p.Seq)
		}
	}
	site := model.Site{Kind: model.ResidPost, Layer: layer - 1}
	program, err := l.Engine.Compile(l.Model.Spec, model.Plan{Batch: p.Rows, Seq: p.Seq, To: layer, Captures: []model.Capture{{Site: site}}})
	if err != nil {
		return nil, err
	}
	for _, ids := range [][]int32{p.Clean, p.Corrupted} {
		out, err := program.Run(ctx, l.Model.Params, model.Inputs{IDs: ids})
		if err != nil {
			return nil, err
		}
		v, err := tensors.CopyFlatData[float32](out.Site(site))
		if err := errors.Join(err, out.Free()); err != nil {
			return nil, fmt.Errorf("erase-and-rediscover: %w", err)
		}
		x.values = append(x.values, v...)
	}
	return x, nil
}

// pairs are the first n prompts, a token for each place of the streams.
func (x *streams) pairs(n int) *circuits.Pairs {
	p := &circuits.Pairs{Rows: n, Seq: x.seq}
	for i := range n * x.seq {
		p.Clean, p.Corrupted = append(p.Clean, int32(i)), append(p.Corrupted, int32(x.rows*x.seq+i))
	}
	for _, e := range x.examples[:n] {
		p.Answer, p.Wrong = append(p.Answer, e.AnswerIDs), append(p.Wrong, e.WrongIDs)
	}
	return p
}

// plural tells the number of the subject of row r of the 2 rows.
func (x *streams) plural(r int) bool {
	e := x.examples[r%x.rows]
	return slices.Contains(e.Answers, " are") == (r < x.rows)
}

// noun numbers the subject's noun, whichever its number.
func (x *streams) noun() []int {
	seen := map[string]int{}
	out := make([]int, x.rows)
	for i, e := range x.examples {
		word := strings.TrimSuffix(strings.Fields(e.Clean)[1], "s")
		if _, ok := seen[word]; !ok {
			seen[word] = len(seen)
		}
		out[i] = seen[word]
	}
	return out
}

// at is the streams' values at a position, [2 rows, d].
func (x *streams) at(values []float32, position int) *mat.Dense {
	out := mat.NewDense(2*x.rows, x.d, nil)
	for r := range 2 * x.rows {
		row := out.RawRowView(r)
		for j, v := range values[(r*x.seq+position)*x.d:][:x.d] {
			row[j] = float64(v)
		}
	}
	return out
}

// edit is a variant of the streams.
type edit struct {
	name   string
	values []float32
}

// edits makes the variants: nothing changed; LEACE of the subject's number, fitted at each position from the subject on; a random direction away at
// the same positions; the latents that tell the numbers apart clamped to 0; and as many random latents that are on.
func (x *streams) edits(s *sae.SAE, latents int, seed uint64) ([]edit, error) {
	z := mat.NewDense(2*x.rows, 1, nil)
	for r := range 2 * x.rows {
		if x.plural(r) {
			z.Set(r, 0, 1)
		}
	}
	told, others, err := x.latents(s, latents, seed)
	if err != nil {
		return nil, err
	}
	out := []edit{{none, x.values}}
	for _, e := range []struct {
		name string
		of   func(rows *mat.Dense, position int) (*mat.Dense, error)
	}{
		{leace, func(rows *mat.Dense, _ int) (*mat.Dense, error) {
			cfg := vectors.DefaultLEACE()
			cfg.Shrinkage = true // the prompts are fewer than the dimensions
			fit, err := vectors.FitLEACE(rows, z, cfg)
			if err != nil {
				return nil, err
			}
			return fit.Apply(rows)
		}},
		{random, func(rows *mat.Dense, position int) (*mat.Dense, error) {
			fit, err := vectors.RandomProjection(x.d, 1, seed+uint64(position))
			if err != nil {
				return nil, err
			}
			return fit.Apply(rows)
		}},
		{clamp, func(rows *mat.Dense, _ int) (*mat.Dense, error) {
			return vectors.LatentClamp{SAE: s, Latents: told}.Apply(rows)
		}},
		{clampRandom, func(rows *mat.Dense, _ int) (*mat.Dense, error) {
			return vectors.LatentClamp{SAE: s, Latents: others}.Apply(rows)
		}},
	} {
		values := slices.Clone(x.values)
		for position := x.first; position < x.seq; position++ {
			rows, err := e.of(x.at(x.values, position), position)
			if err != nil {
				return nil, fmt.Errorf("%s at position %d: %w", e.name, position, err)
			}
			for r := range 2 * x.rows {
				for j, v := range rows.RawRowView(r) {
					values[(r*x.seq+position)*x.d+j] = float32(v)
				}
			}
		}
		out = append(out, edit{e.name, values})
	}
	return out, nil
}

// latents returns the n latents whose means differ most between the numbers, summed over positions, and n others that are on as a rule of the draw.
func (x *streams) latents(s *sae.SAE, n int, seed uint64) (told, others []int, err error) {
	differ, on := make([]float64, s.DSAE), make([]bool, s.DSAE)
	for position := x.first; position < x.seq; position++ {
		sums := [2][]float64{make([]float64, s.DSAE), make([]float64, s.DSAE)}
		for r := range 2 * x.rows {
			l, err := s.Encode(x.values[(r*x.seq+position)*x.d:][:x.d])
			if err != nil {
				return nil, nil, err
			}
			to := sums[0]
			if x.plural(r) {
				to = sums[1]
			}
			index, value := l.Row(0)
			for k, i := range index {
				if value[k] > 0 {
					to[i] += float64(value[k]) / float64(x.rows)
					on[i] = true
				}
			}
		}
		for i := range differ {
			differ[i] += math.Abs(sums[0][i] - sums[1][i])
		}
	}
	var active []int
	for i, yes := range on {
		if yes {
			active = append(active, i)
		}
	}
	if len(active) < 2*n {
		return nil, nil, fmt.Errorf("erase-and-rediscover: %d latents are on and %d are to be clamped, with as many others; clamp fewer", len(active), n)
	}
	slices.SortStableFunc(active, func(a, b int) int { return cmp.Compare(differ[b], differ[a]) })
	rest := active[n:]
	rand.New(rand.NewPCG(seed, 0x6c6174)).Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return active[:n], rest[:n], nil
}

// moved is the share of the streams' squared deviation from their mean at each position that the edit takes or adds.
func (x *streams) moved(e edit) float64 {
	var change, size float64
	for position := x.first; position < x.seq; position++ {
		old, now := x.at(x.values, position), x.at(e.values, position)
		for j := range x.d {
			sum := 0.0
			for r := range 2 * x.rows {
				sum += old.At(r, j)
			}
			mean := sum / float64(2*x.rows)
			for r := range 2 * x.rows {
				change += math.Pow(now.At(r, j)-old.At(r, j), 2)
				size += math.Pow(old.At(r, j)-mean, 2)
			}
		}
	}
	return change / size
}

// model is the blocks above with the edited streams as tokens; free lets its table go.
func (e edit) model(l *lab.Lab, above *model.Model) (m *model.Model, free func() error, err error) {
	table := make([]float32, above.Spec.Vocab*above.Spec.DModel)
	copy(table, e.values)
	params, err := above.Params.WithValues(l.Backend, map[string][]float32{"W_E": table})
	if err != nil {
		return nil, nil, err
	}
	return &model.Model{Name: above.Name + ", " + e.name, Dir: above.Dir, Spec: above.Spec, Params: params}, func() error { return params.FreeUnshared(above.Params) }, nil
}
