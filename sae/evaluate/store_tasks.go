package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"loupe/probe/store"
)

const (
	taskTexts    = 20  // of a class, at least
	taskMaxTexts = 500 // of a class, at most
	taskShare    = 0.7 // for training
)

// storeTasks are one-against-the-others tasks from the labels of the store's documents.
func (b *Bench) storeTasks(ctx context.Context) ([]probeTask, error) {
	docs, err := b.Store.Docs()
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	rows, err := b.docRows(ctx)
	if err != nil {
		return nil, err
	}
	var out []probeTask
	for _, label := range b.Store.Manifest().Labels {
		classes := map[string][]int64{}
		for i, class := range docs.Labels[label] {
			if len(rows[docs.ID[i]]) > 0 {
				classes[class] = append(classes[class], docs.ID[i])
			}
		}
		for _, class := range sortedKeys(classes) {
			if class == "" || len(classes[class]) < taskTexts {
				continue
			}
			var others []int64
			for _, other := range sortedKeys(classes) {
				if other != class {
					others = append(others, classes[other]...)
				}
			}
			if len(others) < taskTexts {
				continue
			}
			out = append(out, b.storeTask(fmt.Sprintf("%s is %s", label, class), classes[class], others, rows))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no label of the store has two classes of %d documents; give --model to run the built-in concepts through it", errLeftOut, taskTexts)
	}
	return out, nil
}

// storeTask balances and shuffles documents.
func (b *Bench) storeTask(name string, positive, negative []int64, rows map[int64][]int64) probeTask {
	rng := rand.New(rand.NewPCG(b.Seed, uint64(len(name))))
	pick := func(ids []int64, n int) []int64 {
		ids = slices.Clone(ids)
		rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		return ids[:n]
	}
	n := min(len(positive), len(negative), taskMaxTexts)
	ids := append(pick(positive, n), pick(negative, n)...)
	is := make([]bool, 2*n)
	for i := range n {
		is[i] = true
	}
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j], is[i], is[j] = ids[j], ids[i], is[j], is[i] })
	var index []int64
	var group []int
	for i, id := range ids {
		for _, r := range rows[id] {
			index, group = append(index, r), append(group, i)
		}
	}
	return probeTask{name: name, positive: is, share: taskShare, rows: func(_ context.Context, sites siteKey) ([]float32, []int, error) {
		var parts [][]float32
		var widths []int
		for _, site := range sites.reads() {
			info, err := b.Store.Site(site)
			if err != nil {
				return nil, nil, fmt.Errorf("evaluate: %w", err)
			}
			x := make([]float32, len(index)*info.Dim())
			if err := b.Store.Gather(x, site, index); err != nil {
				return nil, nil, fmt.Errorf("evaluate: %w", err)
			}
			parts, widths = append(parts, x), append(widths, info.Dim())
		}
		return join(parts, widths, len(index)), group, nil
	}}
}

// docRows are the selected rows of each document, without special tokens.
func (b *Bench) docRows(ctx context.Context) (map[int64][]int64, error) {
	sel := b.Select
	sel.ExcludeSpecial = true
	set, err := b.Store.Select(ctx, sel)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	out := map[int64][]int64{}
	err = b.Store.Scan(ctx, nil, func(c store.Chunk) error {
		for i, doc := range c.Doc {
			if row := c.First + int64(i); set.Has(row) {
				out[doc] = append(out[doc], row)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
