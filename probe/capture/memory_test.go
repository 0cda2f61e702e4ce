package capture

import (
	"math/rand/v2"
	"os"
	"testing"

	"loupe/probe/capture/capturetest"
)

// TestMemory captures a corpus in a child and a four times longer one, and compares the resident memory beyond the
// model. It must not grow with the corpus, but for the moods of the garbage collector, and stay far below a gibibyte.
func TestMemory(t *testing.T) {
	const short, long = 10_000, 40_000
	peak, bytes := map[int]int64{}, map[int]int64{}
	for _, docs := range []int{short, long} {
		cfg := childConfig(t, docs, 30)
		cfg.ShardBytes, cfg.BatchTokens, cfg.Window = 8<<20, 4096, 64
		r := runChild(t, childTask{Config: cfg})
		if r.Baseline == 0 {
			t.Skip("no /proc/self/statm here")
		}
		peak[docs], bytes[docs] = r.Peak-r.Baseline, r.Bytes
		t.Logf("%d documents, %d rows, %d MiB on disk: %d MiB beyond the model", docs, r.Rows, r.Bytes>>20, peak[docs]>>20)
	}
	if peak[long] > 512<<20 {
		t.Errorf("%d MiB beyond the model", peak[long]>>20)
	}
	if more := bytes[long] - bytes[short]; more < 256<<20 || peak[long]-peak[short] > more/2 {
		t.Errorf("%d MiB more on disk take %d MiB more in memory", more>>20, (peak[long]-peak[short])>>20)
	}
}

// TestMemoryOfLongDocument captures one document of almost the greatest length, which is tokenised whole.
func TestMemoryOfLongDocument(t *testing.T) {
	cfg := childConfig(t, 1, 1)
	r := rand.New(rand.NewPCG(1, 1))
	if err := os.WriteFile(cfg.Corpus.Path, []byte(`{"text":"`+capturetest.Words(r, 1_400_000, 230)+`","parity":"even"}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.Overflow, cfg.MaxTokens = Truncate, 0
	got := runChild(t, childTask{Config: cfg})
	t.Logf("%d MiB beyond the model", (got.Peak-got.Baseline)>>20)
	if got.Truncated != 1 || got.Peak-got.Baseline > 900<<20 {
		t.Errorf("%d MiB beyond the model, %d documents cut", (got.Peak-got.Baseline)>>20, got.Truncated)
	}
}
