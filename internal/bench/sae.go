package bench

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"loupe/internal/matmul"
	"loupe/sae"
)

// saePeers is the script of the peers' cases that sae_train.py has not.
//
//go:embed sae_peers.py
var saePeers string

// The peers' data: standard normal rows, of which a batch is a random choice.
const (
	saeRows = 65536
	saeK    = 32
	saeMany = 8 // SAEs in one pass
)

var errBudget = errors.New("the timed steps are over")

// saeShapes are the sizes of the peers' shapes "small" and "gpt2".
var saeShapes = []struct{ d, f, batch int }{{384, 6144, 2048}, {768, 24576, 4096}}

// saeMethods are the architectures and the peers that train the same, by name and script.
var saeMethods = []struct {
	name, arch string
	peers      []Peer
}{
	{"topk", sae.ArchTopK, []Peer{
		{"saelens-topk", saeTrain}, {"sparsify-topk-adam", saeTrain}, {"torch-expert-sparse-topk", saeTrain}, {"dictionary_learning-topk", saeTrain},
	}},
	{"batchtopk", sae.ArchBatchTopK, []Peer{{"saelens-batchtopk", saeTrain}, {"dictionary_learning-batchtopk", saeTrain}}},
	{"jumprelu", sae.ArchJumpReLU, []Peer{{"saelens-jumprelu", saeTrain}}},
	{"standard", sae.ArchStandard, []Peer{{"saelens-standard", saeTrain}}},
	{"gated", sae.ArchGated, []Peer{{"saelens-gated", saeMore}}},
	{"matryoshka", sae.ArchMatryoshka, []Peer{{"saelens-matryoshka", saeMore}}},
}

const (
	saeTrain = "sae_train.py"
	saeMore  = "sae_peers.py"
)

// SAE times training steps of sparse autoencoders from activations in memory, beside sae_train.py, and eight of them in
// one pass over the data.
func SAE() Kind {
	return Kind{
		Name: "sae", Bench: "sae_train", Cases: saeCases, Run: runSAE, Scripts: map[string]string{saeMore: saePeers},
		Peers: func(c Case) []Peer {
			for _, m := range saeMethods {
				if c.Peer == "loupe-"+m.name {
					return m.peers
				}
			}
			return nil
		},
	}
}

func saeCases(Options) []Case {
	var out []Case
	for _, s := range saeShapes {
		fields := []Field{{"d", s.d}, {"F", s.f}, {"k", saeK}, {"B", s.batch}}
		for _, m := range saeMethods {
			out = append(out, Case{"loupe-" + m.name, fields})
		}
	}
	small := saeShapes[0]
	return append(out, Case{"loupe-many", []Field{{"d", small.d}, {"F", small.f}, {"k", saeK}, {"B", small.batch}, {"saes", saeMany}}})
}

// saeConfig is the configuration of a case: the defaults but for what the case names.
func saeConfig(o Options, c Case) (sae.Config, error) {
	arch := sae.ArchTopK
	for _, m := range saeMethods {
		if c.Peer == "loupe-"+m.name {
			arch = m.arch
		}
	}
	cfg := sae.DefaultConfig()
	var d int
	if _, err := fmt.Sscan(strings.Join([]string{c.Get("d"), c.Get("F"), c.Get("k"), c.Get("B")}, " "), &d, &cfg.DSAE, &cfg.K, &cfg.Batch); err != nil {
		return cfg, fmt.Errorf("bench: %w", err)
	}
	cfg.Arch, cfg.Engine, cfg.InitRows, cfg.Tokens = arch, o.Engine, cfg.Batch, int64(cfg.Batch)*1_000_000 // as the peers
	return cfg.Resolve(d)
}

func runSAE(ctx context.Context, o Options, c Case) ([]Field, error) {
	b, err := openDevice(o.Device)
	if err != nil {
		return nil, err
	}
	cfg, err := saeConfig(o, c)
	if err != nil {
		return nil, err
	}
	rows, err := sae.NewMemoryRows(normalRows(saeRows, cfg.DIn), cfg.DIn, 1, 0)
	if err != nil {
		return nil, err
	}
	t, err := sae.Start(b, cfg, rows)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	batch := make([]float32, cfg.Batch*cfg.DIn)
	step := func() error {
		if _, err := rows.Next(batch); err != nil {
			return err
		}
		_, err := t.Step(batch)
		return err
	}
	if c.Get("saes") != "" {
		g, err := sae.StartGroup(b, saeMembers(t.Config()), oneSite{rows, cfg.DIn})
		if err != nil {
			return nil, err
		}
		defer g.Close()
		return timeMany(ctx, o, g, oneSite{rows, cfg.DIn}, cfg.Batch, step)
	}
	took, err := repeat(ctx, o, step)
	if err != nil {
		return nil, err
	}
	fields := append(rateFields(took, cfg.Batch), Field{"engine", t.Config().Engine})
	if t.Config().Engine == sae.EngineHost {
		fields = append(fields, Field{"encoder_share", round(productSeconds(cfg.Batch, cfg.DSAE, cfg.DIn, o.Threads)/median(took), 3)})
	}
	return fields, nil
}

