package circuits

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"loupe/probe/model"
	"loupe/sae"
)

// goldenSFC: effects of an autoencoder's latents and error at one site.
func goldenSFC(t *testing.T, engine *model.Engine, root, name string) {
	dir := filepath.Join(root, "sfc", name)
	var expected struct {
		Model, Hook string
		Change      float64 `json:"total_change"`
		AtP         float64 `json:"sum_atp"`
		IG          float64 `json:"sum_ig10"`
		Top         []int   `json:"top_features_ig10"`
	}
	readJSON(t, &expected, dir, "expected.json")
	want := openArrays(t, dir, "expected.safetensors")
	task := newTask(t, engine, loadModel(t, engine, root, "models", expected.Model), pairsOf(openArrays(t, root, "cases", expected.Model, "inputs.safetensors"), ""), LogitDiff())
	dictionary := must[*sae.SAE](t)(sae.Load(filepath.Join(dir, "sae")))
	p := Parts{Site: must[model.Site](t)(model.ParseSite(expected.Hook)), Directions: dictionary.WDec}
	encode := func(ids []int32) (features []float32, remainder []float64) {
		x := must[SiteValues](t)(task.CaptureSites(t.Context(), ids, []model.Site{p.Site}))[p.Site]
		latents, y, err := dictionary.Reconstruct(x)
		if err != nil {
			t.Fatal(err)
		}
		features = make([]float32, latents.Rows()*dictionary.DSAE)
		for r := range latents.Rows() {
			index, value := latents.Row(r)
			for j, i := range index {
				features[r*dictionary.DSAE+int(i)] += value[j]
			}
		}
		for i := range x {
			remainder = append(remainder, float64(x[i])-float64(y[i]))
		}
		return features, remainder
	}
	var cleanError, patchError []float64
	p.Clean, cleanError = encode(task.Pairs.Clean)
	p.Corrupted, patchError = encode(task.Pairs.Corrupted)
	want.is("clean_features", widen(p.Clean))
	want.is("patch_features", widen(p.Corrupted))
	want.is("clean_error", cleanError)
	want.is("patch_error", patchError)
	want.is("clean_loss", task.CleanLoss)
	// the site is all that reaches the logits at the patched layer, so that patching all of it is the corrupted run
	want.is("patched_loss", task.CorruptedLoss)
	sum := func(e *PartEffects) (s float64) {
		for _, v := range slices.Concat(e.Parts, e.Error) {
			s += v / float64(e.Rows)
		}
		return s
	}
	for tag, steps := range map[string]int{"atp": 0, "ig10": 10} {
		e := must[*PartEffects](t)(AttributeParts(t.Context(), task, p, steps))
		want.is(tag+".features", e.Parts)
		want.is(tag+".error", e.Error)
		total := map[string]float64{"atp": expected.AtP, "ig10": expected.IG}[tag]
		if math.Abs(sum(e)-total) > 1e-3*math.Abs(total) {
			t.Errorf("%s adds up to %g, want %g", tag, sum(e), total)
		}
		if steps == 0 {
			continue
		}
		strength := make([]float64, e.N)
		for i, v := range e.Parts {
			strength[i%e.N] += v
		}
		for i, v := range strength {
			strength[i] = math.Abs(v)
		}
		for rank := range expected.Top[1:] {
			if strength[expected.Top[rank]] < strength[expected.Top[rank+1]] {
				t.Errorf("latent %d should come before %d", expected.Top[rank], expected.Top[rank+1])
			}
		}
	}
	n, seq, rows := dictionary.DSAE, task.Pairs.Seq, task.Pairs.Rows
	var patches []PartPatch
	for i := ErrorPart; i < n; i++ {
		for position := -1; position < seq; position++ {
			patches = append(patches, PartPatch{i, position})
		}
	}
	before := engine.Compiles()
	effects := must[[][]float64](t)(PatchParts(t.Context(), task, p, patches))
	if c := engine.Compiles() - before; c > 1 {
		t.Errorf("%d compiles for a sweep over parts", c)
	}
	single, everywhere := make([]float64, rows*seq*n), make([]float64, rows*n)
	errorSingle, errorEverywhere := make([]float64, rows*seq), make([]float64, rows)
	for k, patch := range patches {
		for r, v := range effects[k] {
			switch {
			case patch.Part == ErrorPart && patch.Position < 0:
				errorEverywhere[r] = v
			case patch.Part == ErrorPart:
				errorSingle[r*seq+patch.Position] = v
			case patch.Position < 0:
				everywhere[r*n+patch.Part] = v
			default:
				single[(r*seq+patch.Position)*n+patch.Part] = v
			}
		}
	}
	want.is("exact.features", single)
	want.is("exact.features_all_positions", everywhere)
	want.is("exact.error", errorSingle)
	want.is("exact.error_all_positions", errorEverywhere)
}
