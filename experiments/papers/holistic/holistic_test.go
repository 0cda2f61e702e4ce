package holistic

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: a small run keeps the theorems: importances agree in the last linear layer, and no dictionary leaves less of the fitted
// rows than PCA.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "topics=[animals, music, sport]", "train=20", "held_out=5", "concepts=4", "splits=2", "sobol_points=16", "ig_points=4",
		"orders=2", "random=1", "sae_k=2", "sae_epochs=20")
	if gap := studytest.Number(t, r, "agreement.worst").Value; !(gap <= 1e-5) {
		t.Errorf("importances differ by %v in a linear layer", gap)
	}
	if ratio := studytest.Number(t, r, "pca.fvu_over_others").Value; !(ratio <= 1) {
		t.Errorf("PCA leaves %v of what the best other dictionary leaves", ratio)
	}
	if accuracy := studytest.Number(t, r, "probe.accuracy").Value; accuracy < 0.5 {
		t.Errorf("the linear layer has accuracy %v of three topics", accuracy)
	}
	for _, x := range []string{"kmeans", "pca", "nmf", "seminmf", "sae"} {
		down, up := studytest.Number(t, r, x+".occlusion.deletion").Value, studytest.Number(t, r, x+".occlusion.insertion").Value
		if !(down > 0 && up > down && up < 1) {
			t.Errorf("%s: areas %v and %v", x, down, up)
		}
	}
}