// normalRows returns n rows of standard normal numbers.
func normalRows(n, d int) []float32 {
	out := make([]float32, n*d)
	const parts = 16
	var wait sync.WaitGroup
	for p := range parts {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(0, uint64(p)))
			for i := p * len(out) / parts; i < (p+1)*len(out)/parts; i++ {
				out[i] = float32(r.NormFloat64())
			}
		})
	}
	wait.Wait()
	return out
}

// saeMembers are SAEs that differ in their seeds.
func saeMembers(cfg sae.Config) []sae.Member {
	var out []sae.Member
	for i := range saeMany {
		cfg.Seed = uint64(i)
		out = append(out, sae.Member{Name: fmt.Sprintf("seed%d", i), Inputs: []string{"x"}, Config: cfg})
	}
	return out
}

// oneSite is rows as a source of one site.
type oneSite struct {
	*sae.MemoryRows
	width int
}

func (s oneSite) Sites() []sae.SourceSite { return []sae.SourceSite{{Name: "x", Width: s.width}} }

func (s oneSite) Next(dst [][]float32) (int, error) { return s.MemoryRows.Next(dst[0]) }

// timeMany times steps of a group and, alternately, as many steps of one SAE as the group has SAEs.
func timeMany(ctx context.Context, o Options, g *sae.Group, src sae.Source, batch int, one func() error) ([]Field, error) {
	var many, single []float64
	seen := 0
	begun := time.Now()
	start := begun
	err := g.Train(ctx, src, sae.GroupOptions{OnStep: func([]sae.StepStats) error {
		grouped := time.Since(start).Seconds()
		start = time.Now()
		for range g.Len() {
			if err := one(); err != nil {
				return err
			}
		}
		if seen++; seen > o.Warmup {
			many, single = append(many, grouped), append(single, time.Since(start).Seconds())
		} else {
			begun = time.Now()
		}
		if len(many) > 0 && (time.Since(begun).Seconds() >= o.Seconds || o.Steps > 0 && len(many) >= o.Steps) {
			return errBudget
		}
		start = time.Now()
		return nil
	}})
	if !errors.Is(err, errBudget) {
		return nil, fmt.Errorf("bench: the group ended early: %w", err)
	}
	fields := rateFields(many, batch*g.Len()) // of all SAEs
	return append(fields, Field{"one_sae_tokens_per_s", round(float64(batch*g.Len()*len(single))/sum(single), 1)}, Field{"ratio_to_one", round(sum(single)/sum(many), 3)}), nil
}

// productSeconds is the time of the encoder's product alone, [n, d] by [d, f], as the host engine multiplies: the shortest
// of three.
func productSeconds(n, f, d, threads int) float64 {
	x, w := make([]float32, matmul.PackedLen(n, d, matmul.TileRows)), make([]float32, matmul.PackedLen(f, d, matmul.TileCols))
	for _, m := range [][]float32{x, w} {
		for i := range m {
			m[i] = 1
		}
	}
	const rows = 8 * matmul.TileRows
	var took []float64
	for range 3 {
		start := time.Now()
		var next atomic.Int64
		var wait sync.WaitGroup
		for range threads {
			wait.Go(func() {
				var out [matmul.TileRows * matmul.TileCols]float32
				for {
					lo := (int(next.Add(1)) - 1) * rows * d
					if lo >= len(x) {
						return
					}
					for c := 0; c < len(w); c += matmul.TileCols * d {
						for r := lo; r < min(lo+rows*d, len(x)); r += matmul.TileRows * d {
							matmul.Tile(&out, x[r:r+matmul.TileRows*d], w[c:c+matmul.TileCols*d])
						}
					}
				}
			})
		}
		wait.Wait()
		took = append(took, time.Since(start).Seconds())
	}
	return min(took[0], took[1], took[2])
}
