package circuits

import (
	"errors"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/network"
	"gonum.org/v1/gonum/graph/path"
	"gonum.org/v1/gonum/graph/simple"
	"gonum.org/v1/gonum/graph/topo"
)

// GraphMetrics are measures of a circuit as a graph of nodes: input, heads, MLPs and logits, an arc for every edge with the query,
// key and value inputs of a head as one. Core numbers, clustering, mean degree, components and robustness are of the undirected
// graph, the rest of the directed one.
type GraphMetrics struct {
	Nodes            []string
	Arcs             int
	Density          float64 // arcs / (n (n-1))
	MeanDegree       float64
	InDegree         []int // by Nodes, as all that follow
	OutDegree        []int
	Core             []int     // the largest k of a k-core that holds the node
	DegreeCentrality []float64 // (in + out) / (n-1)
	Betweenness      []float64 // share of shortest paths between others through the node, over (n-1)(n-2) pairs
	Closeness        []float64 // by distances to the node from the r nodes that reach it: r/sum * r/(n-1)
	PageRank         []float64 // damping 0.85
	Clustering       float64   // mean over nodes
	LongestPath      int       // arcs
	Components       int       // weakly connected
	// Robustness is the mean over 1..n of the largest component's share of n after removing that many nodes, each time one of
	// largest degree (Schneider et al., PNAS 2011): at most 1/2, near 0 for a star.
	Robustness float64
}

// MeasureGraph measures a circuit; one without edges has no measures.
func MeasureGraph(c *Circuit) (*GraphMetrics, error) {
	edges := c.Edges()
	if len(edges) == 0 {
		return nil, errors.New("circuits: a circuit without edges has no graph; ask for more edges or a lower threshold")
	}
	directed, undirected := simple.NewDirectedGraph(), simple.NewUndirectedGraph()
	out := &GraphMetrics{}
	id := func(name string) int64 {
		i := slices.Index(out.Nodes, name)
		if i < 0 {
			i = len(out.Nodes)
			out.Nodes = append(out.Nodes, name)
			directed.AddNode(simple.Node(i))
			undirected.AddNode(simple.Node(i))
		}
		return int64(i)
	}
	for _, e := range edges {
		receiver, _, _ := strings.Cut(c.Graph.Receivers[e.V], "<")
		from, to := simple.Node(id(c.Graph.Senders[e.U])), simple.Node(id(receiver))
		directed.SetEdge(simple.Edge{F: from, T: to})
		undirected.SetEdge(simple.Edge{F: from, T: to})
	}
	n := float64(len(out.Nodes))
	out.Arcs = directed.Edges().Len()
	out.Density = float64(out.Arcs) / (n * (n - 1))
	out.MeanDegree = 2 * float64(undirected.Edges().Len()) / n
	between, rank := network.Betweenness(directed), network.PageRank(directed, 0.85, 1e-12)
	shortest := path.DijkstraAllPaths(directed)
	out.Core = coreNumbers(undirected, len(out.Nodes))
	for i := range out.Nodes {
		in, leaving := directed.To(int64(i)).Len(), directed.From(int64(i)).Len()
		out.InDegree, out.OutDegree = append(out.InDegree, in), append(out.OutDegree, leaving)
		out.DegreeCentrality = append(out.DegreeCentrality, float64(in+leaving)/(n-1))
		out.Betweenness = append(out.Betweenness, between[int64(i)]/max((n-1)*(n-2), 1))
		out.PageRank = append(out.PageRank, rank[int64(i)])
		var reached, sum float64
		for j := range out.Nodes {
			if w := shortest.Weight(int64(j), int64(i)); i != j && !math.IsInf(w, 1) {
				reached, sum = reached+1, sum+w
			}
		}
		out.Closeness = append(out.Closeness, reached*reached/max(sum, 1)/(n-1))
		out.Clustering += clustering(undirected, int64(i)) / n
	}
	var err error
	if out.LongestPath, err = longestPath(directed); err != nil {
		return nil, err
	}
	out.Components = len(topo.ConnectedComponents(undirected))
	out.Robustness = robustness(undirected)
	return out, nil
}

// coreNumbers gives every node the largest k whose k-core holds it.
func coreNumbers(g graph.Undirected, n int) []int {
	_, cores := topo.DegeneracyOrdering(g)
	out := make([]int, n)
	for k, nodes := range cores {
		for _, node := range nodes {
			out[node.ID()] = max(out[node.ID()], k)
		}
	}
	return out
}

// clustering is the share of pairs of a node's neighbours that are neighbours of each other.
func clustering(g graph.Undirected, id int64) float64 {
	near := graph.NodesOf(g.From(id))
	if len(near) < 2 {
		return 0
	}
	joined := 0
	for i, a := range near {
		for _, b := range near[:i] {
			if g.HasEdgeBetween(a.ID(), b.ID()) {
				joined++
			}
		}
	}
	return 2 * float64(joined) / float64(len(near)*(len(near)-1))
}

// longestPath counts the arcs of the longest path of an acyclic graph.
func longestPath(g graph.Directed) (int, error) {
	order, err := topo.Sort(g)
	if err != nil {
		return 0, err
	}
	length, longest := map[int64]int{}, 0
	for _, node := range order {
		for _, next := range graph.NodesOf(g.From(node.ID())) {
			length[next.ID()] = max(length[next.ID()], length[node.ID()]+1)
			longest = max(longest, length[next.ID()])
		}
	}
	return longest, nil
}

// robustness removes nodes of largest degree one at a time, of equal degree the first; see GraphMetrics.
func robustness(g *simple.UndirectedGraph) float64 {
	left := simple.NewUndirectedGraph()
	graph.Copy(left, g)
	n := g.Nodes().Len()
	var sum float64
	for left.Nodes().Len() > 0 {
		worst, degree := int64(-1), -1
		for _, node := range graph.NodesOf(left.Nodes()) {
			if d := left.From(node.ID()).Len(); d > degree || d == degree && node.ID() < worst {
				worst, degree = node.ID(), d
			}
		}
		left.RemoveNode(worst)
		largest := 0
		for _, part := range topo.ConnectedComponents(left) {
			largest = max(largest, len(part))
		}
		sum += float64(largest) / float64(n)
	}
	return sum / float64(n)
}

// NodeJaccard is the Jaccard index of the nodes that the circuits' edges touch; 1 when both are empty.
func NodeJaccard(a, b *Circuit) float64 {
	touch := func(c *Circuit) map[string]bool {
		out := map[string]bool{}
		for _, e := range c.Edges() {
			receiver, _, _ := strings.Cut(c.Graph.Receivers[e.V], "<")
			out[c.Graph.Senders[e.U]], out[receiver] = true, true
		}
		return out
	}
	x, y := touch(a), touch(b)
	both := 0
	for name := range x {
		if y[name] {
			both++
		}
	}
	if either := len(x) + len(y) - both; either > 0 {
		return float64(both) / float64(either)
	}
	return 1
}
