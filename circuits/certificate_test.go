package circuits

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestCertificateFamilies: the certificate's identities hold in every family of the engine that has edges, all decoders among them, with rows
// padded on either side, and the mask-path scores add up to the change.
func TestCertificateFamilies(t *testing.T) {
	dir := filepath.Join(graphtest.Golden(t), "models", "tiny")
	var certified []string
	for _, f := range must[[]os.DirEntry](t)(os.ReadDir(dir)) {
		if !f.IsDir() {
			continue
		}
		path := filepath.Join(dir, f.Name())
		spec := must[*model.Info](t)(model.Inspect(path, model.Options{AllowExtra: true})).Spec
		if spec.HasEdges() != nil {
			if spec.Decoder {
				t.Errorf("%s is a decoder without edges", f.Name())
			}
			continue
		}
		metric := LogitDiff()
		if !spec.Decoder {
			metric = Cosine(model.Site{Kind: model.LastHidden})
		}
		t.Run(f.Name(), func(t *testing.T) {
			engine := model.NewEngine(graphtest.Interpreted(t), nil)
			m := must[*model.Model](t)(model.Load(t.Context(), engine.Backend(), path, model.Options{AllowExtra: true}))
			defer func() { _ = m.Params.Free() }()
			task := must[*Task](t)(NewTask(t.Context(), engine, m, randomPairs(m.Spec, 2, 4, 1), metric, Options{}))
			c := must[*Certificate](t)(Certify(t.Context(), task, must[*Scores](t)(MaskIG(t.Context(), task, 64))))
			if err := c.Err(); err != nil {
				t.Error(err)
			}
			if len(c.Checks) != 4 {
				t.Errorf("%d identities", len(c.Checks))
			}
			for _, check := range c.Checks {
				if check.Skipped != "" {
					t.Errorf("%s was skipped: %s", check.Name, check.Skipped)
				}
				t.Logf("%s: %.1e", check.Name, check.Error)
			}
			t.Logf("scores add up to %.5f, the loss changes by %.5f", c.Sum, c.Change)
			if gap := math.Abs(c.Sum - c.Change); c.Change == 0 || gap > 1e-3*math.Abs(c.Change)+5e-4 { // of the midpoint rule
				t.Errorf("scores add up to %g, the loss changes by %g", c.Sum, c.Change)
			}
			certified = append(certified, m.Spec.Family)
		})
	}
	slices.Sort(certified)
	want := []string{"clip_text_model", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "t5"}
	if got := slices.Compact(certified); !slices.Equal(got, want) {
		t.Errorf("families %v were certified, want %v", got, want)
	}
}
