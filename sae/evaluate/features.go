package evaluate

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/arrowio"
	"loupe/internal/progress"
	"loupe/probe/store"
	"loupe/sae"
)

// maxConcepts bounds the classes of a store's labels that latents are compared with.
const maxConcepts = 512

// errEnough ends a scan.
var errEnough = errors.New("enough rows")

// Features scans the selected documents of the store, at most b.Rows rows, and tabulates what each latent of a dictionary stands
// for (sae.Features.Table): density, activations, top examples, tokens, correlated and neighbouring latents, and the class of the
// store's labels that it tells best. With a subject there are texts and, for a language model, the tokens that each latent
// raises and lowers. The column consistent_activation is SAEBench's: tokens on which a latent is active in the documents where
// it is active at all.
func (b *Bench) Features(ctx context.Context, d *Dictionary, cfg sae.FeatureConfig) (arrowio.Table, error) {
	concepts, classOf, err := b.conceptColumns()
	if err != nil {
		return arrowio.Table{}, err
	}
	features, err := sae.NewFeatures(cfg, d.Latents, concepts)
	if err != nil {
		return arrowio.Table{}, err
	}
	scan := featureScan{bench: b, dict: d, features: features, prompts: sae.NewPromptFirings(d.Latents), classOf: classOf, concepts: len(concepts)}
	if err := scan.selectRows(ctx); err != nil {
		return arrowio.Table{}, err
	}
	scan.bar = b.progress("features", "rows", min(b.Rows, scan.shown.Len()))
	err = b.Store.Scan(ctx, d.Sites, func(c store.Chunk) error { return scan.add(ctx, c) })
	scan.bar.Done()
	if err != nil && !errors.Is(err, errEnough) {
		return arrowio.Table{}, fmt.Errorf("evaluate: features of %s: %w", d.Name, err)
	}
	src := sae.FeatureSources{Decoder: d.Decoder}
	if b.Tokenizer != nil {
		src.Decode = func(ids []int32) (string, error) { return b.Tokenizer.Decode(ids, false) }
	}
	if b.Subject != nil && b.Subject.Model.Spec.Decoder && d.DOut == b.Subject.Model.Spec.DModel {
		if src.Unembed, err = b.Subject.unembedding(); err != nil {
			return arrowio.Table{}, err
		}
	}
	table, err := features.Table(ctx, src)
	if err != nil {
		return arrowio.Table{}, err
	}
	table.Add("consistent_activation", 0, scan.prompts.Consistent(), nil)
	return table, nil
}

// featureScan feeds chunks of a store to a feature table.
type featureScan struct {
	bench    *Bench
	dict     *Dictionary
	features *sae.Features
	prompts  *sae.PromptFirings
	classOf  map[int64][]int // concepts of a document
	concepts int
	shown    *store.RowSet // rows of selected documents
	counted  *store.RowSet // without special tokens, if these are left out
	bar      progress.Progress

	doc    int64 // of the row before
	prompt int64 // number of its document in the scan
	rows   int64
}

func (s *featureScan) selectRows(ctx context.Context) (err error) {
	if s.counted, err = s.bench.Store.Select(ctx, s.bench.Select); err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	if s.shown, err = s.bench.Store.Select(ctx, s.bench.documents()); err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	if s.counted.Len() == 0 {
		return errors.New("evaluate: features: the selection has no rows; widen split or include special tokens")
	}
	return nil
}

func (s *featureScan) add(ctx context.Context, c store.Chunk) error {
	rows := sae.FeatureRows{Concept: make([][]bool, s.concepts)}
	widths := make([]int, len(c.Sites))
	parts := make([][]float32, len(c.Sites))
	for i := range c.Sites {
		widths[i] = len(c.Sites[i]) / len(c.Doc)
	}
	var prompt []int64
	for i, doc := range c.Doc {
		row := c.First + int64(i)
		if !s.shown.Has(row) {
			continue
		}
		if s.rows == 0 || doc != s.doc {
			s.doc = doc
			s.prompt++
		}
		if s.rows == s.bench.Rows {
			break
		}
		s.rows++
		rows.Doc, rows.Pos, rows.Token = append(rows.Doc, doc), append(rows.Pos, c.Pos[i]), append(rows.Token, c.Token[i])
		rows.Skip, prompt = append(rows.Skip, !s.counted.Has(row)), append(prompt, s.prompt)
		for p, w := range widths {
			parts[p] = append(parts[p], c.Sites[p][i*w:(i+1)*w]...)
		}
		for k := range rows.Concept {
			rows.Concept[k] = append(rows.Concept[k], false)
		}
		for _, k := range s.classOf[doc] {
			rows.Concept[k][len(rows.Doc)-1] = true
		}
	}
	n := len(rows.Doc)
	if n > 0 {
		lat, err := s.dict.encode(ctx, join(parts, widths, n))
		if err != nil {
			return err
		}
		if err := s.features.Add(rows, lat); err != nil {
			return err
		}
		if err := s.prompts.Add(without(lat, rows.Skip), prompt); err != nil {
			return err
		}
		s.bar.Add(int64(n))
	}
	if s.rows == s.bench.Rows {
		return errEnough
	}
	return nil
}

// without returns latents with the marked rows empty.
func without(lat sae.Latents, skip []bool) sae.Latents {
	out := sae.Latents{Start: []int{0}}
	for r, skipped := range skip {
		if !skipped {
			index, value := lat.Row(r)
			out.Index, out.Value = append(out.Index, index...), append(out.Value, value...)
		}
		out.Start = append(out.Start, len(out.Index))
	}
	return out
}

// conceptColumns lists the classes of the store's labels, as "label=class", and those of each document. Labels with one class
// say nothing and are left out.
func (b *Bench) conceptColumns() ([]string, map[int64][]int, error) {
	labels := b.Store.Manifest().Labels
	if len(labels) == 0 {
		return nil, nil, nil
	}
	docs, err := b.Store.Docs()
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate: %w", err)
	}
	var names []string
	index := map[string]int{}
	for _, label := range labels {
		classes := map[string]bool{}
		for _, class := range docs.Labels[label] {
			if class != "" {
				classes[class] = true
			}
		}
		if len(classes) < 2 {
			continue
		}
		for _, class := range sortedKeys(classes) {
			name := label + "=" + class
			index[name] = len(names)
			names = append(names, name)
		}
	}
	if len(names) > maxConcepts {
		return nil, nil, fmt.Errorf("evaluate: features: the store's labels have %d classes; at most %d can be compared with every latent", len(names), maxConcepts)
	}
	of := map[int64][]int{}
	for _, label := range labels {
		for i, class := range docs.Labels[label] {
			if k, ok := index[label+"="+class]; ok {
				of[docs.ID[i]] = append(of[docs.ID[i]], k)
			}
		}
	}
	return names, of, nil
}

// unembedding is the model's unembedding, [vocabulary, d_model].
func (s *Subject) unembedding() ([]float32, error) {
	name := "W_U"
	if s.Model.Spec.Tied {
		name = "W_E"
	}
	t := s.Model.Params.Get(name)
	if t == nil {
		return nil, fmt.Errorf("evaluate: the model %s has no parameter %s", s.Model.Name, name)
	}
	out, err := tensors.CopyFlatData[float32](t)
	if err != nil {
		return nil, fmt.Errorf("evaluate: read %s: %w", name, err)
	}
	return out, nil
}
