package conceptcircuits

import (
	"fmt"
	"math"
	"math/rand/v2"

	"loupe/circuits"
	"loupe/probe/train"
)

// world is what a model is taught: fictional concepts with two-part names, and one value for each of some relations. Tokens: 0 starts a
// text; then first parts, second parts, relations, values (a pool for each relation).
type world struct {
	cfg   *Config
	names [][2]int32
	value [][]int32 // [concept][relation]
	// later tells which concepts are taught in the second stage, kin which of the first share their first part with one of those.
	later, kin []bool
}

const (
	textLen = 5 // start, first part, second part, relation, value
	askLen  = 4
)

// newWorld draws names and values. Of the second stage's concepts, half take their first part from a concept of the first stage; the
// others have parts of their own. No two concepts have one name.
func newWorld(c *Config) *world {
	r := rand.New(rand.NewPCG(uint64(c.Seed), 0x6669636f)) // "fico"
	w := &world{cfg: c, later: make([]bool, c.Concepts), kin: make([]bool, c.Concepts)}
	half := c.Concepts / 2
	second := 1 + int32(c.Concepts)
	relation := second + int32(c.Parts)
	pool := relation + int32(c.Relations)
	for i := range c.Concepts {
		first := 1 + int32(i)
		if w.later[i] = i >= half; w.later[i] && i%2 == 0 {
			of := i - half
			first, w.kin[of] = w.names[of][0], true
		}
		name := [2]int32{first, second + int32(r.IntN(c.Parts))}
		for w.taken(name) {
			name[1] = second + int32(r.IntN(c.Parts))
		}
		w.names = append(w.names, name)
		var values []int32
		for k := range c.Relations {
			values = append(values, pool+int32(k*c.Values+r.IntN(c.Values)))
		}
		w.value = append(w.value, values)
	}
	return w
}

func (w *world) taken(name [2]int32) bool {
	for _, n := range w.names {
		if n == name {
			return true
		}
	}
	return false
}

// vocab is the number of tokens.
func (c *Config) vocab() int { return 1 + c.Concepts + c.Parts + c.Relations + c.Relations*c.Values }

// relationToken is the token of a relation.
func (w *world) relationToken(k int) int32 { return int32(1 + w.cfg.Concepts + w.cfg.Parts + k) }

// text is a concept's fact.
func (w *world) text(concept, k int) []int32 {
	return []int32{0, w.names[concept][0], w.names[concept][1], w.relationToken(k), w.value[concept][k]}
}

// source gives batches of facts of one stage's concepts; concept i comes up with weight exposure[i].
func (w *world) source(later bool, exposure []float64) train.Source {
	total := 0.0
	for i, e := range exposure {
		if w.later[i] == later {
			total += e
		}
	}
	return func(r *rand.Rand, _ int) (train.Rows, error) {
		rows := train.Rows{B: w.cfg.Batch, T: textLen}
		for range w.cfg.Batch {
			at, pick := r.Float64()*total, -1
			for i, e := range exposure {
				if w.later[i] != later {
					continue
				}
				if pick = i; at < e {
					break
				}
				at -= e
			}
			if pick < 0 {
				return rows, fmt.Errorf("concept-circuits: no concept in the stage")
			}
			rows.IDs = append(rows.IDs, w.text(pick, r.IntN(w.cfg.Relations))...)
		}
		return rows, nil
	}
}

// exposure draws how often each concept is taught, log-uniformly from 1 to the configured ratio.
func (w *world) exposure() []float64 {
	r := rand.New(rand.NewPCG(uint64(w.cfg.Seed), 0x6578706f)) // "expo"
	out := make([]float64, w.cfg.Concepts)
	for i := range out {
		out[i] = math.Pow(w.cfg.Exposure, r.Float64())
	}
	return out
}

// pairs asks every relation of a concept beside another concept of its stage with another value there, Foils times.
func (w *world) pairs(concept int) (*circuits.Pairs, error) {
	r := rand.New(rand.NewPCG(uint64(w.cfg.Seed), uint64(concept)))
	p := &circuits.Pairs{Seq: askLen}
	for k := range w.cfg.Relations {
		for range w.cfg.Foils {
			other := -1
			for range 1000 {
				if o := r.IntN(w.cfg.Concepts); w.later[o] == w.later[concept] && w.value[o][k] != w.value[concept][k] {
					other = o
					break
				}
			}
			if other < 0 {
				return nil, fmt.Errorf("concept-circuits: all concepts have value %d for relation %d; take more values", w.value[concept][k], k)
			}
			p.Clean = append(p.Clean, w.text(concept, k)[:askLen]...)
			p.Corrupted = append(p.Corrupted, w.text(other, k)[:askLen]...)
			p.Answer = append(p.Answer, []int32{w.value[concept][k]})
			p.Wrong = append(p.Wrong, []int32{w.value[other][k]})
			p.Rows++
		}
	}
	return p, nil
}
