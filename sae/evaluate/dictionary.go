package evaluate

import (
	"context"
	"fmt"
	"strings"

	"github.com/gomlx/compute"

	"loupe/sae"
)

// Kinds of controls.
const (
	ControlRandom = "random" // an untrained TopK autoencoder of equal width and L0
	ControlPCA    = "pca"    // as many principal components as the SAE has active latents
	ControlLinear = "linear" // of transcoders: the linear map of rank L0
)

// runnerBatch is the number of rows of a compiled encoder.
const runnerBatch = 1024

// Dictionary is what is measured: an autoencoder, a transcoder, another coder or a control. It is not safe for concurrent use.
type Dictionary struct {
	Name    string   `json:"name"`
	Method  string   `json:"method"`            // dictionaries of one method differ in their seed alone
	Control string   `json:"control,omitempty"` // "" or a kind of control
	Format  string   `json:"format,omitempty"`  // of the file that it was read from
	Arch    string   `json:"architecture,omitempty"`
	Sites   []string `json:"sites"`             // what it reads, one after the other
	Targets []string `json:"targets,omitempty"` // what a transcoder writes
	DIn     int      `json:"d_in"`              // of all sites together
	DOut    int      `json:"d_out"`             // of all reconstructed sites together
	Latents int      `json:"latents"`

	// Sequence is the length of the sequences that a temporal SAE reads; 0: it reads rows one by one.
	Sequence int `json:"sequence,omitempty"`

	SAE     *sae.SAE  `json:"-"` // nil for other coders, PCA and the linear map
	Decoder []float32 `json:"-"` // [latents, d_out]; nil for cross-layer transcoders and decoupled crosscoders

	reconstruct sae.Reconstructor
	close       func()
}

// New prepares a coder for measuring. Its sites are those that its metadata names. Close frees its memory on the device.
func New(b compute.Backend, method, name string, c sae.Coder) (*Dictionary, error) {
	sh := c.Shape()
	d := &Dictionary{
		Name: name, Method: method, Arch: sh.Arch, DIn: sh.InSites * sh.DIn, DOut: sh.OutSites * sh.DOut, Latents: sh.Latents,
	}
	var meta map[string]any
	switch c := c.(type) {
	case *sae.SAE:
		d.SAE, d.Decoder, meta = c, c.WDec, c.Metadata
	case *sae.Crosscoder:
		d.Decoder, meta = c.WDec, c.Metadata
	case *sae.CLT:
		meta = c.Metadata
	}
	d.Sites = names(meta, "hook_name")
	if sh.Target {
		d.Targets = names(meta, "hook_name_out")
	}
	batch := runnerBatch
	if d.SAE != nil && d.SAE.Temporal != nil {
		d.Sequence = sequenceLength(meta)
		if d.Sequence < 1 {
			return nil, fmt.Errorf("evaluate: %s: a temporal SAE reads whole sequences, and its metadata does not say how long they are; set context_size in its cfg.json", name)
		}
		batch = max(1, runnerBatch/d.Sequence) * d.Sequence
	}
	if d.SAE != nil && d.SAE.Temporal == nil { // its Encode spares the decoding
		run, err := sae.NewRunner(b, d.SAE, batch)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", name, err)
		}
		d.reconstruct, d.close = run, run.Close
		return d, nil
	}
	run, err := sae.NewCoderRunner(b, c, batch)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %s: %w", name, err)
	}
	d.reconstruct, d.close = run, run.Close
	return d, nil
}

// sequenceLength is the number of tokens of the sequences that a temporal SAE reads, by its metadata.
func sequenceLength(meta map[string]any) int {
	switch v := meta["context_size"].(type) {
	case int:
		return v
	case float64:
		return int(v)
	}
	return 0
}

// names reads a name, or under the plural of its key several, from an SAE's metadata.
func names(meta map[string]any, key string) []string {
	if one, ok := meta[key].(string); ok && one != "" {
		return []string{one}
	}
	var out []string
	switch many := meta[strings.Replace(key, "name", "names", 1)].(type) {
	case []string:
		out = many
	case []any:
		for _, v := range many {
			if name, ok := v.(string); ok {
				out = append(out, name)
			}
		}
	}
	return out
}

// Close frees the dictionary's memory on the device.
func (d *Dictionary) Close() {
	if d.close != nil {
		d.close()
	}
}

// Transcoder tells whether the dictionary writes other sites than it reads.
func (d *Dictionary) Transcoder() bool { return len(d.Targets) > 0 }

// Reconstruct implements [sae.Reconstructor]: x is [n, d_in], the reconstruction [n, d_out].
func (d *Dictionary) Reconstruct(ctx context.Context, x []float32) (sae.Latents, []float32, error) {
	return d.reconstruct.Reconstruct(ctx, x)
}

// encode returns the latents of the rows of x, [n, d_in].
func (d *Dictionary) encode(ctx context.Context, x []float32) (sae.Latents, error) {
	if run, ok := d.reconstruct.(*sae.Runner); ok {
		return run.Encode(ctx, x)
	}
	lat, _, err := d.reconstruct.Reconstruct(ctx, x)
	return lat, err
}

// siteKey names what dictionaries share: the sites read and those written, joined by commas, and the length of sequences.
type siteKey struct {
	read, write string
	sequence    int
}

func (d *Dictionary) sites() siteKey {
	return siteKey{strings.Join(d.Sites, ","), strings.Join(d.Targets, ","), d.Sequence}
}

func (k siteKey) reads() []string { return strings.Split(k.read, ",") }

func (k siteKey) writes() []string {
	if k.write == "" {
		return nil
	}
	return strings.Split(k.write, ",")
}

func (k siteKey) String() string {
	out := k.read
	if k.write != "" {
		out += " to " + k.write
	}
	if k.sequence > 0 {
		out += fmt.Sprintf(" in sequences of %d", k.sequence)
	}
	return out
}
