package circuits

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/probe/model"
)

// goldenGraphMetrics compares every measure of every circuit with networkx.
func goldenGraphMetrics(t *testing.T, _ *model.Engine, root, _ string) {
	var models map[string]struct {
		Circuits map[string]struct {
			Edges            []string
			Nodes, Arcs      int
			Density          float64
			InDegree         map[string]int     `json:"in_degree"`
			OutDegree        map[string]int     `json:"out_degree"`
			MeanDegree       float64            `json:"mean_degree"`
			Core             map[string]int     `json:"core_number"`
			MaxCore          int                `json:"max_core"`
			DegreeCentrality map[string]float64 `json:"degree_centrality"`
			Betweenness      map[string]float64
			Closeness        map[string]float64
			PageRank         map[string]float64 `json:"pagerank_0.85"`
			Clustering       float64            `json:"average_clustering_undirected"`
			LongestPath      int                `json:"longest_path"`
			Components       int                `json:"weak_components"`
		}
		EdgeJaccard map[string]float64 `json:"edge_jaccard"`
		NodeJaccard map[string]float64 `json:"node_jaccard"`
	}
	readJSON(t, &models, root, "graph_metrics", "expected.json")
	for name, m := range models {
		var shape struct{ Senders []string }
		readJSON(t, &shape, root, "cases", name, "expected.json")
		heads := slices.Index(shape.Senders, "m0") - 1
		g := must[*EdgeGraph](t)(NewEdgeGraph((len(shape.Senders)-1)/(heads+1), heads, false))
		circuits := map[string]*Circuit{}
		for key, e := range m.Circuits {
			c := must[*Circuit](t)(CircuitOf(g, e.Edges))
			circuits[key] = c
			got := must[*GraphMetrics](t)(MeasureGraph(c))
			if len(got.Nodes) != e.Nodes || got.Arcs != e.Arcs || got.LongestPath != e.LongestPath || got.Components != e.Components || slices.Max(got.Core) != e.MaxCore {
				t.Errorf("%s %s: %+v", name, key, got)
			}
			close(t, key, []float64{got.Density, got.MeanDegree, got.Clustering}, []float64{e.Density, e.MeanDegree, e.Clustering}, 1e-9)
			for i, node := range got.Nodes {
				if got.InDegree[i] != e.InDegree[node] || got.OutDegree[i] != e.OutDegree[node] || got.Core[i] != e.Core[node] {
					t.Errorf("%s %s: %s has degrees %d and %d, core %d", name, key, node, got.InDegree[i], got.OutDegree[i], got.Core[i])
				}
				want := []float64{e.DegreeCentrality[node], e.Betweenness[node], e.Closeness[node], e.PageRank[node]}
				close(t, key+" "+node, []float64{got.DegreeCentrality[i], got.Betweenness[i], got.Closeness[i], got.PageRank[i]}, want, 1e-6)
			}
		}
		for pair, want := range m.EdgeJaccard {
			a, b, _ := strings.Cut(pair, "|")
			if got := Jaccard(circuits[a], circuits[b]); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: edge Jaccard of %s is %g, want %g", name, pair, got, want)
			}
			if got := NodeJaccard(circuits[a], circuits[b]); math.Abs(got-m.NodeJaccard[pair]) > 1e-12 {
				t.Errorf("%s: node Jaccard of %s is %g, want %g", name, pair, got, m.NodeJaccard[pair])
			}
		}
		if len(m.EdgeJaccard) != len(m.NodeJaccard) || len(m.EdgeJaccard) == 0 {
			t.Errorf("%s: %d edge and %d node indices", filepath.Base(name), len(m.EdgeJaccard), len(m.NodeJaccard))
		}
	}
}

// TestRobustnessByHand: a star of four rays falls to single nodes with its hub, (1/5 four times, then 0) / 5, and a path of three
// nodes with its middle: (1/3 + 1/3 + 0) / 3.
func TestRobustnessByHand(t *testing.T) {
	g := must[*EdgeGraph](t)(NewEdgeGraph(1, 3, false))
	star := must[*Circuit](t)(CircuitOf(g, []string{"input->a0.h0<q>", "input->a0.h1<k>", "input->a0.h2<v>", "input->logits"}))
	path := must[*Circuit](t)(CircuitOf(g, []string{"input->m0", "m0->logits"}))
	for _, c := range []struct {
		circuit *Circuit
		want    float64
	}{{star, (1./5 + 1./5 + 1./5 + 1./5) / 5}, {path, (1./3 + 1./3) / 3}} {
		if got := must[*GraphMetrics](t)(MeasureGraph(c.circuit)).Robustness; math.Abs(got-c.want) > 1e-12 {
			t.Errorf("robustness of %v is %g, want %g", c.circuit.Names(), got, c.want)
		}
	}
	if _, err := MeasureGraph(NewCircuit(g)); err == nil {
		t.Error("an empty circuit has no graph")
	}
}
