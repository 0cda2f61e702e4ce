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

// Dictionary is what is measured: an autoencoder, a transcoder, a crosscoder or a control. It is not safe for concurrent use.
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

	SAE     *sae.SAE  `json:"-"` // nil for other coders, PCA and the linear map
	Decoder []float32 `json:"-"` // [latents, d_out]; nil for cross-layer transcoders and decoupled crosscoders

	reconstruct sae.Reconstructor
	close       func()
}

// New prepares a coder for measuring. Its sites are those that its metadata names. Close frees its memory on the device.
func New(b compute.Backend, method, name string, c sae.Coder) (*Dictionary, error) {
	d := &Dictionary{Name: name, Method: method, Arch: c.Shape().Arch}
	var meta map[string]any
	flat := (*sae.SAE)(nil)
	switch c := c.(type) {
	case *sae.SAE:
		d.SAE, flat, meta = c, c, c.Metadata
		if c.Temporal != nil {
			return nil, fmt.Errorf("evaluate: %s: a temporal SAE reads sequences and is not measured row by row; its training measures it on eval_tokens rows", name)
		}
	case *sae.Crosscoder:
		if c.Norm != sae.CodeNormDecoupled {
			var err error
			if flat, err = c.Flat(); err != nil {
				return nil, fmt.Errorf("evaluate: %s: %w", name, err)
			}
		}
		meta = c.Metadata
	case *sae.CLT:
		meta = c.Metadata
	}
	run, err := sae.NewCoderRunner(b, c, runnerBatch)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %s: %w", name, err)
	}
	sh := c.Shape()
	d.DIn, d.DOut, d.Latents = sh.InSites*sh.DIn, sh.OutSites*sh.DOut, sh.Latents
	if flat != nil {
		d.Decoder = flat.WDec
	}
	d.reconstruct, d.close = run, run.Close
	d.Sites = names(meta, "hook_name")
	if c.Shape().Target {
		d.Targets = names(meta, "hook_name_out")
	}
	return d, nil
}

// names reads a name, or under the plural of its key several, from an SAE's metadata.
func names(meta map[string]any, key string) []string {
	if one, ok := meta[key].(string); ok && one != "" {
		return []string{one}
	}
	many, _ := meta[strings.Replace(key, "name", "names", 1)].([]any)
	var out []string
	for _, v := range many {
		if name, ok := v.(string); ok {
			out = append(out, name)
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

// siteKey names the sites that dictionaries share: those read and those written, joined by commas.
type siteKey struct{ read, write string }

func (d *Dictionary) sites() siteKey {
	return siteKey{strings.Join(d.Sites, ","), strings.Join(d.Targets, ",")}
}

func (k siteKey) reads() []string { return strings.Split(k.read, ",") }

func (k siteKey) writes() []string {
	if k.write == "" {
		return nil
	}
	return strings.Split(k.write, ",")
}

func (k siteKey) String() string {
	if k.write == "" {
		return k.read
	}
	return k.read + " to " + k.write
}
