package craft

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"unicode/utf8"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/vectors"
)

// texts are texts of several sentences with what the model has at their tokens, special ones left out.
type texts struct {
	text      []string
	topics    [][]int      // of each text's sentences
	ends      [][]int      // code point at which each sentence ends
	words     [][][][2]int // code points of each sentence's words of its topic
	topic     [][]int      // of each token: its sentence's
	word      [][]bool     // tokens of a topic's word
	late      []*mat.Dense
	early     []*mat.Dense
	embedding *mat.Dense     // [texts, w]
	edges     [][2][]float64 // the late activations of the special tokens before and after
}

// sentence is one that is about a topic, with the code points of the topic's words in it.
type sentence struct {
	text  string
	words [][2]int
}

// lists are n sentences that list some of the words that the topic has in the chosen places.
func lists(t *lab.Sentences, places []int, words, n int, rng *rand.Rand) []sentence {
	var all []string
	for _, i := range places {
		if w := t.Items[i].Word; t.Class[i] == 1 && !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	out := make([]sentence, n)
	for i := range out {
		text := ""
		for j, at := range rng.Perm(len(all))[:min(words, len(all))] {
			switch {
			case j > 0 && j == min(words, len(all))-1:
				text += " and "
			case j > 0:
				text += ", "
			}
			from := utf8.RuneCountInString(text)
			text += all[at]
			out[i].words = append(out[i].words, [2]int{from, utf8.RuneCountInString(text)})
		}
		out[i].text = text + "."
	}
	return out
}

// compose joins sentences about topics, every sentence once, to texts about different topics.
func compose(c *Config, all []*lab.Sentences, held bool) (*texts, error) {
	seed := uint64(c.Seed)
	if held {
		seed += 1 << 32
	}
	rng := rand.New(rand.NewPCG(seed, 0x636f6d706f736564)) // "composed"
	left := make([][]sentence, len(c.Topics))
	for k, name := range c.Topics {
		for _, t := range all {
			if t.Concept != name {
				continue
			}
			places := t.Split.Train
			if held {
				places = t.Split.Test
			}
			for _, i := range places {
				if t.Class[i] == 1 {
					left[k] = append(left[k], sentence{t.Texts[i], [][2]int{t.Items[i].Span}})
				}
			}
			if c.Words > 0 {
				left[k] = lists(t, places, c.Words, len(left[k]), rng)
			}
		}
		if len(left[k]) == 0 {
			return nil, fmt.Errorf("no sentence about %q was generated", name)
		}
		rng.Shuffle(len(left[k]), func(a, b int) { left[k][a], left[k][b] = left[k][b], left[k][a] })
	}
	out := &texts{}
	for {
		order := rng.Perm(len(c.Topics))
		// the topics with most sentences left come first, so that all are used
		for i := 1; i < len(order); i++ {
			for j := i; j > 0 && len(left[order[j]]) > len(left[order[j-1]]); j-- {
				order[j], order[j-1] = order[j-1], order[j]
			}
		}
		if len(left[order[c.Sentences-1]]) == 0 {
			break
		}
		pick := order[:c.Sentences]
		rng.Shuffle(len(pick), func(a, b int) { pick[a], pick[b] = pick[b], pick[a] })
		whole, at := "", 0
		var topics, ends []int
		var words [][][2]int
		for _, k := range pick {
			s := left[k][0]
			left[k] = left[k][1:]
			if whole != "" {
				whole += " "
				at++
			}
			whole += s.text
			var here [][2]int
			for _, w := range s.words {
				here = append(here, [2]int{at + w[0], at + w[1]})
			}
			words = append(words, here)
			at += utf8.RuneCountInString(s.text)
			topics, ends = append(topics, k), append(ends, at)
		}
		out.text, out.topics, out.ends, out.words = append(out.text, whole), append(out.topics, topics), append(out.ends, ends), append(out.words, words)
	}
	if len(out.text) < 2 {
		return nil, fmt.Errorf("%d sentences a topic make %d texts; use more", len(left[0]), len(out.text))
	}
	return out, nil
}

// read runs the model.
func (t *texts) read(ctx context.Context, l *lab.Lab, c *Config) error {
	late, early := model.Site{Kind: model.ResidPre, Layer: c.Layer}, model.Site{Kind: model.ResidPre, Layer: c.Earlier}
	return l.EachText(ctx, t.text, []model.Site{late, early, {Kind: model.Sentence}}, lab.ReadOptions{}, func(i int, r lab.TextRows) error {
		from, to := 0, r.Len()
		for from < to && r.Special[from] {
			from++
		}
		for to > from && r.Special[to-1] {
			to--
		}
		if from == to || from > 1 || to < r.Len()-1 {
			return fmt.Errorf("text %d: tokens %d to %d of %d are text; one special token at either end is supported", i, from, to, r.Len())
		}
		_, d := r.Rows[0].Dims()
		t.late, t.early = append(t.late, mat.DenseCopyOf(r.Rows[0].Slice(from, to, 0, d))), append(t.early, mat.DenseCopyOf(r.Rows[1].Slice(from, to, 0, d)))
		var edges [2][]float64
		if from == 1 {
			edges[0] = mat.Row(nil, 0, r.Rows[0])
		}
		if to == r.Len()-1 {
			edges[1] = mat.Row(nil, to, r.Rows[0])
		}
		t.edges = append(t.edges, edges)
		topic, word := make([]int, to-from), make([]bool, to-from)
		for at := range topic {
			o := r.Offsets[from+at]
			s := 0
			for s < len(t.ends[i])-1 && o[0] >= t.ends[i][s] {
				s++
			}
			topic[at] = t.topics[i][s]
			for _, w := range t.words[i][s] {
				word[at] = word[at] || o[0] < w[1] && o[1] > w[0]
			}
		}
		t.topic, t.word = append(t.topic, topic), append(t.word, word)
		if t.embedding == nil {
			t.embedding = mat.NewDense(len(t.text), r.Rows[2].RawMatrix().Cols, nil)
		}
		t.embedding.SetRow(i, r.Rows[2].RawRowView(0))
		return nil
	})
}

// spans cuts the texts into windows.
func (t *texts) spans(c *Config) ([]vectors.Span, error) {
	lengths := make([]int, len(t.late))
	for i, a := range t.late {
		lengths[i], _ = a.Dims()
	}
	return vectors.Spans(lengths, c.Span, c.Stride)
}

// about is the topic of most of a span's tokens.
func (t *texts) about(s vectors.Span, topics int) int {
	count := make([]float64, topics)
	for at := s.From; at < s.To; at++ {
		count[t.topic[s.Text][at]]++
	}
	return floats.MaxIdx(count)
}

// topicMeans are the means of the late activations of each topic's tokens less the mean of all.
func (t *texts) topicMeans(topics int) *mat.Dense {
	_, d := t.late[0].Dims()
	out, all, count, tokens := mat.NewDense(topics, d, nil), make([]float64, d), make([]float64, topics), 0.0
	for i, a := range t.late {
		for at, k := range t.topic[i] {
			floats.Add(out.RawRowView(k), a.RawRowView(at))
			floats.Add(all, a.RawRowView(at))
			count[k]++
			tokens++
		}
	}
	for k, n := range count {
		floats.Scale(1/n, out.RawRowView(k))
		floats.AddScaled(out.RawRowView(k), -1/tokens, all)
	}
	return out
}
