package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/probe/store"
	"loupe/probe/token"
)

func newStoreCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look at, check, export and import activation stores",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newStoreInfoCmd(a), newStoreVerifyCmd(a), newStoreSampleCmd(a), newStoreExportCmd(a), newStoreImportCmd(a))
	return cmd
}

// storeInfo is what `loupe store info --json` prints.
type storeInfo struct {
	Dir   string `json:"dir"`
	Bytes int64  `json:"bytes"`
	*store.Manifest
}

func newStoreInfoCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "info STORE",
		Short: "Print what a store holds and from what it was made",
		Args:  exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := store.Open(args[0], store.OpenOptions{Partial: true})
			if err != nil {
				return err
			}
			defer s.Close()
			info := storeInfo{Dir: args[0], Bytes: s.Bytes(), Manifest: s.Manifest()}
			if a.json {
				return a.printJSON(info)
			}
			return a.printStoreInfo(info)
		},
	}
}

func (a *app) printStoreInfo(info storeInfo) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	state := "complete"
	if !info.Complete {
		state = "NOT complete: resume its capture"
	}
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("store", "%s (%s)", info.Dir, state)
	line("digest", "%s", info.Digest)
	line("model", "%s %.12s", info.Model.ID, info.Model.Digest)
	line("tokenizer", "%.12s", info.Tokenizer)
	line("corpus", "%s %.12s", info.Corpus.ID, info.Corpus.Digest)
	line("rows", "%d tokens, %d examples, %d documents, row digest %.12s", info.Rows, info.Examples, info.Docs, info.RowDigest)
	line("size", "%.2f MiB in %d shards", float64(info.Bytes)/(1<<20), len(info.Shards))
	for _, p := range []struct{ name, value string }{
		{"bos", info.Policy.BOS}, {"special", info.Policy.Special}, {"padding", info.Policy.Padding}, {"packing", info.Policy.Packing},
	} {
		if p.value != "" {
			line(p.name, "%s", p.value)
		}
	}
	if len(info.Labels) > 0 {
		line("labels", "%s", strings.Join(info.Labels, ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nSITE\tPER\tSHAPE\tDTYPE\tSCALE")
	for _, s := range info.Sites {
		scale := "-"
		if s.DType == store.Float16 {
			scale = fmt.Sprint(s.Scale)
		}
		fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%s\n", s.Name, s.Per, s.Shape, s.DType, scale)
	}
	return w.Flush()
}

func newStoreVerifyCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify STORE",
		Short: "Read a whole store and check digests, rows, values and moments",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := store.Verify(cmd.Context(), args[0]); err != nil {
				return err
			}
			s, err := store.Open(args[0], store.OpenOptions{})
			if err != nil {
				return err
			}
			defer s.Close()
			if a.json {
				return a.printJSON(map[string]any{"store": args[0], "ok": true, "rows": s.Rows(), "digest": s.Manifest().Digest})
			}
			_, err = fmt.Fprintf(a.out, "%s is whole: %d token rows and %d example rows in %d shards\n", args[0], s.Rows(), s.Examples(), len(s.Manifest().Shards))
			return err
		},
	}
}

// sampleRow is what `loupe store sample --json` prints for each row.
type sampleRow struct {
	Row     int64     `json:"row"`
	Doc     int64     `json:"doc"`
	Pos     int32     `json:"pos"`
	Token   int32     `json:"token"`
	Text    string    `json:"text,omitempty"`
	Special bool      `json:"special"`
	Norm    float64   `json:"norm"`
	Values  []float32 `json:"values"`
}

func newStoreSampleCmd(a *app) *cobra.Command {
	var n int
	var seed uint64
	var site, tokenizer string
	cmd := &cobra.Command{
		Use:   "sample STORE",
		Short: "Print random token rows with their tokens and activations",
		Args:  exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if n < 1 {
				return usagef("--rows %d: print at least one row", n)
			}
			s, err := store.Open(args[0], store.OpenOptions{Partial: true})
			if err != nil {
				return err
			}
			defer s.Close()
			var tok *token.Tokenizer
			if tokenizer != "" {
				if tok, err = token.Load(tokenizer); err != nil {
					return err
				}
				if want := s.Manifest().Tokenizer; tok.Digest() != want {
					return fmt.Errorf("the tokenizer %s has digest %.12s and the store was made with %.12s; give that tokenizer", tokenizer, tok.Digest(), want)
				}
			}
			name, rows, err := sampleRows(s, tok, site, n, seed)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"site": name, "rows": rows})
			}
			return a.printSample(name, rows)
		},
	}
	cmd.Flags().IntVarP(&n, "rows", "n", 10, "number of rows")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "seed of the choice")
	cmd.Flags().StringVar(&site, "site", "", "site whose values are printed (default: the first)")
	cmd.Flags().StringVar(&tokenizer, "tokenizer", "", "folder of the tokenizer, to print tokens where the store keeps no text")
	return cmd
}

