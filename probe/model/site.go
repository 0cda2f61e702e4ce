package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind is a place of the forward pass without its layer.
type Kind int

// The kinds of sites; docs/sites.md says what each holds in pre-norm and post-norm models.
const (
	Embed Kind = iota
	PosEmbed
	ResidPre
	ResidMid
	ResidPost
	NormalizedResidPost
	LN1Scale
	LN1Normalized
	LN1Out
	LN2Scale
	LN2Normalized
	LN2Out
	Q
	K
	V
	RotQ
	RotK
	Scores
	Pattern
	Z
	Result
	AttnSubOut
	AttnOut
	MLPIn
	MLPPre
	MLPPreLinear
	MLPPost
	MLPSubOut
	MLPOut
	LNFinalScale
	LNFinalNormalized
	LNFinalOut
	LastHidden
	Pooler
	TextEmbeds
	Sentence
	numKinds
)

// kindInfo describes a kind: its TransformerLens name (with {i} for the layer) and the letters of its axes.
type kindInfo struct {
	name    string
	axes    string
	aliases []string
}

// kindTable is the one table of site names; docs/sites.md is written from it (TestSiteDocs).
var kindTable = [numKinds]kindInfo{
	Embed:               {"hook_embed", "btd", []string{"embed"}},
	PosEmbed:            {"hook_pos_embed", "btd", []string{"pos_embed"}},
	ResidPre:            {"blocks.{i}.hook_resid_pre", "btd", []string{"blocks.{i}.resid_pre", "blocks.{i}.hook_in"}},
	ResidMid:            {"blocks.{i}.hook_resid_mid", "btd", []string{"blocks.{i}.resid_mid"}},
	ResidPost:           {"blocks.{i}.hook_resid_post", "btd", []string{"blocks.{i}.resid_post", "blocks.{i}.hook_out"}},
	NormalizedResidPost: {"blocks.{i}.hook_normalized_resid_post", "btd", nil},
	LN1Scale:            {"blocks.{i}.ln1.hook_scale", "bt1", nil},
	LN1Normalized:       {"blocks.{i}.ln1.hook_normalized", "btd", nil},
	LN1Out:              {"blocks.{i}.ln1.hook_out", "btd", nil},
	LN2Scale:            {"blocks.{i}.ln2.hook_scale", "bt1", nil},
	LN2Normalized:       {"blocks.{i}.ln2.hook_normalized", "btd", nil},
	LN2Out:              {"blocks.{i}.ln2.hook_out", "btd", nil},
	Q:                   {"blocks.{i}.attn.hook_q", "bthe", []string{"blocks.{i}.attn.q"}},
	K:                   {"blocks.{i}.attn.hook_k", "btke", []string{"blocks.{i}.attn.k"}},
	V:                   {"blocks.{i}.attn.hook_v", "btke", []string{"blocks.{i}.attn.v"}},
	RotQ:                {"blocks.{i}.attn.hook_rot_q", "bthe", nil},
	RotK:                {"blocks.{i}.attn.hook_rot_k", "btke", nil},
	Scores:              {"blocks.{i}.attn.hook_attn_scores", "bhts", []string{"blocks.{i}.attn.scores"}},
	Pattern:             {"blocks.{i}.attn.hook_pattern", "bhts", []string{"blocks.{i}.attn.pattern"}},
	Z:                   {"blocks.{i}.attn.hook_z", "bthe", []string{"blocks.{i}.attn.z"}},
	Result:              {"blocks.{i}.attn.hook_result", "bthd", []string{"blocks.{i}.attn.result"}},
	AttnSubOut:          {"blocks.{i}.attn.hook_out", "btd", nil},
	AttnOut:             {"blocks.{i}.hook_attn_out", "btd", []string{"blocks.{i}.attn_out"}},
	MLPIn:               {"blocks.{i}.mlp.hook_in", "btd", []string{"blocks.{i}.hook_mlp_in"}},
	MLPPre:              {"blocks.{i}.mlp.hook_pre", "btf", []string{"blocks.{i}.mlp.pre"}},
	MLPPreLinear:        {"blocks.{i}.mlp.hook_pre_linear", "btf", nil},
	MLPPost:             {"blocks.{i}.mlp.hook_post", "btf", []string{"blocks.{i}.mlp.post"}},
	MLPSubOut:           {"blocks.{i}.mlp.hook_out", "btd", nil},
	MLPOut:              {"blocks.{i}.hook_mlp_out", "btd", []string{"blocks.{i}.mlp_out"}},
	LNFinalScale:        {"ln_final.hook_scale", "bt1", nil},
	LNFinalNormalized:   {"ln_final.hook_normalized", "btd", nil},
	LNFinalOut:          {"ln_final.hook_out", "btd", nil},
	LastHidden:          {"last_hidden_state", "btd", nil},
	Pooler:              {"pooler", "bd", []string{"pooler_output"}},
	TextEmbeds:          {"text_embeds", "bo", nil},
	Sentence:            {"sentence", "bd", []string{"sentence_embedding"}},
}

