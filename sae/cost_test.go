package sae

import (
	"runtime"
	"testing"

	"loupe/internal/graphtest"
)

// TestCostByHand compares with counts made by hand for d = 16, F = 64, k = 4, B = 32.
func TestCostByHand(t *testing.T) {
	for name, c := range map[string]struct {
		edit          func(*Config)
		params        int64
		dense, sparse float64
	}{
		// 2 * 16 * 64 + 64 + 16; 10 d F; 2 d F + 8 k d
		"topk": {nil, 2128, 10240, 2048 + 512},
		// the same with target_l0 2.5: 2.5 latents a row
		"batchtopk": {func(c *Config) { c.Arch, c.TargetL0 = ArchBatchTopK, 2.5 }, 2128, 10240, 2048 + 320},
		"standard":  {func(c *Config) { c.Arch, c.Engine = ArchStandard, EngineDense }, 2128, 10240, 0},
		// d_out 8: W_enc 1024, W_dec 512, b_enc 64, b_dec 8, W_skip 128; 4 * 1024 + 6 * (512 + 128)
		"skip": {func(c *Config) { c.Arch, c.DOut, c.Engine = ArchSkipTranscoder, 8, EngineDense }, 1736, 4096 + 3840, 0},
	} {
		got := small(t, c.edit).Cost(EngineDense)
		if got.Params != c.params || got.DenseFLOPs != c.dense || got.SparseFLOPs != c.sparse {
			t.Errorf("%s: %+v; want %d parameters, %v and %v FLOPs", name, got, c.params, c.dense, c.sparse)
		}
	}
}

// TestCostInMemory makes a trainer on engine host, all of whose memory is Go's, and compares the heap's growth with the
// estimate.
func TestCostInMemory(t *testing.T) {
	b := graphtest.Backend(t)
	cfg := DefaultConfig()
	cfg.DSAE, cfg.K, cfg.Batch, cfg.Tokens, cfg.Engine = 4096, 8, 256, 1024, EngineHost
	cfg, err := cfg.Resolve(256)
	if err != nil {
		t.Fatal(err)
	}
	rows := normals(1, cfg.Batch*cfg.DIn)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	tr, err := NewTrainer(b, cfg, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if _, err := tr.Step(rows); err != nil {
		t.Fatal(err)
	}
	grown, cost := heap()-before, cfg.Cost(EngineHost)
	t.Logf("grown by %d bytes, estimated %d", grown, cost.HostBytes)
	if float64(grown) < 0.7*float64(cost.HostBytes) || float64(grown) > 1.5*float64(cost.HostBytes) {
		t.Errorf("a trainer takes %d bytes, estimated %d", grown, cost.HostBytes)
	}
}
