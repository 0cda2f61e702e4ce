package sae

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/adam"
	"loupe/internal/graphtest"
)

// topKBySort is the definition: sort by falling score, equal ones by index.
func topKBySort(scores []float32, k int) []int32 {
	order := make([]int32, len(scores))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, byScore(scores))
	return order[:k]
}

// byScore orders places by falling score, equal ones by index.
func byScore(scores []float32) func(a, b int32) int {
	return func(a, b int32) int {
		if dropsFirst(scores[a], a, scores[b], b) {
			return 1
		}
		return -1
	}
}

func TestTopK(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 200 {
		n := 1 + rng.IntN(60)
		k := 1 + rng.IntN(n)
		scores := make([]float32, n)
		for i := range scores {
			scores[i] = float32(rng.IntN(7) - 3) // many ties
		}
		index, value := make([]int32, k), make([]float32, k)
		topK(scores, index, value)
		want := topKBySort(scores, k)
		for j, i := range index {
			if value[j] != scores[i] {
				t.Fatalf("slot %d has value %v, score %d is %v", j, value[j], i, scores[i])
			}
		}
		slices.SortFunc(index, byScore(scores))
		if !slices.Equal(index, want) {
			t.Fatalf("top %d of %v: %v, want %v", k, scores, index, want)
		}

		var among []int32
		var some []float32
		for i := range scores {
			if i%2 == 0 {
				among, some = append(among, int32(i)), append(some, scores[i])
			}
		}
		k = min(k, len(among))
		topKAmong(scores, among, index[:k], value[:k])
		slices.SortFunc(index[:k], byScore(scores))
		for j, i := range topKBySort(some, k) {
			if index[j] != 2*i {
				t.Fatalf("top %d of every other of %v: %v", k, scores, index[:k])
			}
		}
	}
}

func TestTopKGraph(t *testing.T) {
	b := graphtest.Backend(t)
	if graphtest.IsGo(t) {
		t.Skip("TopK on the Go backend takes 20 ms per row of 512; it is never used there")
	}
	const rows, k = 40, 5
	for _, f := range []int{30, 160} { // plain and two-stage
		rng := rand.New(rand.NewPCG(6, uint64(f)))
		scores := make([]float32, rows*f)
		for i := range scores {
			scores[i] = float32(rng.IntN(30))
		}
		out, err := CallOnceN(b, func(x *Node) []*Node {
			return []*Node{topKGraph(x, k), ConvertDType(topKMaskGraph(x, k), x.DType())}
		}, tensors.FromFlatDataAndDimensions(scores, rows, f))
		if err != nil {
			t.Fatal(err)
		}
		index, err := tensors.CopyFlatData[int32](out[0])
		if err != nil {
			t.Fatal(err)
		}
		mask, err := tensors.CopyFlatData[float32](out[1])
		if err != nil {
			t.Fatal(err)
		}
		for r := range rows {
			want := topKBySort(scores[r*f:(r+1)*f], k)
			if !slices.Equal(index[r*k:(r+1)*k], want) {
				t.Errorf("f=%d row %d: %v, want %v", f, r, index[r*k:(r+1)*k], want)
			}
			for i, v := range mask[r*f : (r+1)*f] {
				if (v == 1) != slices.Contains(want, int32(i)) {
					t.Errorf("f=%d row %d: latent %d in the mask: %v, top: %v", f, r, i, v, want)
				}
			}
		}
	}
}

// TestKernelsEqualPlain holds the vector kernels to the bytes of the plain ones, at every length of tail.
func TestKernelsEqualPlain(t *testing.T) {
	for n := range 100 {
		x, y := normals(1, n), normals(2, n)
		if a, b := dot(x, y), dotPlain(x, y); math.Float32bits(a) != math.Float32bits(b) {
			t.Errorf("dot of %d: %v, plain %v", n, a, b)
		}
		got, want := slices.Clone(y), slices.Clone(y)
		axpy(0.3, x, got)
		axpyPlain(0.3, x, want)
		nearly(t, "axpy", got, want, 0, 0)
		k := adamStep(DefaultConfig(), 1e-3, 3, 0.7)
		var a, b [4][]float32
		for i := range 4 {
			a[i] = normals(uint64(i), n)
			if i == 2 {
				for j, v := range a[i] {
					a[i][j] = v * v
				}
			}
			b[i] = slices.Clone(a[i])
		}
		adam.Step(&k, a[0], a[1], a[2], a[3])
		adam.StepPlain(&k, b[0], b[1], b[2], b[3])
		for i, name := range []string{"w", "m", "v"} {
			nearly(t, "adam "+name, a[i], b[i], 0, 0)
		}
	}
}

// TestLatentsScale checks a property of TopK without biases: latents and reconstruction of c x are c times those of x.
func TestLatentsScale(t *testing.T) {
	b := graphtest.Backend(t)
	s := &SAE{
		Arch: ArchTopK, DIn: 16, DSAE: 64, K: 4, ApplyBDecToInput: true, Normalize: NormalizeNone,
		WEnc: normals(1, 16*64), WDec: normals(2, 16*64), BEnc: make([]float32, 64), BDec: make([]float32, 16),
	}
	run, err := NewRunner(b, s, 10) // 33 rows: three batches and a rest
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	x := normals(3, 33*16)
	lat, out, err := run.Reconstruct(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	scaleBy(x, 4)
	lat4, out4, err := run.Reconstruct(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	scaleBy(lat.Value, 4)
	scaleBy(out, 4)
	if !slices.Equal(lat.Index, lat4.Index) {
		t.Error("scaling by 4 changes the selection")
	}
	nearly(t, "values", lat4.Value, lat.Value, 0, 0) // a power of two is exact
	nearly(t, "reconstruction", out4, out, 0, 0)
	for r := range lat.Rows() {
		if _, v := lat.Row(r); !slices.IsSortedFunc(v, func(a, b float32) int { return cmp.Compare(b, a) }) {
			t.Errorf("row %d is not in falling order: %v", r, v)
		}
	}
}

func TestLearningRate(t *testing.T) {
	for _, c := range []struct {
		step int64
		want float64
	}{{1, 0.1}, {5, 0.5}, {10, 1}, {50, 1}, {80, 1}, {81, 20.0 / 21}, {90, 11.0 / 21}, {100, 1.0 / 21}} {
		near(t, "rate", learningRate(Config{LR: 1, Warmup: 0.1, Decay: 0.2, Batch: 1, Tokens: 100}, c.step), c.want, 1e-12)
	}
	if r := learningRate(Config{LR: 1, Batch: 1, Tokens: 1}, 1); r != 1 {
		t.Errorf("without warm-up and decay the rate is %v, want 1", r)
	}
}
