package store

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"

	"loupe/internal/arrowio"
	"loupe/internal/gemm"
)

// group is a disjoint set of rows of which moments are kept: a class of a label (or, with an empty label, any row),
// special tokens and others apart.
type group struct {
	label, class string
	special      bool
}

func (g group) compare(h group) int {
	special := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(g.label, h.label), cmp.Compare(g.class, h.class), special(g.special)-special(h.special))
}

// rowGroup is a group's rows of a batch.
type rowGroup struct {
	group
	rows []int32
}

// momentSet gathers the moments of all sites of a store, shard by shard.
type momentSet struct {
	spec    *Spec
	classes *classIndex
	gram    gemm.Gram
	shard   map[string]map[group]*accumulator // by site
	total   map[string]map[group]*Moments
}

func newMomentSet(spec *Spec, classes *classIndex) *momentSet {
	return &momentSet{
		spec: spec, classes: classes, gram: gemm.Gram{Workers: min(2, runtime.GOMAXPROCS(0))},
		shard: map[string]map[group]*accumulator{}, total: map[string]map[group]*Moments{},
	}
}

// split sorts a batch's rows into groups, in a fixed order. special is nil for examples.
func (m *momentSet) split(special []bool, tuples []int32) []rowGroup {
	byGroup := map[group][]int32{}
	for r, t := range tuples {
		s := special != nil && special[r]
		g := group{special: s}
		byGroup[g] = append(byGroup[g], int32(r))
		for i, class := range m.classes.tuple(t) {
			if class != "" {
				g := group{label: m.spec.Labels[i], class: class, special: s}
				byGroup[g] = append(byGroup[g], int32(r))
			}
		}
	}
	out := make([]rowGroup, 0, len(byGroup))
	for g, rows := range byGroup {
		out = append(out, rowGroup{g, rows})
	}
	slices.SortFunc(out, func(a, b rowGroup) int { return a.compare(b.group) })
	return out
}

func (m *momentSet) keepsCross(s Site, g group) bool {
	return s.Dim() <= m.spec.Moments.MaxCross && (g.label == "" || m.spec.Moments.ClassCross)
}

// add takes a batch of site s, x [n, d], whose rows are split into groups.
func (m *momentSet) add(s Site, x []float32, groups []rowGroup) {
	acc := m.shard[s.Name]
	if acc == nil {
		acc = map[group]*accumulator{}
		m.shard[s.Name] = acc
	}
	for _, g := range groups {
		if acc[g.group] == nil {
			acc[g.group] = newAccumulator(s.Dim(), m.keepsCross(s, g.group))
		}
		acc[g.group].add(&m.gram, x, g.rows)
	}
}

// endShard merges the shard's sums into the totals.
func (m *momentSet) endShard() {
	for site, accs := range m.shard {
		if m.total[site] == nil {
			m.total[site] = map[group]*Moments{}
		}
		for g, a := range accs {
			if m.total[site][g] == nil {
				m.total[site][g] = &Moments{}
			}
			m.total[site][g].merge(a.moments())
		}
	}
	clear(m.shard)
}

// result returns a site's moments: by label and class, and for each the non-special rows and all rows.
func (m *momentSet) result(s Site) []*Moments {
	groups := []group{{}}
	for g := range m.total[s.Name] {
		g.special = false
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, group.compare)
	var out []*Moments
	for _, g := range groups {
		non, all := m.empty(s, g, NonSpecial), m.empty(s, g, All)
		if t := m.total[s.Name][g]; t != nil {
			non.merge(t)
			all.merge(t)
		}
		if t := m.total[s.Name][group{g.label, g.class, true}]; t != nil {
			all.merge(t)
		}
		out = append(out, all, non)
	}
	return out
}

func (m *momentSet) empty(s Site, g group, f Filter) *Moments {
	d := s.Dim()
	out := &Moments{Site: s.Name, Filter: f, Label: g.label, Class: g.class, Mean: make([]float64, d), M2: make([]float64, d)}
	if m.keepsCross(s, g) {
		out.Cross = make([]float64, d*d)
	}
	return out
}

// momentPaths lists the moment files of a complete store in order.
func momentPaths(spec *Spec) []string {
	if spec.Moments.Off {
		return nil
	}
	var out []string
	for _, s := range spec.Sites {
		out = append(out, diagPath(s))
		if s.Dim() <= spec.Moments.MaxCross {
			out = append(out, crossPath(s))
		}
	}
	return out
}

func diagPath(s Site) string  { return fmt.Sprintf("moments/%s/diagonal.arrow", s.Name) }
func crossPath(s Site) string { return fmt.Sprintf("moments/%s/cross.arrow", s.Name) }

func diagSchema(s Site) arrowio.Schema {
	sch := momentSchema(s)
	sch.Fields = append(sch.Fields,
		arrowio.Field{Name: "mean", Kind: arrowio.Float64, Size: s.Dim()},
		arrowio.Field{Name: "m2", Kind: arrowio.Float64, Size: s.Dim()})
	return sch
}

func crossSchema(s Site) arrowio.Schema {
	sch := momentSchema(s)
	sch.Fields = append(sch.Fields, arrowio.Field{Name: "cross", Kind: arrowio.Float64, Size: s.Dim() * s.Dim()})
	return sch
}

func momentSchema(s Site) arrowio.Schema {
	return arrowio.Schema{
		Meta: map[string]string{"loupe.store": "moments", "loupe.format": fmt.Sprint(FormatVersion), "site": s.Name},
		Fields: []arrowio.Field{
			{Name: "filter", Kind: arrowio.String}, {Name: "label", Kind: arrowio.String},
			{Name: "class", Kind: arrowio.String}, {Name: "count", Kind: arrowio.Int64},
		},
	}
}

// columns is the moments' row in the diagonal (or cross) file.
func (m *Moments) columns(cross bool) []any {
	out := []any{[]string{string(m.Filter)}, []string{m.Label}, []string{m.Class}, []int64{m.Count}}
	if cross {
		return append(out, m.Cross)
	}
	return append(out, m.Mean, m.M2)
}
