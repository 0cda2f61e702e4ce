package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/probe/model"
	"loupe/probe/token"
)

// modelInfo is what `loupe model info --json` prints.
type modelInfo struct {
	Ref        string         `json:"ref"`
	Path       string         `json:"path"`
	Spec       *model.Spec    `json:"spec"`
	Parameters int            `json:"parameters"`
	Tensors    int            `json:"tensors"`
	Bytes      int64          `json:"bytes"`  // of the weight files
	Stored     map[string]int `json:"stored"` // scalars in the files by storage type
	Digest     string         `json:"digest"`
	Tokenizer  *tokenizerInfo `json:"tokenizer,omitempty"`
	NoTokens   string         `json:"tokenizer_error,omitempty"`
	Sites      []siteInfo     `json:"sites"`
}

// tokenizerInfo sums up a tokenizer.
type tokenizerInfo struct {
	Digest    string         `json:"digest"`
	Vocab     int            `json:"vocab"`
	Specials  token.Specials `json:"specials"`
	Templates []string       `json:"chat_templates,omitempty"`
}

// siteInfo is one kind of site: b rows, t and s positions; the other dimensions are the model's.
type siteInfo struct {
	Name  string   `json:"name"`
	Shape []string `json:"shape"`
}

func newModelInfoCmd(a *app) *cobra.Command {
	var f modelFlags
	f.dtype = string(model.Float32)
	cmd := &cobra.Command{
		Use:   "info REF",
		Short: "Describe a model: architecture, sizes, sites, tokenizer",
		Long: `Describe a model without reading its weights: architecture, sizes, limits, pooling, the sites that it has with their
shapes, the digest of its weight files and its tokenizer. The files are checked against the configuration. ` + refHelp,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := f.resolve(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			opt, err := f.options()
			if err != nil {
				return err
			}
			info, err := model.Inspect(path, opt)
			if err != nil {
				return err
			}
			out := modelInfo{
				Ref: args[0], Path: path, Spec: info.Spec, Parameters: info.Spec.NumParams(), Tensors: info.Tensors,
				Bytes: info.Bytes, Stored: info.Stored, Digest: info.Digest, Sites: sitesOf(info.Spec),
			}
			if t, err := token.Load(path); err != nil {
				out.NoTokens = err.Error()
			} else {
				out.Tokenizer = &tokenizerInfo{t.Digest(), t.VocabSize(), t.Specials(), t.ChatTemplates()}
			}
			if a.json {
				return a.printJSON(out)
			}
			return a.printModelInfo(out)
		},
	}
	f.addExtra(cmd)
	f.addOffline(cmd)
	return cmd
}

// sitesOf lists the kinds of sites of a Spec with their shapes.
func sitesOf(s *model.Spec) []siteInfo {
	var out []siteInfo
	seen := map[model.Kind]bool{}
	for _, site := range s.Sites() {
		if seen[site.Kind] {
			continue
		}
		seen[site.Kind] = true
		info := siteInfo{Name: site.Kind.Name()}
		for i, n := range s.Dims(site.Kind, 0, 0) {
			if axis := site.Kind.Axes()[i]; strings.ContainsRune("bts", rune(axis)) {
				info.Shape = append(info.Shape, string(axis))
			} else {
				info.Shape = append(info.Shape, strconv.Itoa(n))
			}
		}
		out = append(out, info)
	}
	return out
}

func (a *app) printModelInfo(m modelInfo) error {
	s := m.Spec
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	line := func(key, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", key, fmt.Sprintf(format, args...)) }
	line("model", "%s", m.Path)
	kind := "encoder"
	if s.Decoder {
		kind = "decoder"
	}
	line("architecture", "%s %s", s.Family, kind)
	line("layers", "%d", s.Layers)
	line("width", "%d (MLP %d)", s.DModel, s.DMLP)
	line("heads", "%d of %d, %d for keys and values", s.Heads, s.DHead, s.KVHeads)
	line("vocabulary", "%d", s.Vocab)
	limit := "none"
	if s.MaxPos > 0 {
		limit = strconv.Itoa(s.MaxPos) + " positions"
	}
	line("limit", "%s", limit)
	line("norms", "%s, %s", s.Norm, s.Place)
	line("positions", "%s", s.Positions)
	if pooling := poolingOf(s); pooling != "" {
		line("pooling", "%s", pooling)
	}
	line("parameters", "%d (%s in float32)", m.Parameters, size(int64(m.Parameters)*4))
	var types []string
	for _, name := range slices.SortedFunc(maps.Keys(m.Stored), func(a, b string) int { return cmp.Compare(m.Stored[b], m.Stored[a]) }) {
		types = append(types, fmt.Sprintf("%s %d", name, m.Stored[name]))
	}
	line("files", "%s in %d tensors (%s)", size(m.Bytes), m.Tensors, strings.Join(types, ", "))
	line("digest", "%s", m.Digest)
	if t := m.Tokenizer; t != nil {
		templates := ""
		if len(t.Templates) > 0 {
			templates = ", chat templates: " + strings.Join(t.Templates, " ")
		}
		line("tokenizer", "%d tokens, bos %d eos %d pad %d%s", t.Vocab, t.Specials.BOS, t.Specials.EOS, t.Specials.PAD, templates)
	} else {
		line("tokenizer", "none: %s", m.NoTokens)
	}
	fmt.Fprintln(w, "\nSITE\tSHAPE")
	for _, site := range m.Sites {
		fmt.Fprintf(w, "%s\t[%s]\n", site.Name, strings.Join(site.Shape, " "))
	}
	return w.Flush()
}

// poolingOf names the vectors that the model makes of a whole text.
func poolingOf(s *model.Spec) string {
	var parts []string
	switch s.Pooler {
	case model.PoolerFirst:
		parts = append(parts, "tanh of the first token (pooler)")
	case model.PoolerEOS:
		parts = append(parts, "end-of-text token (pooler)")
	}
	if s.Projection > 0 {
		parts = append(parts, fmt.Sprintf("projected to %d (text_embeds)", s.Projection))
	}
	if s.Sentence.Mode != "" {
		normalised := ""
		if s.Sentence.Normalize {
			normalised = ", normalised"
		}
		parts = append(parts, s.Sentence.Mode+normalised+" (sentence)")
	}
	return strings.Join(parts, "; ")
}
