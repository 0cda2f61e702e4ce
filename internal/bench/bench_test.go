package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

func TestSelects(t *testing.T) {
	c := Case{"loupe-moments", []Field{{"task", "write"}, {"mib", 256}}}
	for wanted, want := range map[string]bool{
		"loupe": true, "moments": true, "peer": false, "loupe-moments:": true, "loupe:": false, ":task=write": true,
		"loupe-moments:task=write,mib=256": true, "task=write,mib=256": true, "task=scan": false, "loupe-moments:mib=25": false,
	} {
		if got := selects(wanted, c); got != want {
			t.Errorf("selects(%q) = %v, want %v", wanted, got, want)
		}
	}
}

// TestLinesMatchThePeers: keys and values of the cases equal those of the peers' scripts, as printed by their --list.
func TestLinesMatchThePeers(t *testing.T) {
	o := Options{MiniLM: "x", SmolLM2: "x", MiB: 256}
	for _, test := range []struct {
		kind Kind
		want []string // case ids of the peers, without the peer
	}{
		{Forward(), []string{
			"model=all-MiniLM-L6-v2,batch=32,seq=128,attn=sdpa,capture=none", "model=all-MiniLM-L6-v2,batch=32,seq=128,attn=sdpa,capture=resid_all",
			"model=SmolLM2-135M,batch=8,seq=128,attn=sdpa,capture=none", "model=SmolLM2-135M,batch=8,seq=128,attn=sdpa,capture=resid_all",
			"model=gpt2-small-random,batch=8,seq=128,attn=sdpa,capture=resid_all", "model=gpt2-small-random,batch=8,seq=128,attn=eager,capture=everything",
		}},
		{Store(), []string{
			"task=write,mib=256,d=768,ctx=128,dtype=float32", "task=scan_cold,mib=256,d=768,ctx=128,dtype=float32",
			"task=scan_warm,mib=256,d=768,ctx=128,dtype=float32", "task=token_random,mib=256,d=768,ctx=128,dtype=float32,B=4096",
			"task=mixed,mib=256,d=768,ctx=128,dtype=float32,B=4096",
		}},
		{SAE(), []string{"d=384,F=6144,k=32,B=2048", "d=768,F=24576,k=32,B=4096"}},
		{Vectors(), []string{
			"task=probe,n=20000,d=768", "task=leace_fit,n=100000,d=768", "task=leace_apply,n=100000,d=768", "task=nmf,n=20000,d=768,k=20,solver=cd,iters=100",
		}},
		{Erase(), []string{"erase=1,preserve=0", "erase=10,preserve=0", "erase=100,preserve=0", "erase=100,preserve=1000"}},
		{Circuits(), []string{"task=eap_ig_5,model=gpt2-small-random,batch=8,seq=16", "task=eap,model=gpt2-small-random,batch=8,seq=16",
			"task=node_patch,model=gpt2-small-random,batch=8,seq=16", "task=edge_exact,model=gpt2-small-random,batch=8,seq=16"}},
		{Generate(), []string{
			"model=SmolLM2-135M,batch=1,prompt=32,new=64,attn=sdpa,cache=dynamic,steer=False", "model=SmolLM2-135M,batch=8,prompt=32,new=64,attn=sdpa,cache=static,steer=True",
		}},
	} {
		var ids []string
		for _, c := range test.kind.Cases(o) {
			_, fields, _ := strings.Cut(c.ID(), ":")
			ids = append(ids, fields)
		}
		for _, want := range test.want {
			if !slices.Contains(ids, want) {
				t.Errorf("%s has no case %s", test.kind.Name, want)
			}
		}
	}
}

