package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// The sizes of the peers' benchmark (store_io.py): 256 MiB of float32, d = 768, contexts of 128 tokens, batches of
// 4096 random tokens.
const (
	benchDim, benchCtx, benchBatch = 768, 128, 4096
	benchRows                      = 256 << 20 / (4 * benchDim)
)

// benchData is 32 contexts of normal values, appended again and again.
func benchData() ([]float32, Rows) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, 32*benchCtx*benchDim)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	n := 32 * benchCtx
	return x, Rows{Doc: make([]int64, n), Pos: make([]int32, n), Token: make([]int32, n), Sites: [][]float32{x}}
}

func writeBench(b testing.TB, dir string, dtype DType, moments bool) {
	_, rows := benchData()
	writeBenchRows(b, dir, dtype, moments, rows)
}

func writeBenchRows(b testing.TB, dir string, dtype DType, moments bool, rows Rows) {
	w, err := Create(dir, Spec{
		Model: Source{ID: "m"}, Sites: []Site{{Name: "x", Per: Token, Shape: []int{benchDim}, DType: dtype}},
		Moments: MomentOptions{Off: !moments},
	})
	if err != nil {
		b.Fatal(err)
	}
	for first := 0; first < benchRows; {
		batch := Batch{Rows: rows}
		n := min(len(rows.Doc), benchRows-first) / benchCtx * benchCtx
		if n == 0 {
			break
		}
		batch.Rows.Doc, batch.Rows.Pos, batch.Rows.Token = rows.Doc[:n], rows.Pos[:n], rows.Token[:n]
		batch.Rows.Sites = [][]float32{rows.Sites[0][:n*benchDim]}
		for i := range n {
			batch.Rows.Doc[i], batch.Rows.Pos[i], batch.Rows.Token[i] = int64((first+i)/benchCtx), int32((first+i)%benchCtx), int32(first+i)
		}
		for d := first / benchCtx; d < (first+n)/benchCtx; d++ {
			batch.Docs = append(batch.Docs, Doc{ID: int64(d)})
		}
		if err := w.Append(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
		first += n
	}
	if err := w.Finish(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func reportMiB(b *testing.B, bytes int64) {
	b.ReportMetric(float64(b.N)*float64(bytes)/(1<<20)/b.Elapsed().Seconds(), "MiB/s")
}

func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		dtype   DType
		moments bool
	}{{Float32, false}, {Float32, true}, {Float16, false}} {
		b.Run(fmt.Sprintf("dtype=%s,moments=%v", c.dtype, c.moments), func(b *testing.B) {
			dir := b.TempDir()
			_, rows := benchData()
			b.ResetTimer()
			for i := range b.N {
				sub := filepath.Join(dir, fmt.Sprint(i))
				writeBenchRows(b, sub, c.dtype, c.moments, rows)
				b.StopTimer()
				if err := os.RemoveAll(sub); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			reportMiB(b, benchRows*benchDim*4)
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, dtype := range []DType{Float32, Float16} {
		dir := filepath.Join(b.TempDir(), "s")
		writeBench(b, dir, dtype, false)
		s, err := Open(dir, OpenOptions{})
		if err != nil {
			b.Fatal(err)
		}
		total := float32(0)
		b.Run(fmt.Sprintf("scan,dtype=%s", dtype), func(b *testing.B) {
			for b.Loop() {
				if err := s.Scan(context.Background(), []string{"x"}, func(c Chunk) error {
					total += sum(c.Sites[0])
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			reportMiB(b, s.Rows()*benchDim*4)
		})
		c, err := s.Shuffle(ShuffleConfig{Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		rows, x := make([]int64, benchBatch), make([]float32, benchBatch*benchDim)
		for _, what := range []string{"token_random", "shuffle"} {
			rng := rand.New(rand.NewPCG(2, 2))
			b.Run(fmt.Sprintf("%s,dtype=%s", what, dtype), func(b *testing.B) {
				for b.Loop() {
					var err error
					if what == "shuffle" {
						err = c.Batch(rows, []string{"x"}, [][]float32{x})
					} else {
						for i := range rows {
							rows[i] = rng.Int64N(s.Rows())
						}
						err = s.Gather(x, "x", rows)
					}
					if err != nil {
						b.Fatal(err)
					}
					total += sum(x)
				}
				reportMiB(b, benchBatch*benchDim*4)
			})
		}
		s.Close()
		_ = total
	}
}

// sum touches every value, as the peers' script does.
func sum(x []float32) float32 {
	var a, b, c, d float32
	for i := 0; i+4 <= len(x); i += 4 {
		p := x[i : i+4 : i+4]
		a, b, c, d = a+p[0], b+p[1], c+p[2], d+p[3]
	}
	return a + b + c + d
}
