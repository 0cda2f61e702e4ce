package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"loupe/internal/npy"
	"loupe/internal/safetensors"
)

// ImportOptions says what foreign activations are.
type ImportOptions struct {
	// Site names the activations; empty takes the name that the files give (SAELens's hook name).
	Site string
	// Model and Tokenizer say what made them.
	Model     Source
	Tokenizer string
	// Tokens is a .npy file with the token ids of Acts (for a .npy source).
	Tokens string
	// ActsName and TokensName are the tensors of a .safetensors source; empty means "acts" and "token_ids".
	ActsName, TokensName string
	// Context is the number of tokens of a document where the activations are [n, d]; 0 takes it from the shape
	// [documents, context, d].
	Context    int
	DType      DType // empty means Float32
	ShardBytes int64
	Moments    MomentOptions
}

// contexts is a part of foreign activations: docs whole contexts of width tokens.
type contexts struct {
	docs, width, d int
	acts           []float32 // [docs * width, d]
	tokens         []int32   // [docs * width]
}

// importSource yields foreign activations part by part.
type importSource struct {
	site  string
	width int // tokens of a document
	d     int
	id    string
	yield func(func(contexts) error) error
	close func() error
}

// Import makes a store at dst from src: a .npy file with activations [documents, context, d] or [n, d], a .safetensors
// file, or a folder of cached activations as SAELens writes it. Every context becomes a document; special tokens are
// not known and so not marked.
func Import(ctx context.Context, src, dst string, opt ImportOptions) (err error) {
	in, err := openImport(src, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	if opt.Site != "" {
		in.site = opt.Site
	}
	if in.site == "" {
		return errors.New("store: import: the activations have no name; give the site, such as blocks.6.hook_resid_post")
	}
	if opt.DType == "" {
		opt.DType = Float32
	}
	w, err := Create(dst, Spec{
		Model: opt.Model, Tokenizer: opt.Tokenizer, Corpus: Source{ID: in.id},
		Sites:      []Site{{Name: in.site, Per: Token, Shape: []int{in.d}, DType: opt.DType}},
		Policy:     Policy{Special: "imported: not known", Padding: "none", MaxLen: in.width},
		ShardBytes: opt.ShardBytes, Moments: opt.Moments,
	})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := w.Close(); err == nil {
			err = cerr
		}
	}()
	doc := int64(0)
	err = in.yield(func(c contexts) error {
		// parts of a few MiB, so that shards end near their size
		step := max(1, (4<<20)/(4*c.d*c.width))
		for from := 0; from < c.docs; from += step {
			n := min(step, c.docs-from)
			if err := w.Append(ctx, c.batch(from, n, doc, in.id)); err != nil {
				return err
			}
			doc += int64(n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.Finish(ctx)
}

func (c contexts) batch(from, n int, first int64, source string) Batch {
	rows := n * c.width
	b := Batch{Rows: Rows{
		Doc: make([]int64, rows), Pos: make([]int32, rows), Token: c.tokens[from*c.width : (from+n)*c.width],
		Sites: [][]float32{c.acts[from*c.width*c.d : (from+n)*c.width*c.d]},
	}}
	for k := range n {
		b.Docs = append(b.Docs, Doc{ID: first + int64(k), Source: source})
		for p := range c.width {
			b.Rows.Doc[k*c.width+p], b.Rows.Pos[k*c.width+p] = first+int64(k), int32(p)
		}
	}
	return b
}

func openImport(src string, opt ImportOptions) (*importSource, error) {
	info, err := os.Stat(src)
	if err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	switch {
	case info.IsDir():
		return openSAELens(src)
	case strings.HasSuffix(src, ".npy"):
		return openNpy(src, opt)
	case strings.HasSuffix(src, ".safetensors"):
		return openTensors(src, opt)
	}
	return nil, fmt.Errorf("store: import: %s is neither a .npy or .safetensors file nor a folder of cached activations", src)
}

func openNpy(src string, opt ImportOptions) (*importSource, error) {
	if opt.Tokens == "" {
		return nil, errors.New("store: import: a .npy file has no token ids; give them as a second .npy file (--tokens)")
	}
	acts, err := npy.Read(src)
	if err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	x, err := acts.Float32s()
	if err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	ids, err := npy.Read(opt.Tokens)
	if err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	tokens, err := ids.Int64s()
	if err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	return wholeImport(src, opt, x, acts.Shape, tokens)
}

func openTensors(src string, opt ImportOptions) (*importSource, error) {
	f, err := safetensors.Open(src)
	if err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	defer f.Close()
	if opt.ActsName == "" {
		opt.ActsName = "acts"
	}
	if opt.TokensName == "" {
		opt.TokensName = "token_ids"
	}
	for _, name := range []string{opt.ActsName, opt.TokensName} {
		if _, ok := f.Info(name); !ok {
			return nil, fmt.Errorf("store: import: %s has no tensor %q; it has %q: name the activations and the token ids", src, name, f.Names())
		}
	}
	x, err := f.Float32(opt.ActsName)
	if err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	tokens, err := f.Int64(opt.TokensName)
	if err != nil {
		return nil, fmt.Errorf("store: import: %w", err)
	}
	info, _ := f.Info(opt.ActsName)
	return wholeImport(src, opt, x, info.Shape, tokens)
}

// wholeImport is a source that is in memory: x has the given shape.
func wholeImport(src string, opt ImportOptions, x []float32, shape []int, tokens []int64) (*importSource, error) {
	c := contexts{acts: x, width: opt.Context}
	switch {
	case len(shape) == 3:
		if opt.Context != 0 && opt.Context != shape[1] {
			return nil, fmt.Errorf("store: import: %s has shape %v, so that a document has %d tokens, not %d", src, shape, shape[1], opt.Context)
		}
		c.docs, c.width, c.d = shape[0], shape[1], shape[2]
	case len(shape) == 2 && opt.Context > 0 && shape[0]%opt.Context == 0:
		c.docs, c.d = shape[0]/opt.Context, shape[1]
	case len(shape) == 2:
		return nil, fmt.Errorf("store: import: %s has shape %v; say how many tokens a document has (--context), a divisor of %d", src, shape, shape[0])
	default:
		return nil, fmt.Errorf("store: import: %s has shape %v; activations are [documents, context, d] or [n, d]", src, shape)
	}
	if c.width < 1 || c.d < 1 || len(tokens) != c.docs*c.width {
		return nil, fmt.Errorf("store: import: %s has shape %v and there are %d token ids; every row needs one", src, shape, len(tokens))
	}
	var err error
	if c.tokens, err = int32s(tokens); err != nil {
		return nil, fmt.Errorf("store: import: %s: %w", src, err)
	}
	return &importSource{
		width: c.width, d: c.d, id: filepath.Base(src),
		yield: func(f func(contexts) error) error { return f(c) },
		close: func() error { return nil },
	}, nil
}

func int32s(v []int64) ([]int32, error) {
	out := make([]int32, len(v))
	for i, x := range v {
		if x < math.MinInt32 || x > math.MaxInt32 {
			return nil, fmt.Errorf("token id %d at %d is out of range", x, i)
		}
		out[i] = int32(x)
	}
	return out, nil
}
