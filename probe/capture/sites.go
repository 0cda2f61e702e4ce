package capture

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"loupe/probe/model"
	"loupe/probe/store"
)

// column is a column of the store and where its values come from.
type column struct {
	site    store.Site
	capture model.Capture
	at      int // Gathered: which of a sequence's two gathered positions
}

// gathered positions of a sequence: its first and its last token.
const gathered = 2

// resolveSites turns the configured sites into columns: token columns and example columns, each in the order given.
func resolveSites(spec *model.Spec, list []SiteConfig) (token, example []column, err error) {
	seen := map[string]bool{}
	for i, s := range list {
		sites, err := match(spec, s.Site)
		if err != nil {
			return nil, nil, fmt.Errorf("capture: sites.%d: %w", i, err)
		}
		for _, site := range sites {
			c, err := newColumn(spec, site, s)
			if err != nil {
				return nil, nil, fmt.Errorf("capture: sites.%d: %w", i, err)
			}
			if seen[c.site.Name] {
				return nil, nil, fmt.Errorf("capture: sites.%d: site %s is there twice; remove one", i, c.site.Name)
			}
			seen[c.site.Name] = true
			if c.site.Per == store.Token {
				token = append(token, c)
			} else {
				example = append(example, c)
			}
		}
	}
	return token, example, nil
}

// match returns the sites that a name or a pattern stands for, in the order of the model's sites.
func match(spec *model.Spec, name string) ([]model.Site, error) {
	if !strings.Contains(name, "*") {
		site, err := model.ParseSite(name)
		if err != nil {
			return nil, err
		}
		return []model.Site{site}, spec.Has(site)
	}
	pattern := strings.NewReplacer(`\`, `\\`, "[", `\[`, "?", `\?`).Replace(name)
	var out []model.Site
	for _, site := range spec.Sites() {
		ok, err := path.Match(pattern, site.String()) // * stops at '/', which no site has
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", name, err)
		}
		if ok && !squares(site) {
			out = append(out, site)
		}
	}
	if len(out) == 0 {
		_, err := model.ParseSite(strings.ReplaceAll(name, "*", "0"))
		return nil, errors.Join(fmt.Errorf("pattern %q matches no site of this %s model; `loupe model info` lists the sites it has", name, spec.Family), err)
	}
	return out, nil
}

// squares tells whether a site has a value for every pair of tokens, so that a token has no row of fixed width.
func squares(site model.Site) bool { return strings.Contains(site.Kind.Axes(), "s") }

func newColumn(spec *model.Spec, site model.Site, s SiteConfig) (column, error) {
	axes := site.Kind.Axes()
	if squares(site) {
		return column{}, fmt.Errorf("site %s has a value for every pair of tokens, and a store's rows have one width; capture hook_z or hook_result, or export the pattern", site)
	}
	c := column{
		site:    store.Site{Name: site.String(), Per: store.Token, DType: store.DType(s.DType), Scale: float32(s.Scale)},
		capture: model.Capture{Site: site},
	}
	perToken := len(axes) > 1 && axes[1] == 't'
	first := 1
	if perToken {
		first = 2
	}
	c.site.Shape = slices.Clone(spec.Dims(site.Kind, 1, 1)[first:])
	if !perToken && s.Reduce != Tokens {
		return column{}, fmt.Errorf("site %s has one value a document already; leave reduce out", site)
	}
	if !perToken || s.Reduce != Tokens {
		c.site.Per = store.Example
	}
	switch {
	case !perToken || s.Reduce == Tokens:
	case s.Reduce == Mean:
		c.capture.Reduce = model.TokenMean
	default:
		c.capture.Reduce = model.Gathered
		if s.Reduce == Last {
			c.at = 1
		}
	}
	if perToken && s.Reduce != Tokens {
		c.site.Name += "." + s.Reduce
	}
	return c, nil
}

// modelPlan is the model's plan for batches of b rows of t tokens: only the layers that the columns need, and every site once.
func modelPlan(spec *model.Spec, columns []column, b, t int, storage model.DType) model.Plan {
	p := model.Plan{Batch: b, Seq: t, Storage: storage, To: 1}
	for _, c := range columns {
		if c.capture.Reduce == model.Gathered {
			p.Gather = gathered
		}
		if !slices.Contains(p.Captures, c.capture) {
			p.Captures = append(p.Captures, c.capture)
		}
		switch kind := c.capture.Site.Kind; {
		case kind.InBlock():
			p.To = max(p.To, c.capture.Site.Layer+1)
		case kind != model.Embed && kind != model.PosEmbed:
			p.To = spec.Layers
		}
	}
	return p
}
