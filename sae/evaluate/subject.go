package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/hub"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/token"
)

// Subject is the model whose activations the dictionaries read, with the way in which the store's text became tokens.
type Subject struct {
	Engine    *model.Engine
	Model     *model.Model
	Tokenizer *token.Tokenizer // nil: only the store's own tokens can be run
	Length    int              // most tokens of a text, special ones included
	Special   bool             // the template's special tokens are added
	BOS       bool             // a beginning-of-sequence token is put first where the template puts none
}

// subjectLength is the greatest length of a text that is run through a model.
const subjectLength = 128

// OpenSubject loads a model by its folder, file or hub id, and takes the policy of the store's capture, if it is known. Close
// frees the model.
func OpenSubject(ctx context.Context, b compute.Backend, ref string, offline bool, st *store.Store, log *slog.Logger) (*Subject, error) {
	path, err := hub.Resolve(ctx, ref, hub.Options{Offline: offline})
	if err != nil {
		return nil, fmt.Errorf("evaluate: model %s: %w", ref, err)
	}
	s := &Subject{Engine: model.NewEngine(b, log), Special: true, Length: subjectLength}
	if s.Tokenizer, err = token.Load(path); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	if s.Model, err = model.Load(ctx, b, path, model.Options{}); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	if limit := s.Model.Spec.MaxPos; limit > 0 {
		s.Length = min(s.Length, limit)
	}
	if st != nil {
		s.follow(st.Manifest())
	}
	return s, nil
}

// follow takes over what the store's capture did with special tokens; an imported store does not say.
func (s *Subject) follow(m *store.Manifest) {
	var capture struct {
		AddSpecial *bool  `json:"add_special"`
		BOS        string `json:"bos"`
	}
	if json.Unmarshal(m.Config, &capture) == nil && capture.AddSpecial != nil {
		s.Special, s.BOS = *capture.AddSpecial, capture.BOS == "prepend"
	}
	if m.Policy.MaxLen > 0 {
		s.Length = min(s.Length, m.Policy.MaxLen)
	}
}

// Close frees the model's weights.
func (s *Subject) Close() error { return s.Model.Params.Free() }

// Differs says in what the model differs from the one that made the store; "" if in nothing.
func (s *Subject) Differs(m *store.Manifest) string {
	switch {
	case m.Model.Digest != s.Model.Digest:
		return fmt.Sprintf("the weights of %s are not those that made the store (%s): its activations are not those that the dictionaries are for", s.Model.Name, m.Model.ID)
	case s.Tokenizer != nil && m.Tokenizer != s.Tokenizer.Digest():
		return fmt.Sprintf("the tokenizer of %s is not the one that made the store", s.Model.Name)
	}
	return ""
}

// site parses the only site of a dictionary and checks that the model has it.
func (s *Subject) site(d *Dictionary, names []string) (model.Site, error) {
	if len(names) != 1 {
		return model.Site{}, fmt.Errorf("%w: %s has %d sites, and one can be run through the model", errLeftOut, d.Name, len(names))
	}
	at, err := model.ParseSite(names[0])
	if err == nil {
		err = s.Model.Spec.Has(at)
	}
	if err != nil {
		return model.Site{}, fmt.Errorf("evaluate: %s in the model %s: %w", d.Name, s.Model.Name, err)
	}
	return at, nil
}

// encode turns a text into tokens.
func (s *Subject) encode(text string) (token.Encoding, error) {
	enc, err := s.Tokenizer.Encode(text, token.EncodeOptions{AddSpecial: s.Special, MaxLen: s.Length})
	if err != nil {
		return enc, fmt.Errorf("evaluate: %w", err)
	}
	if bos := s.Tokenizer.Specials().BOS; s.BOS && bos != token.None && (enc.Len() == 0 || enc.IDs[0] != bos) {
		enc.IDs, enc.Special, enc.Offsets = slices.Insert(enc.IDs, 0, bos), slices.Insert(enc.Special, 0, true), slices.Insert(enc.Offsets, 0, [2]int{})
		n := min(len(enc.IDs), s.Length)
		enc.IDs, enc.Special, enc.Offsets = enc.IDs[:n], enc.Special[:n], enc.Offsets[:n]
	}
	return enc, nil
}

