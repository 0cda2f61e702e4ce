package sae

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"loupe/internal/arrowio"
)

// FeatureSources are what the table takes from elsewhere than the activations. All but the decoder may be absent.
type FeatureSources struct {
	Decoder []float32                         // W_dec, [F, d]
	Unembed []float32                         // W_U transposed, [V, d], for the logits
	Decode  func(ids []int32) (string, error) // texts of tokens, for example texts
}

// Table returns one row a latent. Lists have fixed sizes: unused places hold token, latent or document -1 and value 0.
//
//	latent, density, active, mean_activation (over active rows), max_activation
//	example_doc, example_pos, example_value [Examples], example_token [Examples x (2 Context + 1)], example_text (JSON list)
//	token, token_share [Tokens]                    of the activation, over the sample
//	top_token, top_logit, bottom_token, bottom_logit [Logits]
//	correlated, correlation [Correlated]           Pearson, over the sample
//	neighbour, neighbour_cosine [Neighbours]       of decoder rows
//	concept, concept_auc                           the concept that the latent detects best, over the sample
func (t *Features) Table(ctx context.Context, src FeatureSources) (arrowio.Table, error) {
	if err := t.check(ctx); err != nil {
		return arrowio.Table{}, err
	}
	if len(src.Decoder) == 0 || len(src.Decoder)%t.f != 0 {
		return arrowio.Table{}, fmt.Errorf("sae: features: the decoder has %d values for %d latents", len(src.Decoder), t.f)
	}
	var out arrowio.Table
	t.addActivity(&out)
	if err := t.addExamples(&out, src.Decode); err != nil {
		return arrowio.Table{}, err
	}
	lists := t.sample.postings(t.f)
	tokens := newLists(t.f, t.cfg.Tokens)
	for l, list := range lists {
		tokens.set(l, t.sample.tokenShares(list, t.tokens, t.cfg.Tokens))
	}
	tokens.add(&out, "token", "token_share")
	d := len(src.Decoder) / t.f
	if src.Unembed != nil {
		logits, err := DirectLogits(ctx, src.Decoder, src.Unembed, d, t.cfg.Logits)
		if err != nil {
			return arrowio.Table{}, err
		}
		addLogits(&out, logits, t.cfg.Logits)
	}
	near, err := t.sample.correlated(ctx, lists, t.cfg.Correlated)
	if err != nil {
		return arrowio.Table{}, err
	}
	correlated := newLists(t.f, t.cfg.Correlated)
	for l := range near {
		correlated.set(l, near[l].kept)
	}
	correlated.add(&out, "correlated", "correlation")
	if err := t.addNeighbours(ctx, &out, src.Decoder, d); err != nil {
		return arrowio.Table{}, err
	}
	t.addConcepts(&out, lists)
	out.Meta = map[string]string{"rows": strconv.FormatInt(t.counted, 10), "sample_rows": strconv.Itoa(len(t.sample.rows))}
	return out, nil
}

func (t *Features) addActivity(out *arrowio.Table) {
	latent, mean := make([]int32, t.f), make([]float64, t.f)
	for l := range latent {
		latent[l] = int32(l)
		if t.active[l] > 0 {
			mean[l] = t.sum[l] / float64(t.active[l])
		}
	}
	out.Add("latent", 0, latent, nil)
	out.Add("density", 0, t.Density(), nil)
	out.Add("active", 0, append([]int64{}, t.active...), nil)
	out.Add("mean_activation", 0, mean, nil)
	out.Add("max_activation", 0, append([]float64{}, t.top...), nil)
}

func (t *Features) addExamples(out *arrowio.Table, decode func([]int32) (string, error)) error {
	n, window := t.cfg.Examples, 2*t.cfg.Context+1
	doc, pos, value := make([]int64, t.f*n), make([]int32, t.f*n), make([]float64, t.f*n)
	token, text := make([]int32, t.f*n*window), make([]string, t.f)
	for i := range doc {
		doc[i], pos[i] = -1, -1
	}
	for i := range token {
		token[i] = -1
	}
	for l := range t.f {
		texts := []string{}
		for j, e := range t.Examples(l) {
			doc[l*n+j], pos[l*n+j], value[l*n+j] = e.Doc, e.Pos, e.Value
			copy(token[(l*n+j)*window+t.cfg.Context-e.At:], e.Tokens) // the active token stands in the middle
			if decode == nil {
				continue
			}
			s, err := decode(e.Tokens)
			if err != nil {
				return fmt.Errorf("sae: features: text of latent %d's example %d: %w", l, j, err)
			}
			texts = append(texts, s)
		}
		raw, err := json.Marshal(texts)
		if err != nil {
			return fmt.Errorf("sae: features: texts of latent %d: %w", l, err)
		}
		text[l] = string(raw)
	}
	out.Add("example_doc", n, doc, nil)
	out.Add("example_pos", n, pos, nil)
	out.Add("example_value", n, value, nil)
	out.Add("example_token", n*window, token, map[string]string{"window": strconv.Itoa(window)})
	if decode != nil {
		out.Add("example_text", 0, text, nil)
	}
	return nil
}

func addLogits(out *arrowio.Table, logits []LatentLogits, n int) {
	var top, bottom []int32
	var topValue, bottomValue []float32
	for _, l := range logits {
		top, topValue = append(top, l.Top...), append(topValue, l.TopLogit...)
		bottom, bottomValue = append(bottom, l.Bottom...), append(bottomValue, l.BottomLogit...)
	}
	out.Add("top_token", n, top, nil)
	out.Add("top_logit", n, topValue, nil)
	out.Add("bottom_token", n, bottom, nil)
	out.Add("bottom_logit", n, bottomValue, nil)
}

func (t *Features) addNeighbours(ctx context.Context, out *arrowio.Table, decoder []float32, d int) error {
	rows := make([]float64, len(decoder))
	for i, v := range decoder {
		rows[i] = float64(v)
	}
	for l := range t.f {
		unitRow(rows[l*d : (l+1)*d])
	}
	near, err := neighbours(ctx, rows, d, t.cfg.Neighbours)
	if err != nil {
		return err
	}
	out.Add("neighbour", t.cfg.Neighbours, near.index, nil)
	out.Add("neighbour_cosine", t.cfg.Neighbours, near.cosine, nil)
	return nil
}

// addConcepts names the concept of largest AUC of each latent that is active in the sample; "" where there is none.
func (t *Features) addConcepts(out *arrowio.Table, lists [][]posting) {
	if len(t.concepts) == 0 {
		return
	}
	name, auc := make([]string, t.f), make([]float64, t.f)
	for l, list := range lists {
		for c, concept := range t.concepts {
			if len(list) == 0 {
				break
			}
			if v := t.sample.conceptAUC(list, c); !math.IsNaN(v) && v > auc[l] {
				name[l], auc[l] = concept, v
			}
		}
	}
	out.Add("concept", 0, name, nil)
	out.Add("concept_auc", 0, auc, nil)
}

// latentLists are fixed-size lists of places with values, one a latent.
type latentLists struct {
	size  int
	at    []int32
	value []float64
}

func newLists(f, size int) latentLists {
	l := latentLists{size: size, at: make([]int32, f*size), value: make([]float64, f*size)}
	for i := range l.at {
		l.at[i] = -1
	}
	return l
}

func (l latentLists) set(row int, entries []scored) {
	for j, e := range entries {
		l.at[row*l.size+j], l.value[row*l.size+j] = int32(e.at), e.score
	}
}

func (l latentLists) add(out *arrowio.Table, at, value string) {
	out.Add(at, l.size, l.at, nil)
	out.Add(value, l.size, l.value, nil)
}