// Name is the kind's TransformerLens name, with {i} in place of the layer.
func (k Kind) Name() string { return kindTable[k].name }

// InBlock tells whether the kind exists once per layer.
func (k Kind) InBlock() bool { return strings.HasPrefix(kindTable[k].name, "blocks.") }

// Axes names the axes of the kind's tensor by the letters of the package's legend; 1 is a single element, o the
// width of the text projection.
func (k Kind) Axes() string { return kindTable[k].axes }

// Site is a named place in a forward pass. Layer is 0 for kinds outside the blocks.
type Site struct {
	Kind  Kind
	Layer int
}

// String is the site's canonical TransformerLens name.
func (s Site) String() string {
	return strings.Replace(kindTable[s.Kind].name, "{i}", strconv.Itoa(s.Layer), 1)
}

// ParseSite reads a site's canonical name or one of its aliases. The error of an unknown name offers the nearest ones.
func ParseSite(name string) (Site, error) {
	pattern, layer := name, 0
	if rest, ok := strings.CutPrefix(name, "blocks."); ok {
		number, tail, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(number); err == nil && n >= 0 {
			pattern, layer = "blocks.{i}."+tail, n
		}
	}
	for k, info := range kindTable {
		if info.name == pattern || slices.Contains(info.aliases, pattern) {
			return Site{Kind(k), layer}, nil
		}
	}
	return Site{}, fmt.Errorf("model: unknown site %q; nearest: %s", name, strings.Join(nearest(pattern, layer), ", "))
}

// nearest returns the three site names closest to pattern by edit distance.
func nearest(pattern string, layer int) []string {
	type candidate struct {
		name string
		dist int
	}
	all := make([]candidate, 0, len(kindTable))
	for k, info := range kindTable {
		all = append(all, candidate{Site{Kind(k), layer}.String(), editDistance(pattern, info.name)})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return a.dist - b.dist })
	names := make([]string, 3)
	for i := range names {
		names[i] = all[i].name
	}
	return names
}

// editDistance is the Levenshtein distance between a and b in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// Has tells whether the site exists in models of this Spec, with the reason when it does not.
func (s *Spec) Has(site Site) error {
	if site.Kind.InBlock() && (site.Layer < 0 || site.Layer >= s.Layers) {
		return fmt.Errorf("model: site %s: layer %d is outside 0..%d of this %s model", site, site.Layer, s.Layers-1, s.Family)
	}
	ok := true
	switch site.Kind {
	case PosEmbed:
		ok = s.Positions == PosLearned
	case ResidMid:
		ok = !s.Parallel
	case NormalizedResidPost:
		ok = s.Place == PostNorm
	case LN1Scale, LN1Normalized, LN1Out, LN2Scale, LN2Normalized, LN2Out:
		ok = s.Place != OutputNorm
	case RotQ, RotK:
		ok = s.Positions == PosRotary
	case AttnSubOut, MLPSubOut:
		ok = s.Place == SandwichNorm || s.Place == OutputNorm
	case MLPPreLinear:
		ok = s.Gated
	case LNFinalScale, LNFinalNormalized, LNFinalOut:
		ok = s.FinalNorm
	case Pooler:
		ok = s.Pooler != PoolerNone
	case TextEmbeds:
		ok = s.Projection > 0
	case Sentence:
		ok = s.Sentence.Mode != ""
	}
	if !ok {
		return fmt.Errorf("model: site %s does not exist in a %s model; `loupe model info` lists the sites it has", site, s.Family)
	}
	return nil
}

// Sites lists every site of models of this Spec, in the order of the forward pass within each layer.
func (s *Spec) Sites() []Site {
	var out []Site
	for k := Embed; k < numKinds; k++ {
		layers := 1
		if k.InBlock() {
			layers = s.Layers
		}
		for i := range layers {
			if site := (Site{k, i}); s.Has(site) == nil {
				out = append(out, site)
			}
		}
	}
	return out
}

// Width is the length of the site's last axis: d_model, head width, MLP width, projection, or the number of keys
// (seq) for attention scores and patterns.
func (s *Spec) Width(k Kind, seq int) int {
	dims := s.Dims(k, 1, seq)
	return dims[len(dims)-1]
}

// Dims is the shape of a kind's tensor for a batch of rows with seq positions.
func (s *Spec) Dims(k Kind, batch, seq int) []int {
	axes := k.Axes()
	dims := make([]int, len(axes))
	for i, a := range axes {
		dims[i] = map[rune]int{
			'b': batch, 't': seq, 's': seq, 'h': s.Heads, 'k': s.KVHeads, 'e': s.DHead,
			'd': s.DModel, 'f': s.DMLP, 'o': s.Projection, '1': 1,
		}[a]
	}
	return dims
}