// encodeOpen turns the beginning of a text into tokens: without what the template puts after a text.
func (s *Subject) encodeOpen(text string) ([]int32, error) {
	enc, err := s.encode(text)
	if err != nil {
		return nil, err
	}
	n := len(enc.IDs)
	for n > 0 && enc.Special[n-1] {
		n--
	}
	if n == 0 {
		return nil, fmt.Errorf("evaluate: %q has no token", text)
	}
	return enc.IDs[:n], nil
}

// firstToken is the token with which a continuation of a prompt begins.
func (s *Subject) firstToken(prompt, continuation string) (int32, error) {
	before, err := s.encodeOpen(prompt)
	if err != nil {
		return 0, err
	}
	whole, err := s.encodeOpen(prompt + " " + continuation)
	if err != nil {
		return 0, err
	}
	if len(whole) <= len(before) {
		return 0, fmt.Errorf("evaluate: %q adds no token to %q; is the prompt longer than %d tokens?", continuation, prompt, s.Length)
	}
	return whole[len(before)], nil
}

// lastToken is the place of the last token of the code points [from, to) of a text.
func (s *Subject) lastToken(text string, from, to int) (int, error) {
	enc, err := s.encode(text)
	if err != nil {
		return 0, err
	}
	for i := len(enc.IDs) - 1; i >= 0; i-- {
		if at := enc.Offsets[i]; !enc.Special[i] && at[0] < to && at[1] > from && at[0] < at[1] {
			return i, nil
		}
	}
	return 0, fmt.Errorf("evaluate: no token of %q covers the code points %d to %d", text, from, to)
}

// Activations are a site's values on some texts, token by token.
type Activations struct {
	Width   int
	X       []float32 // [rows, width]
	Start   []int     // text i has the rows Start[i] to Start[i+1]
	Token   []int32   // [rows]
	Special []bool    // [rows]
}

// Texts is the number of texts.
func (a *Activations) Texts() int { return len(a.Start) - 1 }

// Groups tells the text of each row, with -1 for special tokens, as sae.PoolLatents takes them.
func (a *Activations) Groups() []int {
	out := make([]int, len(a.Token))
	for i := range a.Texts() {
		for r := a.Start[i]; r < a.Start[i+1]; r++ {
			out[r] = i
			if a.Special[r] {
				out[r] = -1
			}
		}
	}
	return out
}

// lengths are the padded lengths of texts, each compiled once.
var lengths = [...]int{8, 16, 32, 64, 128, 256, 512, 1024}

// subjectTokens is the number of tokens of a batch, padding included.
const subjectTokens = 1024

// Activations runs texts through the model and returns what a site holds. done, which may be nil, is told of every batch of texts.
func (s *Subject) Activations(ctx context.Context, site model.Site, texts []string, done func(n int64)) (*Activations, error) {
	if axes := site.Kind.Axes(); len(axes) < 3 || axes[:2] != "bt" {
		return nil, fmt.Errorf("evaluate: site %s has no value for each token", site)
	}
	width := 1
	for _, n := range s.Model.Spec.Dims(site.Kind, 1, 1)[2:] {
		width *= n
	}
	a := &Activations{Width: width, Start: []int{0}}
	encodings := make([]token.Encoding, len(texts))
	buckets := map[int][]int{}
	for i, text := range texts {
		var err error
		if encodings[i], err = s.encode(text); err != nil {
			return nil, err
		}
		n := encodings[i].Len()
		if n == 0 {
			return nil, fmt.Errorf("evaluate: text %d has no token: %q", i, text)
		}
		at, ok := slices.BinarySearch(lengths[:], n)
		if !ok && at == len(lengths) {
			return nil, fmt.Errorf("evaluate: text %d has %d tokens; at most %d are run", i, n, lengths[at-1])
		}
		buckets[lengths[at]] = append(buckets[lengths[at]], i)
		a.Start = append(a.Start, a.Start[i]+n)
		a.Token, a.Special = append(a.Token, encodings[i].IDs...), append(a.Special, encodings[i].Special...)
	}
	a.X = make([]float32, len(a.Token)*width)
	for _, length := range lengths {
		size := max(1, subjectTokens/length)
		for chunk := range slices.Chunk(buckets[length], size) {
			if err := s.batch(ctx, site, encodings, chunk, size, length, a); err != nil {
				return nil, err
			}
			if done != nil {
				done(int64(len(chunk)))
			}
		}
	}
	return a, nil
}

