package cgbc

import (
	"math/rand/v2"
	"strings"
)

// Conditions of the pool: what some of its phrases are replaced by, and where.
const (
	clean      = "clean"
	foreign    = "foreign"      // words of no topic, in every topic
	mislabel   = "other topics" // phrases of other topics, in every topic
	uneven     = "foreign, every second topic"
	unevenMix  = "other topics, every second topic"
	namesMixed = "names shuffled" // phrases dealt out to the topics at random
)

var conditions = []string{clean, foreign, mislabel, uneven, unevenMix, namesMixed}

// pool is the phrases of every topic, grouped by topic, and which of them are outliers.
type pool struct {
	phrases []string
	outlier []bool
}

// pool draws the pool of a condition.
func (p *panel) pool(condition string) pool {
	rng := rand.New(rand.NewPCG(p.seed, 0x706f6f6c)) // "pool"
	out := pool{phrases: append([]string(nil), p.data.Phrases...), outlier: make([]bool, len(p.data.Phrases))}
	if condition == clean {
		return out
	}
	if condition == namesMixed {
		rng.Shuffle(len(out.phrases), func(i, j int) { out.phrases[i], out.phrases[j] = out.phrases[j], out.phrases[i] })
		return out
	}
	size := p.cfg.Data.Phrases
	strangers := rng.Perm(len(p.foreign))
	for t := range p.cfg.Data.Topics {
		share := p.cfg.Outliers
		if condition == uneven || condition == unevenMix {
			share = 0
			if t%2 == 0 {
				share = p.cfg.Uneven
			}
		}
		for _, j := range rng.Perm(size)[:int(share*float64(size)+0.5)] {
			at := t*size + j
			out.outlier[at] = true
			switch condition {
			case foreign, uneven:
				out.phrases[at] = p.foreign[strangers[0]]
				strangers = append(strangers[1:], strangers[0])
			default:
				from := rng.IntN(len(p.data.Phrases) - size) // of another topic
				if from >= t*size {
					from += size
				}
				out.phrases[at] = p.data.Phrases[from]
			}
		}
	}
	return out
}

// prompts are the texts that stand for the concepts: by the configured prompt, or the bare phrase.
func (p *panel) prompts(of pool, bare bool) []string {
	out := make([]string, len(of.phrases))
	for i, phrase := range of.phrases {
		out[i] = phrase
		if !bare {
			out[i] = strings.NewReplacer("{topic}", p.cfg.Data.Topics[p.data.Of[i]], "{phrase}", phrase).Replace(p.cfg.Prompt)
		}
	}
	return out
}
