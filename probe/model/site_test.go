package model

import (
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

func TestParseSite(t *testing.T) {
	for _, test := range []struct {
		name string
		want Site
	}{
		{"hook_embed", Site{Embed, 0}},
		{"blocks.0.hook_resid_pre", Site{ResidPre, 0}},
		{"blocks.11.attn.hook_z", Site{Z, 11}},
		{"blocks.3.mlp.hook_post", Site{MLPPost, 3}},
		{"blocks.2.resid_post", Site{ResidPost, 2}},
		{"ln_final.hook_out", Site{LNFinalOut, 0}},
		{"pooler_output", Site{Pooler, 0}},
	} {
		got, err := ParseSite(test.name)
		if err != nil || got != test.want {
			t.Errorf("ParseSite(%q) = %v, %v; want %v", test.name, got, err, test.want)
		}
	}
	for k := Embed; k < numKinds; k++ {
		site := Site{Kind: k}
		if k.InBlock() {
			site.Layer = 7
		}
		if got, err := ParseSite(site.String()); err != nil || got != site {
			t.Errorf("ParseSite(%q) = %v, %v", site, got, err)
		}
	}
}

func TestParseSiteOffersNearest(t *testing.T) {
	_, err := ParseSite("blocks.4.hook_resid_pots")
	if err == nil || !strings.Contains(err.Error(), "blocks.4.hook_resid_post") {
		t.Errorf("the error %v does not offer blocks.4.hook_resid_post", err)
	}
	for _, bad := range []string{"", "blocks", "blocks.-1.hook_resid_pre", "blocks.x.hook_resid_pre", "blocks.1."} {
		if _, err := ParseSite(bad); err == nil {
			t.Errorf("ParseSite(%q) succeeded", bad)
		}
	}
}

func FuzzParseSite(f *testing.F) {
	f.Add("blocks.3.attn.hook_q")
	f.Add("blocks.99999999999999999999.hook_resid_pre")
	f.Fuzz(func(t *testing.T, name string) {
		site, err := ParseSite(name)
		if err != nil {
			return
		}
		if again, err := ParseSite(site.String()); err != nil || again != site {
			t.Fatalf("%q parses to %v, whose name parses to %v, %v", name, site, again, err)
		}
	})
}

// TestEverySiteHasItsShape captures all sites of all families at once and compares their shapes with Spec.Dims.
func TestEverySiteHasItsShape(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, name := range []string{"gpt2", "pythia", "gemma3", "olmo2", "bert", "clip-quickgelu", "t5-gated-gelu"} {
		t.Run(name, func(t *testing.T) {
			m := tiny(t, engine, name)
			const b, seq = 2, 6
			plan := Plan{Batch: b, Seq: seq}
			for _, s := range m.Spec.Sites() {
				plan.Captures = append(plan.Captures, Capture{Site: s})
			}
			out := run(t, engine, m, plan, Inputs{IDs: someIDs(1, b*seq, m.Spec.Vocab)})
			for _, s := range m.Spec.Sites() {
				shape := shapeOf(floatType, m.Spec.Dims(s.Kind, b, seq)...)
				if got := out.Site(s).Shape(); !got.Equal(shape) {
					t.Errorf("%s has shape %s, want %s", s, got, shape)
				}
			}
		})
	}
}
