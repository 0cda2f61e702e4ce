package training

import (
	"errors"
	"fmt"
	"strings"

	"loupe/sae"
)

// members lists the SAEs of the configuration; their configurations are not resolved.
func (c *Config) members() ([]sae.Member, error) {
	if len(c.Archs) > 0 {
		return nil, errors.New("archs and saes are both set; give each element of saes its arch")
	}
	entries := c.SAEs
	if len(entries) == 0 {
		entries = []Entry{{Grid: c.Grid}}
	}
	var out []sae.Member
	var pairs bool
	for i, e := range entries {
		at := ""
		if len(c.SAEs) > 0 {
			at = fmt.Sprintf("saes.%d: ", i)
		}
		members, err := e.members()
		if err != nil {
			return nil, fmt.Errorf("%s%w", at, err)
		}
		out = append(out, members...)
		pairs = pairs || e.Transcodes()
	}
	if len(c.Pairs) > 0 && !pairs {
		return nil, errors.New("pairs is set, and no architecture is a transcoder; name one, or give sites")
	}
	seen := map[string]bool{}
	for _, m := range out {
		if seen[m.Name] {
			return nil, fmt.Errorf("two SAEs are called %s; give the elements of saes different labels", m.Name)
		}
		seen[m.Name] = true
	}
	return out, nil
}

// members lists the SAEs of one grid.
func (e *Entry) members() ([]sae.Member, error) {
	reads, err := e.reads()
	if err != nil {
		return nil, err
	}
	if len(e.Widths) > 0 && e.DSAE > 0 {
		return nil, fmt.Errorf("d_sae %d and widths %v are both set; keep one", e.DSAE, e.Widths)
	}
	widths, seeds := e.Widths, e.Seeds
	if len(widths) == 0 {
		widths = []int{e.DSAE}
	}
	if len(seeds) == 0 {
		seeds = []uint64{e.Seed}
	}
	var out []sae.Member
	for _, m := range reads {
		for _, width := range widths {
			for _, seed := range seeds {
				m.Config = e.Config
				m.Config.DSAE, m.Config.Seed = width, seed
				m.Name = e.name(m)
				out = append(out, m)
			}
		}
	}
	return out, nil
}

// reads lists what the grid's SAEs read and write.
func (e *Entry) reads() ([]sae.Member, error) {
	switch {
	case e.Transcodes():
		return e.pairs()
	case e.Target != "":
		return nil, fmt.Errorf("target %s is set, and %s writes the site it reads; leave target out, or name a transcoder", e.Target, e.Arch)
	case e.Site != "" && len(e.Sites) > 0:
		return nil, fmt.Errorf("site %s and sites %v are both set; keep one", e.Site, e.Sites)
	case e.Site != "":
		return []sae.Member{{Inputs: []string{e.Site}}}, nil
	case len(e.Sites) == 0:
		return nil, errors.New("site is not set; name one, or several in sites; `loupe store info` lists a store's sites")
	case e.ReadsMany():
		return []sae.Member{{Inputs: e.Sites}}, nil
	}
	var out []sae.Member
	for _, site := range e.Sites {
		out = append(out, sae.Member{Inputs: []string{site}})
	}
	return out, nil
}

// pairs lists what the grid's transcoders read and write.
func (e *Entry) pairs() ([]sae.Member, error) {
	pairs := e.Pairs
	switch {
	case e.Target != "" && len(pairs) > 0:
		return nil, fmt.Errorf("target %s and pairs are both set; keep one", e.Target)
	case e.Target != "":
		if e.Site == "" {
			return nil, fmt.Errorf("target is %s and site is not set; name the site to read", e.Target)
		}
		pairs = []Pair{{Input: e.Site, Target: e.Target}}
	case len(pairs) == 0:
		return nil, fmt.Errorf("%s reads one site and writes another; name them in pairs, or in site and target", e.Arch)
	}
	var out []sae.Member
	var all sae.Member
	for i, p := range pairs {
		if p.Input == "" || p.Target == "" {
			return nil, fmt.Errorf("pairs.%d has input %q and target %q; name both sites", i, p.Input, p.Target)
		}
		out = append(out, sae.Member{Inputs: []string{p.Input}, Targets: []string{p.Target}})
		all.Inputs, all.Targets = append(all.Inputs, p.Input), append(all.Targets, p.Target)
	}
	if e.ReadsMany() {
		return []sae.Member{all}, nil
	}
	return out, nil
}

// name is <label or arch>-f<d_sae>-s<seed>-<sites>, with x<expansion> where d_sae follows from the data's width.
func (e *Entry) name(m sae.Member) string {
	label := e.Label
	if label == "" {
		label = e.Arch
	}
	width := fmt.Sprintf("f%d", m.Config.DSAE)
	if m.Config.DSAE == 0 {
		width = fmt.Sprintf("x%d", e.Expansion)
	}
	sites := m.Inputs[0]
	if n := len(m.Inputs) - 1; n > 0 {
		sites += fmt.Sprintf("+%d", n)
	} else if len(m.Targets) > 0 {
		sites += "=" + m.Targets[0]
	}
	return fmt.Sprintf("%s-%s-s%d-%s", label, width, m.Config.Seed, strings.ReplaceAll(sites, "/", "_"))
}
