package shallow

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/circuits"
	"loupe/probe/model"
	"loupe/probe/train"
)

// job is a task: texts to learn from, and questions whose last token has one right continuation.
type job struct {
	name, title string
	seq, vocab  int
	source      func(batch int) train.Source
	pairs       func(rows int, seed uint64) *circuits.Pairs // a question, the same with another right continuation, and both
}

var tasks = []job{facts(), repeats()}

// loss is the mean cross-entropy in nats of the right continuation of fresh questions.
func (k job) loss(ctx context.Context, e *model.Engine, m *model.Model, rows int, seed uint64) (_ float64, err error) {
	p := k.pairs(rows, ^seed)
	program, err := e.Compile(m.Spec, model.Plan{Batch: p.Rows, Seq: p.Seq, Logits: model.LogitsAll})
	if err != nil {
		return 0, err
	}
	out, err := program.Run(ctx, m.Params, model.Inputs{IDs: p.Clean})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	logits, err := tensors.CopyFlatData[float32](out.Logits())
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for r := range p.Rows {
		row := logits[((r+1)*p.Seq-1)*k.vocab:][:k.vocab]
		top, z := math.Inf(-1), 0.0
		for _, l := range row {
			top = max(top, float64(l))
		}
		for _, l := range row {
			z += math.Exp(float64(l) - top)
		}
		sum += top + math.Log(z) - float64(row[p.Answer[r][0]])
	}
	return sum / float64(p.Rows), nil
}

// facts: a text is start, key, relation, value, every key having one value for each relation, of a pool for each relation. What a key and
// a relation say can be added up: the key's four values, and the relation's pool.
func facts() job {
	const keys, relations, values = 64, 4, 16
	table := rand.New(rand.NewPCG(1, 0x66616374)) // "fact"
	of := make([][relations]int32, keys)
	for i := range of {
		for k := range relations {
			of[i][k] = int32(1 + keys + relations + k*values + table.IntN(values))
		}
	}
	ask := func(key, relation int) []int32 { return []int32{0, int32(1 + key), int32(1 + keys + relation)} }
	return job{
		name: "facts", title: "facts (256 of 64 keys and 4 relations)", seq: 4, vocab: 1 + keys + relations + relations*values,
		source: func(batch int) train.Source {
			return func(r *rand.Rand, _ int) (train.Rows, error) {
				rows := train.Rows{B: batch, T: 4}
				for range batch {
					key, relation := r.IntN(keys), r.IntN(relations)
					rows.IDs = append(append(rows.IDs, ask(key, relation)...), of[key][relation])
				}
				return rows, nil
			}
		},
		pairs: func(rows int, seed uint64) *circuits.Pairs {
			r := rand.New(rand.NewPCG(seed, 2))
			p := &circuits.Pairs{Rows: rows, Seq: 3}
			for range rows {
				relation, key, other := r.IntN(relations), r.IntN(keys), r.IntN(keys)
				for of[other][relation] == of[key][relation] {
					other = r.IntN(keys)
				}
				p.Clean, p.Corrupted = append(p.Clean, ask(key, relation)...), append(p.Corrupted, ask(other, relation)...)
				p.Answer, p.Wrong = append(p.Answer, []int32{of[key][relation]}), append(p.Wrong, []int32{of[other][relation]})
			}
			return p
		},
	}
}

// repeats: random tokens that come again, period by period. What follows is known from the second period on, by looking for the last token
// where it stood before and at what followed it: two steps, one on top of the other.
func repeats() job {
	const vocab, seq, period, shown = 64, 32, 10, 5
	return job{
		name: "repeats", title: "repeats (random tokens that come again)", seq: seq, vocab: vocab,
		source: func(batch int) train.Source { return train.RepeatSource(batch, seq, 0, vocab) },
		pairs: func(rows int, seed uint64) *circuits.Pairs {
			r := rand.New(rand.NewPCG(seed, 3))
			p := &circuits.Pairs{Rows: rows, Seq: period + shown}
			for range rows {
				order := r.Perm(vocab)
				text := make([]int32, period+shown)
				for i := range text {
					text[i] = int32(order[i%period])
				}
				p.Clean = append(p.Clean, text...)
				other := int32(order[period])
				p.Answer, p.Wrong = append(p.Answer, []int32{text[shown]}), append(p.Wrong, []int32{other})
				text[shown] = other
				p.Corrupted = append(p.Corrupted, text...)
			}
			return p
		},
	}
}
