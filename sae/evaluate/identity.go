package evaluate

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"

	"loupe/probe/store"
	"loupe/sae"
)

// Identity tells whether a dictionary belongs to the store that it is measured on.
type Identity struct {
	Dictionary string `json:"dictionary"`
	sae.IdentityReport
}

// Identify tests an autoencoder or transcoder of one site, which reads rows one by one, on about limit rows of a store: against the store's other sites of its width,
// other scales, normalisations and treatments of special tokens ([sae.Identify]), and what its metadata says about the
// model and the beginning of sequences against the store's manifest.
func Identify(ctx context.Context, b compute.Backend, d *Dictionary, st *store.Store, limit int64) (Identity, error) {
	samples, err := identitySamples(ctx, d, st, limit)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Dictionary: d.Name}
	if id.IdentityReport, err = sae.Identify(ctx, b, d.SAE, samples); err != nil {
		return Identity{}, fmt.Errorf("evaluate: %s: %w", d.Name, err)
	}
	found, err := metadataFindings(d.SAE.Metadata, st)
	id.Findings = append(id.Findings, found...)
	return id, err
}

// identitySamples takes rows of the dictionary's site, of the store's other sites of its width and of special tokens.
func identitySamples(ctx context.Context, d *Dictionary, st *store.Store, limit int64) ([]sae.Sample, error) {
	sites := []siteKey{d.sites()}
	if !d.Transcoder() {
		for _, other := range st.Manifest().Sites {
			if other.Name != d.Sites[0] && other.Per == store.Token && other.Dim() == d.DIn {
				sites = append(sites, siteKey{read: other.Name})
			}
		}
	}
	var samples []sae.Sample
	for _, key := range sites {
		s, err := newSample(ctx, st, key, store.Select{ExcludeSpecial: true}, limit)
		if err != nil {
			return nil, err
		}
		if err := s.check(d); err != nil {
			return nil, err
		}
		one := sae.Sample{Site: key.read}
		err = s.each(ctx, func(x, target []float32, _ []int64) error {
			one.X = append(one.X, x...)
			if d.Transcoder() {
				one.Y = append(one.Y, target...)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		samples = append(samples, one)
	}
	var err error
	samples[0].Special, err = specialRows(st, d.Sites[0], d.DIn, limit)
	return samples, err
}

// specialRows returns rows of special tokens among the store's first rows, about limit at most.
func specialRows(st *store.Store, site string, d int, limit int64) ([]float32, error) {
	first := make([]int64, min(st.Rows(), 20*limit))
	for i := range first {
		first[i] = int64(i)
	}
	tokens, err := st.TokenRows(first)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	var index []int64
	for i, row := range tokens {
		if row.Special && int64(len(index)) < limit {
			index = append(index, first[i])
		}
	}
	if len(index) == 0 {
		return nil, nil
	}
	x := make([]float32, len(index)*d)
	return x, st.Gather(x, site, index)
}

// metadataFindings compares what an SAE's cfg.json says about its training with the store.
func metadataFindings(meta map[string]any, st *store.Store) ([]string, error) {
	var out []string
	own := st.Manifest().Model.ID
	if name, ok := meta["model_name"].(string); ok && name != "" && own != "" && name != own {
		out = append(out, fmt.Sprintf("it was trained on the model %s and the store was made by %s: one model under two names, or another model", name, own))
	}
	prepended, ok := meta["prepend_bos"].(bool)
	if !ok {
		return out, nil
	}
	first, err := firstToken(st)
	if err != nil {
		return nil, err
	}
	if first != nil && prepended != (first.Special || first.Pos > 0) { // a store without rows of special tokens begins at position 1
		what := map[bool]string{true: "begin", false: "do not begin"}
		out = append(out, fmt.Sprintf("its training sequences %s with a special token (prepend_bos) and the store's %s with one", what[prepended], what[!prepended]))
	}
	return out, nil
}

// firstToken returns the store's first row, or nil.
func firstToken(st *store.Store) (*store.TokenRow, error) {
	if st.Rows() == 0 {
		return nil, nil
	}
	rows, err := st.TokenRows([]int64{0})
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return &rows[0], nil
}