func TestOnePrintsALine(t *testing.T) {
	k := Kind{Name: "k", Bench: "peer_bench", Cases: func(Options) []Case { return []Case{{"loupe", []Field{{"a", 1}, {"b", "x"}}}} },
		Run: func(context.Context, Options, Case) ([]Field, error) { return []Field{{"seconds", 0.5}}, nil }}
	var out bytes.Buffer
	if err := One(t.Context(), k, Options{Threads: 2, Device: "cpu"}, "loupe:a=1,b=x", "loupe test", &out); err != nil {
		t.Fatal(err)
	}
	var line struct {
		Bench, Peer, Version, Device string
		Case                         map[string]any
		Seconds                      float64
		Threads                      int
		PeakRSS                      float64 `json:"peak_rss_mib"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	if line.Bench != "peer_bench" || line.Peer != "loupe" || line.Seconds != 0.5 || line.Threads != 2 || line.PeakRSS <= 0 || line.Case["b"] != "x" {
		t.Errorf("line %s", out.String())
	}
	if err := One(t.Context(), k, Options{}, "loupe:a=2", "", &out); err == nil {
		t.Error("an unknown case ran")
	}
}

// TestMain lets the test binary play the child of TestFailingCase.
func TestMain(m *testing.M) {
	if os.Getenv("LOUPE_BENCH_CHILD") == "fail" {
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func TestFailingCase(t *testing.T) {
	t.Setenv("LOUPE_BENCH_CHILD", "fail")
	k := Kind{Name: "k", Bench: "b", Cases: func(Options) []Case { return []Case{{"loupe", nil}} }}
	var out, errw bytes.Buffer
	err := Main(t.Context(), k, Options{Threads: 1, Timeout: 1e10}, []string{os.Args[0]}, &out, &errw)
	if err == nil || !strings.Contains(out.String(), `"error": `) {
		t.Errorf("a failing case gives error %v and prints %s", err, out.String())
	}
	if err := Main(t.Context(), k, Options{Cases: "nothing"}, nil, &out, &errw); err == nil {
		t.Error("no selected case is no error")
	}
}

func TestRepeat(t *testing.T) {
	calls := 0
	took, err := repeat(t.Context(), Options{Warmup: 2, Steps: 3, Seconds: 60}, func() error { calls++; return nil })
	if err != nil || len(took) != 3 || calls != 5 {
		t.Errorf("%d timed of %d calls, %v; want 3 of 5", len(took), calls, err)
	}
	broken := errors.New("broken")
	if _, err := repeat(t.Context(), Options{}, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want the step's", err)
	}
}

func TestSums(t *testing.T) {
	x := make([]float32, 100_003)
	for i := range x {
		x[i] = float32(i % 7)
	}
	want := 0.0
	for _, v := range x {
		want += float64(v)
	}
	for _, threads := range []int{1, 2, 5} {
		if got := sumParallel(x, threads); got != want {
			t.Errorf("sum on %d goroutines is %v, want %v", threads, got, want)
		}
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v", got)
	}
}

// TestStoreCases runs every task on a small store.
func TestStoreCases(t *testing.T) {
	o := Options{Threads: 2, Steps: 1, Seconds: 0.01, MiB: 2, Dir: t.TempDir()}
	for _, c := range Store().Cases(o) {
		fields, err := runStore(t.Context(), o, c)
		if err != nil {
			t.Errorf("%s: %v", c.ID(), err)
			continue
		}
		if rate, ok := fields[0].Value.(float64); !ok || fields[0].Key != "tokens_per_s" || rate <= 0 {
			t.Errorf("%s: %v", c.ID(), fields)
		}
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("scratch left behind: %v, %v", left, err)
	}
}

// TestVectorsCases runs every task on a small problem: LEACE closes the gap between the classes, and NMF ends near the data.
func TestVectorsCases(t *testing.T) {
	o := Options{Threads: 2, Steps: 1, Seconds: 0.01}
	for _, c := range []Case{
		{"loupe", []Field{{"task", "probe"}, {"n", 300}, {"d", 20}}}, {"loupe", []Field{{"task", "probe_sweep"}, {"n", 300}, {"d", 20}, {"layers", 2}, {"concepts", 3}}},
		{"loupe", []Field{{"task", "leace_fit"}, {"n", 300}, {"d", 20}}}, {"loupe", []Field{{"task", "leace_store"}, {"n", 300}, {"d", 20}}},
		{"loupe", []Field{{"task", "leace_apply"}, {"n", 300}, {"d", 20}}}, {"loupe", []Field{{"task", "nmf"}, {"n", 60}, {"d", 12}, {"k", 3}}},
	} {
		fields, err := runVectors(t.Context(), o, c)
		if err != nil {
			t.Errorf("%s: %v", c.ID(), err)
			continue
		}
		if s, ok := fields[0].Value.(float64); !ok || fields[0].Key != "seconds" || s <= 0 {
			t.Errorf("%s: %v", c.ID(), fields)
		}
		switch last := fields[len(fields)-1]; last.Key {
		case "class_mean_gap_after":
			if before := fields[len(fields)-2].Value.(float64); before < 0.1 || last.Value.(float64) > 1e-5 {
				t.Errorf("%s: %v", c.ID(), fields)
			}
		case "relative_error":
			if last.Value.(float64) > 0.05 {
				t.Errorf("%s: %v", c.ID(), fields)
			}
		}
	}
	if _, err := runVectors(t.Context(), o, Case{"loupe", []Field{{"task", "guess"}}}); err == nil {
		t.Error("an unknown task ran")
	}
}

// TestGenerateCase decodes with a tiny model, plain and steered.
func TestGenerateCase(t *testing.T) {
	graphtest.Backend(t)
	o := Options{Threads: 2, Steps: 1, Seconds: 0.01, Device: "cpu", SmolLM2: filepath.Join(graphtest.Golden(t), "models", "tiny", "llama-untied")}
	for _, steer := range []string{"False", "True"} {
		fields, err := runGenerate(t.Context(), o, Case{"loupe", []Field{{"batch", 2}, {"prompt", 5}, {"new", 9}, {"steer", steer}}})
		if err != nil {
			t.Fatal(err)
		}
		if fields[0].Key != "tokens_per_s" || !(fields[1].Value.(float64) > 0) || fields[3].Value != 1 {
			t.Errorf("steer %s: %v", steer, fields)
		}
	}
}

// TestSweepCase runs a short sweep on a tiny model; that it compiles once is part of the case.
func TestSweepCase(t *testing.T) {
	graphtest.Backend(t)
	o := Options{Threads: 2, Steps: 3, Warmup: 1, Device: "cpu", MiniLM: filepath.Join(graphtest.Golden(t), "models", "tiny", "gpt2")}
	fields, err := runSweep(t.Context(), o, Case{"loupe", []Field{{"model", "tiny"}}})
	if err != nil {
		t.Fatal(err)
	}
	got := Case{Fields: fields}
	if got.Get("compiles") != "1" || got.Get("interventions") != "3" || !(fields[0].Value.(float64) > 0) {
		t.Errorf("%v", fields)
	}
}

// TestEraseCase runs the smallest case: seconds, and matrices that are the published closed form's to float32.
func TestEraseCase(t *testing.T) {
	o := Options{Threads: 2, Steps: 1, Seconds: 0.01}
	fields, err := runErase(t.Context(), o, Case{"loupe-kv", []Field{{"erase", 1}, {"preserve", 0}}})
	if err != nil {
		t.Fatal(err)
	}
	last := fields[len(fields)-1]
	if s, ok := fields[0].Value.(float64); !ok || s <= 0 || last.Key != "max_rel_err_vs_float64" || !(last.Value.(float64) < 1e-6) {
		t.Errorf("%v", fields)
	}
	if _, err := runErase(t.Context(), o, Case{"loupe-kv", nil}); err == nil {
		t.Error("a case without sizes ran")
	}
}
