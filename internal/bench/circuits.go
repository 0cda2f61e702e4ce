package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"loupe/circuits"
	"loupe/probe/model"
)

const circuitsScript = "circuits.py"

// Circuits times attribution and patching on a model of GPT-2 small's shape with random weights, 8 prompts of 16 tokens, beside
// circuits.py. Every timed repetition begins with the passes over both inputs. Compiling is in first_seconds alone.
func Circuits() Kind {
	return Kind{
		Name: "circuits", Bench: "circuits", Run: runCircuits,
		Cases: func(Options) (out []Case) {
			for _, task := range []string{"eap_ig_5", "eap", "node_patch", "edge_exact"} {
				out = append(out, Case{"loupe", []Field{{"task", task}, {"model", "gpt2-small-random"}, {"batch", 8}, {"seq", 16}}})
			}
			return out
		},
		Peers: func(c Case) []Peer {
			if c.Get("task") == "node_patch" {
				return []Peer{{"transformer_lens-hooked", circuitsScript}}
			}
			return []Peer{{"eap-ig", circuitsScript}}
		},
		PeerArgs: func(o Options) []string {
			if o.EAPSource == "" {
				return nil
			}
			return []string{"--eap-src", o.EAPSource}
		},
	}
}

func runCircuits(ctx context.Context, o Options, c Case) ([]Field, error) {
	b, err := openDevice(o.Device)
	if err != nil {
		return nil, err
	}
	spec, params, err := loadBench(ctx, b, o, benchGPT2)
	if err != nil {
		return nil, err
	}
	const batch, seq = 8, 16
	r := rand.New(rand.NewPCG(0, 0))
	pairs := &circuits.Pairs{Rows: batch, Seq: seq, Clean: make([]int32, batch*seq), Corrupted: make([]int32, batch*seq)}
	for i := range pairs.Clean {
		pairs.Clean[i], pairs.Corrupted[i] = int32(r.IntN(spec.Vocab)), int32(r.IntN(spec.Vocab))
	}
	for range batch {
		pairs.Answer, pairs.Wrong = append(pairs.Answer, []int32{1}), append(pairs.Wrong, []int32{2})
	}
	engine, m := model.NewEngine(b, nil), &model.Model{Name: benchGPT2, Spec: spec, Params: params}
	task := func() (*circuits.Task, error) {
		return circuits.NewTask(ctx, engine, m, pairs, circuits.LogitDiff(), circuits.Options{})
	}
	run, per := circuitsCase(ctx, c.Get("task"))
	if run == nil {
		return nil, fmt.Errorf("bench: unknown task %q", c.Get("task"))
	}
	start := time.Now()
	warm, err := task()
	if err != nil {
		return nil, err
	}
	if err := run(warm); err != nil {
		return nil, err
	}
	first := time.Since(start).Seconds()
	compiles := engine.Compiles()
	took, err := repeat(ctx, o, func() error {
		t, err := task()
		if err != nil {
			return err
		}
		return run(t)
	})
	if err != nil {
		return nil, err
	}
	if n := engine.Compiles(); n != compiles {
		return nil, fmt.Errorf("bench: %d programs were compiled after the first run", n-compiles)
	}
	for i := range took {
		took[i] /= float64(per)
	}
	return append(secondsFields(took), Field{"first_seconds", first}, Field{"compiles", compiles}), nil
}

// circuitsCase is what a repetition does after the passes over both inputs, and of how many units a repetition is.
func circuitsCase(ctx context.Context, task string) (run func(t *circuits.Task) error, per int) {
	switch task {
	case "eap":
		return func(t *circuits.Task) error {
			_, err := circuits.EAP(ctx, t)
			return err
		}, 1
	case "eap_ig_5":
		return func(t *circuits.Task) error {
			_, err := circuits.EAPIGInputs(ctx, t, 5)
			return err
		}, 1
	case "node_patch":
		return func(t *circuits.Task) error {
			_, err := circuits.PatchUnits(ctx, t, circuits.Noise)
			return err
		}, 1
	case "edge_exact":
		const edges = 97 // spread over the graph, as the peer's
		return func(t *circuits.Task) error {
			var some []circuits.Edge
			all := t.Graph.Edges()
			for i := range edges {
				some = append(some, all[i*len(all)/edges])
			}
			_, err := circuits.ExactEdges(ctx, t, some)
			return err
		}, edges
	}
	return nil, 0
}