// sampleRows draws n rows, without repetition, in the order of the store.
func sampleRows(s *store.Store, tok *token.Tokenizer, site string, n int, seed uint64) (string, []sampleRow, error) {
	if site == "" {
		for _, x := range s.Manifest().Sites {
			if x.Per == store.Token {
				site = x.Name
				break
			}
		}
	}
	info, err := s.Site(site)
	if err != nil {
		return "", nil, err
	}
	if info.Per != store.Token {
		return "", nil, usagef("site %s has a value for each %s; name a site with one for each token", site, info.Per)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	chosen := map[int64]bool{}
	for len(chosen) < int(min(int64(n), s.Rows())) {
		chosen[rng.Int64N(s.Rows())] = true
	}
	var rows []int64
	for r := range chosen {
		rows = append(rows, r)
	}
	slices.Sort(rows)
	meta, err := s.TokenRows(rows)
	if err != nil {
		return "", nil, err
	}
	d := info.Dim()
	x := make([]float32, len(rows)*d)
	if err := s.Gather(x, site, rows); err != nil {
		return "", nil, err
	}
	docs, err := s.Docs()
	if err != nil && !errors.Is(err, store.ErrIncomplete) {
		return "", nil, err
	}
	out := make([]sampleRow, len(rows))
	for i, m := range meta {
		v := x[i*d : (i+1)*d]
		out[i] = sampleRow{Row: m.Row, Doc: m.Doc, Pos: m.Pos, Token: m.Token, Special: m.Special, Norm: norm(v), Values: v}
		if out[i].Text, err = tokenText(docs, tok, m); err != nil {
			return "", nil, err
		}
	}
	return site, out, nil
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// tokenText is the token as the tokenizer writes it, else the characters of the document that it stands for.
func tokenText(docs *store.Docs, tok *token.Tokenizer, m store.TokenRow) (string, error) {
	if tok != nil {
		text, _ := tok.Token(m.Token)
		return text, nil
	}
	if docs == nil || docs.Index(m.Doc) < 0 || m.CharEnd <= m.CharStart {
		return "", nil
	}
	text, _, err := docs.Text(docs.Index(m.Doc))
	if err != nil {
		return "", err
	}
	runes := []rune(text)
	if int(m.CharEnd) > len(runes) || m.CharStart < 0 {
		return "", nil
	}
	return string(runes[m.CharStart:m.CharEnd]), nil
}

func (a *app) printSample(site string, rows []sampleRow) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "ROW\tDOC\tPOS\tTOKEN\tTEXT\tSPECIAL\tNORM\t%s\n", site)
	for _, r := range rows {
		var first []string
		for _, v := range r.Values[:min(4, len(r.Values))] {
			first = append(first, fmt.Sprintf("%.4g", v))
		}
		if len(r.Values) > 4 {
			first = append(first, "...")
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%q\t%v\t%.4g\t%s\n", r.Row, r.Doc, r.Pos, r.Token, r.Text, r.Special, r.Norm, strings.Join(first, " "))
	}
	return w.Flush()
}

func newStoreExportCmd(a *app) *cobra.Command {
	var format string
	var sites []string
	cmd := &cobra.Command{
		Use:   "export STORE FOLDER",
		Short: "Write a store as Parquet, npy or safetensors",
		Args:  exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]store.Format{store.Parquet, store.Npy, store.Safetensors}, store.Format(format)) {
				return usagef("--format %q: use parquet, npy or safetensors", format)
			}
			s, err := store.Open(args[0], store.OpenOptions{})
			if err != nil {
				return err
			}
			defer s.Close()
			if err := s.Export(cmd.Context(), args[1], store.Format(format), sites); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"store": args[0], "folder": args[1], "format": format, "rows": s.Rows()})
			}
			_, err = fmt.Fprintf(a.out, "wrote %d rows as %s to %s\n", s.Rows(), format, args[1])
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "parquet", "parquet, npy or safetensors")
	cmd.Flags().StringSliceVar(&sites, "site", nil, "sites to export (default: all)")
	return cmd
}

func newStoreImportCmd(a *app) *cobra.Command {
	var opt store.ImportOptions
	var dtype string
	cmd := &cobra.Command{
		Use:   "import SOURCE STORE",
		Short: "Make a store from a .npy or .safetensors file or a SAELens cached-activation folder",
		Args:  exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.DType = store.DType(dtype)
			if opt.DType != store.Float32 && opt.DType != store.Float16 {
				return usagef("--dtype %q: use float32 or float16", dtype)
			}
			if err := store.Import(cmd.Context(), args[0], args[1], opt); err != nil {
				return err
			}
			s, err := store.Open(args[1], store.OpenOptions{})
			if err != nil {
				return err
			}
			defer s.Close()
			if a.json {
				return a.printJSON(storeInfo{Dir: args[1], Bytes: s.Bytes(), Manifest: s.Manifest()})
			}
			_, err = fmt.Fprintf(a.out, "imported %d rows of %s into %s\n", s.Rows(), s.Manifest().Sites[0].Name, args[1])
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.Site, "site", "", "name of the activations (default: the name that the files give)")
	f.StringVar(&opt.Model.ID, "model", "", "name of the model that made them")
	f.StringVar(&opt.Model.Digest, "model-digest", "", "digest of its weights")
	f.StringVar(&opt.Tokenizer, "tokenizer-digest", "", "digest of its tokenizer")
	f.StringVar(&opt.Tokens, "tokens", "", "token ids (.npy) of a .npy source")
	f.StringVar(&opt.ActsName, "acts-name", "", "tensor of the activations in a .safetensors source (default acts)")
	f.StringVar(&opt.TokensName, "tokens-name", "", "tensor of the token ids in a .safetensors source (default token_ids)")
	f.IntVar(&opt.Context, "context", 0, "tokens of a document where the activations are [n, d]")
	f.StringVar(&dtype, "dtype", string(store.Float32), "float32 or float16")
	f.BoolVar(&opt.Moments.Off, "no-moments", false, "keep no moments")
	return cmd
}
