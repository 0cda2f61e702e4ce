package capture

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

func TestResolveSites(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 2, 3)
	for _, tc := range []struct {
		name  string
		sites []string
		want  []string // name per shape
		to    int
	}{
		{"one", []string{"blocks.1.hook_resid_post"}, []string{"blocks.1.hook_resid_post token [48]"}, 2},
		{"alias", []string{"blocks.0.resid_post"}, []string{"blocks.0.hook_resid_post token [48]"}, 1},
		{"embedding", []string{"hook_embed"}, []string{"hook_embed token [48]"}, 1},
		{"heads", []string{"blocks.0.attn.hook_z"}, []string{"blocks.0.attn.hook_z token [4 12]"}, 1},
		{"pattern", []string{"blocks.*.hook_resid_post"},
			[]string{"blocks.0.hook_resid_post token [48]", "blocks.1.hook_resid_post token [48]", "blocks.2.hook_resid_post token [48]"}, 3},
		{"pattern over kinds leaves attention matrices out", []string{"blocks.0.attn.hook_*"}, []string{
			"blocks.0.attn.hook_q token [4 12]", "blocks.0.attn.hook_k token [4 12]", "blocks.0.attn.hook_v token [4 12]",
			"blocks.0.attn.hook_z token [4 12]", "blocks.0.attn.hook_result token [4 48]"}, 1},
		{"reductions", []string{"pooler", "blocks.0.hook_mlp_out@mean", "blocks.0.hook_mlp_out", "last_hidden_state@first"}, []string{
			"blocks.0.hook_mlp_out token [48]", "pooler example [48]", "blocks.0.hook_mlp_out.mean example [48]", "last_hidden_state.first example [48]"}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := f.cfg
			cfg.Sites = sites(tc.sites...)
			c, err := f.capture(t, cfg)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range c.Sites() {
				got = append(got, fmt.Sprint(s.Name, " ", s.Per, " ", s.Shape))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			if to := modelPlan(f.model.Spec, c.columns(), 1, 1, model.Float32).To; to != tc.to {
				t.Errorf("%d layers are computed, want %d", to, tc.to)
			}
		})
	}
}

func TestSiteErrors(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 2, 3)
	for _, tc := range []struct {
		sites []string
		want  string
	}{
		{[]string{"blocks.1.hook_resid_pots"}, "nearest: blocks.1.hook_resid_post"},
		{[]string{"hook_embed", "blocks.7.hook_resid_post"}, "sites.1: model: site blocks.7.hook_resid_post: layer 7 is outside 0..2"},
		{[]string{"blocks.*.hook_resid_pots"}, "matches no site of this bert model"},
		{[]string{"blocks.*.hook_resid_pots"}, "nearest: blocks.0.hook_resid_post"},
		{[]string{"text_embeds"}, "does not exist in a bert model"},
		{[]string{"blocks.0.attn.hook_pattern"}, "has a value for every pair of tokens"},
		{[]string{"pooler@mean"}, "has one value a document already"},
		{[]string{"hook_embed", "hook_*"}, "sites.1: site hook_embed is there twice"},
	} {
		cfg := f.cfg
		cfg.Sites = sites(tc.sites...)
		if _, err := f.capture(t, cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: got %v, want %q", tc.sites, err, tc.want)
		}
	}
}
