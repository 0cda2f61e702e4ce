package train

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"loupe/probe/model"
)

// Subset names the parameters of models of a Spec that any of the patterns matches, in the order of Spec.Params. A pattern
// is "all" or a glob over a parameter's canonical name ("blocks.0.W_Q", "W_E") or its longer name, which says the part:
// "embed.W_E", "pos_embed.W_pos", "blocks.0.attn.W_Q", "blocks.0.mlp.W_in", "unembed.W_U". "last" stands for the number of the
// last layer, as in "blocks.last.*". A pattern that matches nothing is an error.
func Subset(spec *model.Spec, patterns ...string) ([]string, error) {
	if len(patterns) == 0 {
		return nil, fmt.Errorf("train: no parameters are named; give patterns such as all or blocks.*.mlp.*")
	}
	params := spec.Params()
	chosen := make([]bool, len(params))
	for _, pattern := range patterns {
		glob := strings.Replace(pattern, "blocks.last.", "blocks."+strconv.Itoa(spec.Layers-1)+".", 1)
		if pattern == "all" {
			glob = "*"
		}
		some := false
		for i, p := range params {
			short, err := path.Match(glob, p.Name)
			if err != nil {
				return nil, fmt.Errorf("train: pattern %q: %w", pattern, err)
			}
			long, _ := path.Match(glob, longName(p.Name))
			if short || long {
				chosen[i], some = true, true
			}
		}
		if !some {
			return nil, fmt.Errorf("train: pattern %q matches no parameter of this %s model of %d layers; parameters are called like %s or %s",
				pattern, spec.Family, spec.Layers, longName("blocks.0.W_Q"), longName("W_E"))
		}
	}
	var out []string
	for i, p := range params {
		if chosen[i] {
			out = append(out, p.Name)
		}
	}
	return out, nil
}

// longName puts the part of the model into a parameter's canonical name.
func longName(name string) string {
	parts := strings.SplitN(name, ".", 3)
	if len(parts) == 3 && parts[0] == "blocks" {
		switch last := parts[2]; {
		case strings.HasSuffix(last, "_gate") || strings.HasSuffix(last, "_in") || strings.HasSuffix(last, "_out"):
			return parts[0] + "." + parts[1] + ".mlp." + last
		case !strings.HasPrefix(last, "ln"):
			return parts[0] + "." + parts[1] + ".attn." + last
		}
		return name
	}
	if part, ok := map[string]string{
		"W_E": "embed", "W_type": "embed", "W_pos": "pos_embed", "W_rel": "attn", "W_U": "unembed", "W_pool": "pooler", "b_pool": "pooler", "W_proj": "proj",
	}[name]; ok {
		return part + "." + name
	}
	return name
}
