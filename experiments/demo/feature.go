package demo

import (
	"cmp"
	"math"
	"slices"

	"loupe/sae"
)

// Features hold a number for each of many features in each of N texts: the feature's largest value over the text's
// tokens, special ones left out. A text that a feature does not list stands below all that it lists.
type Features struct {
	N     int
	lists [][]entry // per feature, in falling order of value
}

type entry struct {
	text  int32
	value float32
}

// latentFeatures takes the largest activation of every latent. lat are the latents of all rows of texts.
func latentFeatures(texts *Texts, lat sae.Latents, latents int) *Features {
	f := &Features{N: texts.Len(), lists: make([][]entry, latents)}
	for i := range f.N {
		for r := texts.Start[i]; r < texts.Start[i+1]; r++ {
			if texts.Special[r] {
				continue
			}
			index, value := lat.Row(r)
			for j, v := range value {
				if v > 0 {
					f.add(index[j], int32(i), v)
				}
			}
		}
	}
	return f.sorted()
}

// coordinateFeatures takes the largest and the most negative value of every coordinate: 2 features a coordinate.
func coordinateFeatures(texts *Texts) *Features {
	f := &Features{N: texts.Len(), lists: make([][]entry, 2*texts.Width)}
	for i := range f.N {
		for r := texts.Start[i]; r < texts.Start[i+1]; r++ {
			if texts.Special[r] {
				continue
			}
			for j, v := range texts.X[r*texts.Width : (r+1)*texts.Width] {
				f.add(int32(2*j), int32(i), v)
				f.add(int32(2*j+1), int32(i), -v)
			}
		}
	}
	return f.sorted()
}

// wordFeatures has a feature for every token of the vocabulary, 1 in texts that have it: a bag of words.
func wordFeatures(texts *Texts, vocabulary int) *Features {
	f := &Features{N: texts.Len(), lists: make([][]entry, vocabulary)}
	for i := range f.N {
		for r := texts.Start[i]; r < texts.Start[i+1]; r++ {
			if !texts.Special[r] {
				f.add(texts.Token[r], int32(i), 1)
			}
		}
	}
	return f.sorted()
}

// add takes a value of a text; texts come in order.
func (f *Features) add(feature, text int32, value float32) {
	list := f.lists[feature]
	if n := len(list); n > 0 && list[n-1].text == text {
		list[n-1].value = max(list[n-1].value, value)
		return
	}
	f.lists[feature] = append(list, entry{text, value})
}

func (f *Features) sorted() *Features {
	for _, list := range f.lists {
		slices.SortFunc(list, func(a, b entry) int {
			return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.text, b.text))
		})
	}
	return f
}

// Values returns a feature's value in every text; minus infinity where the feature does not list it.
func (f *Features) Values(feature int32) []float64 {
	out := make([]float64, f.N)
	for i := range out {
		out[i] = math.Inf(-1)
	}
	for _, e := range f.lists[feature] {
		out[e.text] = float64(e.value)
	}
	return out
}

// share returns how many of the texts that in names list the feature.
func (f *Features) share(feature int32, in []bool) float64 {
	hit, all := 0, 0
	for _, b := range in {
		if b {
			all++
		}
	}
	for _, e := range f.lists[feature] {
		if in[e.text] {
			hit++
		}
	}
	return float64(hit) / float64(all)
}

// AUC returns the area under the ROC curve of a feature: the chance that a positive text has a larger value than a
// negative one, ties counted half. It equals stats.AUC of Values, in time proportional to the texts listed.
func (f *Features) AUC(feature int32, positive []bool, positives int) float64 {
	negatives := f.N - positives
	var wins float64 // twice the pairs won, counted by the negatives that positives exceed
	above := 0       // negatives passed so far
	leftPositives := positives
	list := f.lists[feature]
	for i := 0; i < len(list); {
		p, n := 0, 0
		for j := i; j < len(list) && list[j].value == list[i].value; j++ {
			if positive[list[j].text] {
				p++
			} else {
				n++
			}
		}
		wins += float64(p) * float64(2*(negatives-above-n)+n)
		above += n
		leftPositives -= p
		i += p + n
	}
	wins += float64(leftPositives) * float64(negatives-above) // unlisted texts tie
	return wins / (2 * float64(positives) * float64(negatives))
}

// ranked is a feature with its AUC.
type ranked struct {
	feature int32
	auc     float64
}

// Best returns the k features with the largest AUC, ties to the smaller index.
func (f *Features) Best(positive []bool, k int) []ranked {
	positives := 0
	for _, p := range positive {
		if p {
			positives++
		}
	}
	var all []ranked
	for j, list := range f.lists {
		if len(list) > 0 {
			all = append(all, ranked{int32(j), f.AUC(int32(j), positive, positives)})
		}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.auc, a.auc), cmp.Compare(a.feature, b.feature))
	})
	return all[:min(k, len(all))]
}
