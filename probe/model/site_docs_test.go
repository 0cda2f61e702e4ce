package model

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// siteRow is a row of the table in docs/sites.md.
type siteRow struct {
	name, shape       string
	aliases, families []string
	meaning, postNorm string
}

// siteRows reads the table of docs/sites.md.
func siteRows(t *testing.T) []siteRow {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(graphtest.ModuleRoot(t), "docs", "sites.md"))
	if err != nil {
		t.Fatal(err)
	}
	list := func(cell string) []string {
		return strings.FieldsFunc(cell, func(r rune) bool { return r == ',' || r == ' ' || r == '`' })
	}
	var out []siteRow
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(line, "|")
		if len(cells) != 8 {
			t.Fatalf("a row of %d cells: %s", len(cells)-2, line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out = append(out, siteRow{strings.Trim(cells[1], "`"), strings.Trim(cells[3], "`"), list(cells[2]), list(cells[6]), cells[4], cells[5]})
	}
	return out
}

// specsByFamily returns a Spec for each kind of model that a family reads.
func specsByFamily(t *testing.T) map[string][]*Spec {
	t.Helper()
	bases := map[string]string{
		"gpt2": `{"n_embd":32,"n_layer":2,"n_head":4,"vocab_size":97,"n_positions":64}`, "t5": t5Config, "gpt_neox": bertConfig,
		"bert": bertConfig, "roberta": bertConfig, "xlm-roberta": bertConfig, "distilbert": bertConfig, "mpnet": bertConfig, "clip_text_model": bertConfig,
		"clip": `{"text_config":` + bertConfig + `,"projection_dim":16}`,
	}
	variants := map[string]map[string]any{"gpt_neox": {"use_parallel_residual": false}, "t5": {"feed_forward_proj": "gated-gelu"}}
	out := map[string][]*Spec{}
	for _, family := range Families() {
		base, ok := bases[family]
		if !ok {
			base = llamaConfig
		}
		for _, change := range []map[string]any{{}, variants[family]} {
			s, err := parse(with(t, with(t, base, change), map[string]any{"model_type": family}))
			if err != nil {
				t.Fatalf("%s: %v", family, err)
			}
			out[family] = append(out[family], s)
		}
	}
	return out
}

// TestSiteDocs holds the table of docs/sites.md against the code: names, aliases and shapes against kindTable, families
// against the Specs that they read.
func TestSiteDocs(t *testing.T) {
	rows := siteRows(t)
	if len(rows) != len(kindTable) {
		t.Errorf("%d rows for %d kinds of sites", len(rows), len(kindTable))
	}
	specs := specsByFamily(t)
	postNorm := false
	for k, row := range rows {
		if k >= len(kindTable) {
			break
		}
		kind := kindTable[k]
		if row.name != kind.name || !slices.Equal(row.aliases, kind.aliases) {
			t.Errorf("row %d is %s with aliases %v; the code has %s with %v", k, row.name, row.aliases, kind.name, kind.aliases)
		}
		if want := "[" + strings.Join(strings.Split(kind.axes, ""), ",") + "]"; row.shape != want {
			t.Errorf("%s has shape %s; the code has %s", row.name, row.shape, want)
		}
		if row.meaning == "" && row.postNorm == "" {
			t.Errorf("%s has no meaning", row.name)
		}
		for family, models := range specs {
			has, inPostNorm := false, false
			for _, s := range models {
				if s.Has(Site{Kind: Kind(k)}) == nil {
					has = true
					inPostNorm = inPostNorm || s.Place == PostNorm
				}
			}
			if Kind(k) == Sentence {
				continue // a matter of the folder's modules.json, not of the family
			}
			if says := listed(row.families, family); says != has {
				t.Errorf("%s: the table says %v for %s models; the code %v", row.name, says, family, has)
			}
			postNorm = postNorm || inPostNorm
			if inPostNorm && row.postNorm == "" {
				t.Errorf("%s exists in %s, and the table does not say what it is in post-norm encoders", row.name, family)
			}
		}
	}
	if !postNorm {
		t.Error("no family is a post-norm encoder")
	}
}

// listed tells whether a cell "all", "all but a, b" or "a, b" includes family.
func listed(cell []string, family string) bool {
	if len(cell) > 0 && cell[0] == "all" {
		return !slices.Contains(cell[1:], family)
	}
	return slices.Contains(cell, family)
}
