package features

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"loupe/circuits"
	"loupe/probe/model"
)

// Effects are effects of features and errors on each row's loss, in the clean run moved toward the corrupted one.
type Effects struct {
	Method    string
	Rows, Seq int
	Sites     []SiteEffects // in the order of Code.Dictionaries
}

// SiteEffects are a site's effects at each place (row*seq + position).
type SiteEffects struct {
	Site    model.Site
	Feature [][]int32   // features on at the place on either input
	Effect  [][]float64 // theirs
	Error   []float64
}

// AtP is attribution patching of every feature and error at all sites: (f' - f) dm/df with the gradient on the clean input. One gradient
// pass for all sites.
func (c *Code) AtP(ctx context.Context) (*Effects, error) {
	g, err := c.Task.GradientsAt(ctx, c.Sites(), nil)
	if err != nil {
		return nil, err
	}
	return c.effects("atp", g.At), nil
}

// IG is AtP with the mean of the gradients on the way, f + i/steps (f' - f) for i = 0..steps-1, each site moved by itself, features and error
// together: steps gradient passes for each site, by one program. The paper takes 10 steps.
func (c *Code) IG(ctx context.Context, steps int) (*Effects, error) {
	if steps < 1 {
		return nil, fmt.Errorf("features: integrated gradients of %d steps", steps)
	}
	means := map[model.Site][]float64{}
	for _, site := range c.Sites() {
		clean, corrupted := c.values[0][site], c.values[1][site]
		sum := make([]float64, len(clean))
		value := make([]float32, len(clean))
		for i := range steps {
			share := float64(i) / float64(steps)
			for j := range value {
				value[j] = float32((1-share)*float64(clean[j]) + share*float64(corrupted[j]))
			}
			g, err := c.Task.GradientsAt(ctx, c.Sites(), circuits.SiteValues{site: value})
			if err != nil {
				return nil, err
			}
			for j, v := range g.At[site] {
				sum[j] += v / float64(steps)
			}
		}
		means[site] = sum
	}
	return c.effects(fmt.Sprintf("ig%d", steps), means), nil
}

// effects are the products of changes with gradients at the sites.
func (c *Code) effects(method string, at map[model.Site][]float64) *Effects {
	e := &Effects{Method: method, Rows: c.Task.Pairs.Rows, Seq: c.Task.Pairs.Seq}
	for k, d := range c.Dictionaries {
		e.Sites = append(e.Sites, c.sites[k].times(d, at[d.Site]))
	}
	return e
}

// times are the products of the changes of a site's parts with a gradient [places,d] at it.
func (s *siteCode) times(d *Dictionary, g []float64) SiteEffects {
	out := SiteEffects{Site: d.Site, Error: make([]float64, len(s.active))}
	for p, a := range s.active {
		here := g[p*d.D : (p+1)*d.D]
		effect := make([]float64, len(a.index))
		for j, i := range a.index {
			effect[j] = (float64(a.value[1][j]) - float64(a.value[0][j])) * dot(d.write(i), here)
		}
		for j, v := range here {
			out.Error[p] += v * (float64(s.errors[1][p*d.D+j]) - float64(s.errors[0][p*d.D+j]))
		}
		out.Feature, out.Effect = append(out.Feature, a.index), append(out.Effect, effect)
	}
	return out
}

// ErrorFeature stands for a site's error among its features.
const ErrorFeature = -1

// AllPositions stands for every position of a node.
const AllPositions = -1

// Node is a feature, or the error, of a site at a position or at all of them.
type Node struct {
	Site     model.Site `json:"-"`
	Feature  int        `json:"feature"`  // ErrorFeature: the error
	Position int        `json:"position"` // AllPositions: summed over them
	// Effect is the mean over rows; PerRow are the rows' own.
	Effect float64   `json:"effect"`
	PerRow []float64 `json:"-"`
}

// Name is "blocks.3.hook_resid_pre/17", or ".../error", with "@4" for a position.
func (n Node) Name() string {
	name := n.Site.String() + "/error"
	if n.Feature != ErrorFeature {
		name = fmt.Sprintf("%s/%d", n.Site, n.Feature)
	}
	if n.Position != AllPositions {
		name += fmt.Sprintf("@%d", n.Position)
	}
	return name
}

// key names a node of a dictionary.
type key struct{ site, feature, position int }

// Nodes sums the effects over positions, or keeps positions apart, and returns the nodes by falling size of their mean over rows.
func (e *Effects) Nodes(positions bool) []Node {
	sums := map[key][]float64{}
	add := func(site, feature, place int, v float64) {
		if v == 0 {
			return
		}
		k := key{site, feature, AllPositions}
		if positions {
			k.position = place % e.Seq
		}
		if sums[k] == nil {
			sums[k] = make([]float64, e.Rows)
		}
		sums[k][place/e.Seq] += v
	}
	for s, site := range e.Sites {
		for p := range site.Error {
			for j, i := range site.Feature[p] {
				add(s, int(i), p, site.Effect[p][j])
			}
			add(s, ErrorFeature, p, site.Error[p])
		}
	}
	out := make([]Node, 0, len(sums))
	for k, rows := range sums {
		n := Node{Site: e.Sites[k.site].Site, Feature: k.feature, Position: k.position, PerRow: rows}
		for _, v := range rows {
			n.Effect += v / float64(e.Rows)
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b Node) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Effect), math.Abs(a.Effect)), circuits.CompareSites(a.Site, b.Site), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Position, b.Position))
	})
	return out
}

// Above returns the nodes whose mean effect is at least threshold in size; nodes are sorted as Effects.Nodes sorts them.
func Above(nodes []Node, threshold float64) []Node {
	for i, n := range nodes {
		if math.Abs(n.Effect) < threshold {
			return nodes[:i]
		}
	}
	return nodes
}

// Sum adds up every effect, the mean over rows. Integrated gradients promise that a site's effects come near to what the whole site changes.
func (e *SiteEffects) Sum(rows int) float64 {
	var sum float64
	for p := range e.Error {
		sum += e.Error[p]
		for _, v := range e.Effect[p] {
			sum += v
		}
	}
	return sum / float64(rows)
}