// joint is Activations of several sites, whose values stand one after the other in each row.
func (s *Subject) joint(ctx context.Context, sites siteKey, texts []string) (*Activations, error) {
	var all *Activations
	var parts [][]float32
	var widths []int
	for _, name := range sites.reads() {
		at, err := model.ParseSite(name)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		one, err := s.Activations(ctx, at, texts, nil)
		if err != nil {
			return nil, err
		}
		all, parts, widths = one, append(parts, one.X), append(widths, one.Width)
	}
	all.X, all.Width = join(parts, widths, len(all.Token)), sum(widths)
	return all, nil
}

// capturePlan captures a site and runs no layer after it.
func capturePlan(batch, seq int, site model.Site) model.Plan {
	p := model.Plan{Batch: batch, Seq: seq, Captures: []model.Capture{{Site: site}}}
	if site.Kind.InBlock() {
		p.To = site.Layer + 1
	}
	return p
}

// batch runs some texts of one length, padded with repetitions of the first, and copies their rows to a.
func (s *Subject) batch(ctx context.Context, site model.Site, encodings []token.Encoding, texts []int, size, length int, a *Activations) (err error) {
	program, err := s.Engine.Compile(s.Model.Spec, capturePlan(size, length, site))
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	ids, mask := make([]int32, size*length), make([]int32, size*length)
	for r := range size {
		i := texts[0]
		if r < len(texts) {
			i = texts[r]
		}
		s.place(encodings[i].IDs, ids[r*length:(r+1)*length], mask[r*length:(r+1)*length])
	}
	out, err := program.Run(ctx, s.Model.Params, model.Inputs{IDs: ids, Mask: mask})
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	return tensors.ConstFlatData(out.Site(site), func(x []float32) {
		for r, i := range texts {
			copy(a.X[a.Start[i]*a.Width:a.Start[i+1]*a.Width], x[r*length*a.Width:])
		}
	})
}

// place writes tokens and padding into a row of a batch.
func (s *Subject) place(tokens []int32, ids, mask []int32) {
	pad := int32(max(0, s.Model.Spec.PadID))
	for j := range ids {
		ids[j], mask[j] = pad, 0
		if j < len(tokens) {
			ids[j], mask[j] = tokens[j], 1
		}
	}
}

// embed returns the pooled embeddings of texts, [texts, width].
func (s *Subject) embed(ctx context.Context, pooled model.Site, texts []string) ([]float32, error) {
	var out []float32
	for _, text := range texts {
		enc, err := s.encode(text)
		if err != nil {
			return nil, err
		}
		row, err := s.run(ctx, pooled, enc.IDs)
		if err != nil {
			return nil, err
		}
		out = append(out, row...)
	}
	return out, nil
}

// run returns a site's values on one sequence: [tokens, width], or [width] for a pooled site.
func (s *Subject) run(ctx context.Context, site model.Site, tokens []int32) (x []float32, err error) {
	at, _ := slices.BinarySearch(lengths[:], len(tokens))
	if at == len(lengths) {
		return nil, fmt.Errorf("evaluate: a text has %d tokens; at most %d are run", len(tokens), lengths[at-1])
	}
	length := lengths[at]
	program, err := s.Engine.Compile(s.Model.Spec, capturePlan(1, length, site))
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	ids, mask := make([]int32, length), make([]int32, length)
	s.place(tokens, ids, mask)
	out, err := program.Run(ctx, s.Model.Params, model.Inputs{IDs: ids, Mask: mask})
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	if x, err = tensors.CopyFlatData[float32](out.Site(site)); err != nil {
		return nil, fmt.Errorf("evaluate: read %s: %w", site, err)
	}
	if len(site.Kind.Axes()) > 2 {
		x = x[:len(x)/length*len(tokens)]
	}
	return x, nil
}
