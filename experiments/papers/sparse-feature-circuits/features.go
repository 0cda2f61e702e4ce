// Package sparsefeaturecircuits trains autoencoders at five layers of SmolLM2 and finds the circuit of subject-verb agreement in their features,
// beside one in neurons (Marks et al., Sparse Feature Circuits, arXiv:2403.19647).
package sparsefeaturecircuits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"loupe/circuits"
	"loupe/circuits/features"
	"loupe/circuits/task"
	"loupe/circuits/view"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/sae"
)

// Config says which sites have autoencoders and how circuits are found.
type Config struct {
	study.Base
	Model   string     `json:"model" doc:"a decoder"`
	Layers  []int      `json:"layers" doc:"an autoencoder of the stream before each of these blocks"`
	Rows    int        `json:"rows" doc:"prompts that effects are computed on, and as many others that circuits are judged on"`
	Steps   int        `json:"steps" doc:"steps of the integrated gradients of each site"`
	Sizes   []int      `json:"sizes" doc:"nodes of the circuits that are judged, rising"`
	Enough  float64    `json:"enough" doc:"faithfulness at which nodes are counted"`
	Exact   int        `json:"exact" doc:"features of the middle site that are patched to check their attributions"`
	Drawn   int        `json:"drawn" doc:"nodes of the picture"`
	Text    Text       `json:"text" doc:"what the autoencoders read"`
	SAE     sae.Config `json:"sae" doc:"the autoencoders, one for each layer"`
	Explain int        `json:"explain" doc:"features whose tokens are shown"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "sparse-feature-circuits", Doc: "circuits of the features of autoencoders at several layers, beside circuits of neurons", New: newConfig},
		Title: "Sparse feature circuits: subject-verb agreement in features and in neurons",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{
		Model: "smollm2", Layers: []int{6, 10, 14, 18, 22}, Rows: 16, Steps: 5, Sizes: []int{5, 10, 20, 50, 100, 200, 400, 800}, Enough: 0.8, Exact: 40, Drawn: 24,
		Text: DefaultText(), SAE: sae.DefaultConfig(), Explain: 10,
	}
	c.Name, c.Seed = "sparse-feature-circuits", 1
	return c
}

// Validate checks the settings.
func (c *Config) Validate() error {
	switch {
	case len(c.Layers) < 2 || !slices.IsSorted(c.Layers) || len(slices.Compact(slices.Clone(c.Layers))) < len(c.Layers):
		return fmt.Errorf("layers are %v; name two or more that rise", c.Layers)
	case c.Rows < 2 || c.Steps < 1 || c.Exact < 4 || c.Drawn < 2 || c.Explain < 1:
		return errors.New("rows and drawn must be at least 2, exact at least 4, steps and explain at least 1")
	case len(c.Sizes) == 0 || !slices.IsSorted(c.Sizes) || c.Sizes[0] < 1:
		return fmt.Errorf("sizes are %v; name numbers of nodes that rise", c.Sizes)
	}
	return nil
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	l, err := s.Open(ctx, c.Model)
	if err != nil {
		return err
	}
	found, judged, err := tasks(ctx, l, c)
	if err != nil {
		return err
	}
	var sites []string
	for _, layer := range c.Layers {
		sites = append(sites, model.Site{Kind: model.ResidPre, Layer: layer}.String())
	}
	s.Done("task")
	coders, st, err := Train(ctx, l, c.Model, c.Text, c.SAE, sites, c.Seed)
	if err != nil {
		return err
	}
	trained := report.Table{Caption: "The autoencoders on held-out text", Columns: []report.Column{{Name: "site"}, {Name: "latents"}, {Name: "L0"}, {Name: "FVU"}}}
	for _, x := range coders {
		trained.Rows = append(trained.Rows, []any{x.Site, x.SAE.DSAE, x.L0, x.FVU})
	}
	s.Table("autoencoders", trained)
	s.Done("autoencoders")
	var latents, neurons []*features.Dictionary
	d := l.Model.Spec.DModel
	identity := make([]float32, d*d)
	for i := range d {
		identity[i*d+i] = 1
	}
	for i, x := range coders {
		site := model.Site{Kind: model.ResidPre, Layer: c.Layers[i]}
		f, err := features.FromSAE(site, x.SAE)
		if err != nil {
			return err
		}
		n, err := features.FromConcepts(site, identity, d)
		if err != nil {
			return err
		}
		latents, neurons = append(latents, f), append(neurons, n)
	}
	code, err := features.Encode(ctx, found, latents)
	if err != nil {
		return err
	}
	ig, err := code.IG(ctx, c.Steps)
	if err != nil {
		return err
	}
	atp, err := code.AtP(ctx)
	if err != nil {
		return err
	}
	nodes := ig.Nodes(false)
	if err := errorShare(ctx, s, c, ig, nodes); err != nil {
		return err
	}
	s.Done("effects")
	if err := exact(ctx, s, c, found, coders[len(coders)/2], ig, atp); err != nil {
		return err
	}
	s.Done("exact patches")
	plain, err := features.Encode(ctx, found, neurons)
	if err != nil {
		return err
	}
	byNeuron, err := plain.IG(ctx, c.Steps)
	if err != nil {
		return err
	}
	shuffled := slices.Clone(nodes)
	rand.New(rand.NewPCG(uint64(c.Seed), 0x73666320)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if err := judge(ctx, s, c, judged, []contender{{"features", latents, nodes}, {"neurons", neurons, byNeuron.Nodes(false)}, {"random", latents, shuffled}}); err != nil {
		return err
	}
	s.Done("circuits")
	if err := explain(ctx, s, c, l, st, coders, nodes); err != nil {
		return err
	}
	s.Done("tokens")
	graph, err := code.Edges(ctx, nodes[:min(c.Drawn, len(nodes))], 0)
	if err != nil {
		return err
	}
	s.Done("edges")
	return draw(s, c, graph)
}

// tasks are the prompts that effects are computed on and those that circuits are judged on.
func tasks(ctx context.Context, l *lab.Lab, c *Config) (found, judged *circuits.Task, err error) {
	asked := task.DefaultConfig()
	asked.Task, asked.N, asked.Seed = "subject-verb", 2*c.Rows, c.Seed
	prompts, err := task.Generate(asked)
	if err != nil {
		return nil, nil, err
	}
	examples, _, err := task.Align(l.Tokenizer, prompts, task.AlignConfig{Keep: 2 * c.Rows})
	if err != nil {
		return nil, nil, err
	}
	var out [2]*circuits.Task
	for i := range out {
		p, err := circuits.PairsOf(examples[i*c.Rows : (i+1)*c.Rows])
		if err != nil {
			return nil, nil, err
		}
		if out[i], err = circuits.NewTask(ctx, l.Engine, l.Model, p, circuits.LogitDiff(), circuits.Options{SweepRows: 4 * c.Rows}); err != nil {
			return nil, nil, err
		}
	}
	return out[0], out[1], nil
}

// errorShare says how much of the effects the autoencoders' errors have.
func errorShare(ctx context.Context, s *study.Session, c *Config, ig *features.Effects, nodes []features.Node) error {
	t := report.Table{Caption: "Effects by integrated gradients (logits), summed over a site's features and error; intervals over prompts", Columns: []report.Column{
		{Name: "site"}, {Name: "features"}, {Name: "error"}, {Name: "share of |effect| in errors"}}}
	whole := [2][]float64{make([]float64, c.Rows), make([]float64, c.Rows)}
	for _, e := range ig.Sites {
		var sum [2][]float64 // of features and of the error
		size := [2][]float64{make([]float64, c.Rows), make([]float64, c.Rows)}
		for k := range sum {
			sum[k] = make([]float64, c.Rows)
		}
		for place := range e.Effect {
			r := place / ig.Seq
			for _, v := range e.Effect[place] {
				sum[0][r] += v
				size[0][r] += math.Abs(v)
			}
			sum[1][r] += e.Error[place]
			size[1][r] += math.Abs(e.Error[place])
		}
		row := []any{e.Site.String()}
		for k := range sum {
			i, err := lab.MeanOver(ctx, sum[k], lab.UpTo(c.Rows), c.Seed)
			if err != nil {
				return err
			}
			row = append(row, lab.Cell(i))
			for r, v := range size[k] {
				whole[k][r] += v
			}
		}
		i, err := share(ctx, size, c.Seed)
		if err != nil {
			return err
		}
		t.Rows = append(t.Rows, append(row, lab.Cell(i)))
	}
	i, err := share(ctx, whole, c.Seed)
	if err != nil {
		return err
	}
	s.Interval("errors.share", i)
	n := 0.0
	for _, x := range nodes[:min(100, len(nodes))] {
		if x.Feature == features.ErrorFeature {
			n++
		}
	}
	s.Value("errors.nodes", n)
	s.Table("effects", t)
	return nil
}

func share(ctx context.Context, size [2][]float64, seed int64) (stats.Interval, error) {
	both := make([]float64, len(size[0]))
	for r := range both {
		both[r] = size[0][r] + size[1][r]
	}
	return ratio(ctx, size[1], both, seed)
}

// ratio is the sum of over by that of under, with an interval over rows.
func ratio(ctx context.Context, over, under []float64, seed int64) (stats.Interval, error) {
	r, err := stats.BootstrapClusters(ctx, lab.UpTo(len(over)), func(index []int) float64 {
		var a, b float64
		for _, i := range index {
			a, b = a+over[i], b+under[i]
		}
		return a / b
	}, lab.Bootstrap(seed))
	return r.Interval, err
}

// draw writes the graph as a page and as a picture.
func draw(s *study.Session, c *Config, graph *features.Graph) error {
	g := &view.Graph{Title: "Subject-verb agreement in features", Note: "nodes by effect, links by weight, in logits"}
	columns := map[int]int{}
	for _, n := range graph.Nodes {
		row := slices.Index(c.Layers, n.Site.Layer)
		kind := "feature"
		label := fmt.Sprintf("%d/%d", n.Site.Layer, n.Feature)
		if n.Feature == features.ErrorFeature {
			kind, label = "error", fmt.Sprintf("%d/error", n.Site.Layer)
		}
		effect := n.Effect
		g.Nodes = append(g.Nodes, view.Node{ID: n.Name(), Label: label, Kind: kind, Row: row, Column: columns[row], Root: true, Score: &effect})
		columns[row]++
	}
	loss := len(g.Nodes)
	g.Nodes = append(g.Nodes, view.Node{ID: "loss", Label: "loss", Kind: "logits", Row: len(c.Layers), Sink: true})
	for _, e := range graph.Edges {
		to := e.To
		if to == features.Loss {
			to = loss
		}
		g.Links = append(g.Links, view.Link{From: e.From, To: to, Score: e.Weight})
	}
	g.Top = min(60, len(g.Links))
	s.Text("The picture has %d nodes and %d edges (graph.html, graph.svg, graph.json).", len(g.Nodes), len(g.Links))
	s.Value("graph.edges", float64(len(g.Links)))
	return errors.Join(
		graph.WriteFile(s.Dir().File("graph.json")),
		s.Dir().Write("graph.html", func(w io.Writer) error { return view.WriteHTML(w, g) }),
		s.Dir().Write("graph.svg", func(w io.Writer) error { return view.WriteSVG(w, g, g.Top) }),
	)
}
