package demo

import (
	"context"
	"fmt"

	"loupe/internal/lab"
	"loupe/probe/store"
	"loupe/probe/text"
)

// Texts are texts with their residual stream at the site, as a store holds it.
type Texts struct {
	Width   int
	Start   []int     // [n+1]; text i has rows Start[i] to Start[i+1]
	X       []float32 // [rows, width]
	Token   []int32   // [rows]
	Special []bool    // [rows]
}

// Len returns the number of texts.
func (t *Texts) Len() int { return len(t.Start) - 1 }

// Rows returns the residual stream of text i, [tokens, width].
func (t *Texts) Rows(i int) []float32 { return t.X[t.Start[i]*t.Width : t.Start[i+1]*t.Width] }

// Activations is a store with the place of every document in it. Read it with OpenActivations.
type Activations struct {
	*lab.Documents
	Site  string
	Width int
	// Mean is the mean over the rows of documents outside the held-out split, special tokens included.
	Mean []float32
}

// OpenActivations finds the documents of a store, each of which must be one sequence, and takes the mean at the site.
func OpenActivations(ctx context.Context, st *store.Store, site string) (*Activations, error) {
	info, err := st.Site(site)
	if err != nil {
		return nil, err
	}
	docs, err := st.Docs()
	if err != nil {
		return nil, err
	}
	places, err := lab.OpenDocuments(ctx, st)
	if err != nil {
		return nil, err
	}
	a := &Activations{Documents: places, Site: site, Width: info.Dim()}
	sum, count := make([]float64, a.Width), 0
	err = st.Scan(ctx, []string{site}, func(c store.Chunk) error {
		for i, doc := range c.Doc {
			if docs.Split[docs.Index(doc)] == text.HeldOut {
				continue
			}
			count++
			for j, v := range c.Sites[0][i*a.Width : (i+1)*a.Width] {
				sum[j] += float64(v)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if count == 0 {
		return nil, fmt.Errorf("demo: store %s has no row outside the held-out split", st.Dir())
	}
	a.Mean = make([]float32, a.Width)
	for j, v := range sum {
		a.Mean[j] = float32(v / float64(count))
	}
	return a, nil
}

// Texts reads the residual stream of documents.
func (a *Activations) Texts(docs []int64) (*Texts, error) {
	t := &Texts{Width: a.Width, Start: make([]int, 1, len(docs)+1)}
	var rows []int64
	for _, doc := range docs {
		of, err := a.Rows(doc)
		if err != nil {
			return nil, err
		}
		rows = append(rows, of...)
		t.Start = append(t.Start, len(rows))
	}
	meta, err := a.Store.TokenRows(rows)
	if err != nil {
		return nil, err
	}
	for _, m := range meta {
		t.Token, t.Special = append(t.Token, m.Token), append(t.Special, m.Special)
	}
	t.X = make([]float32, len(rows)*a.Width)
	return t, a.Store.Gather(t.X, a.Site, rows)
}
