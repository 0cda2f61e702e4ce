package main

import (
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"loupe/sae"
)

// sitesInfo is what `loupe sae info` prints of a crosscoder or a cross-layer transcoder.
type sitesInfo struct {
	Path   string `json:"path"`
	Format string `json:"format"`
	sae.Shape
	Activation string         `json:"activation"`
	Norm       string         `json:"code_norm,omitempty"` // of a crosscoder
	Scales     []float32      `json:"scales,omitempty"`    // likewise
	Diffs      []siteDiff     `json:"diffs,omitempty"`     // of the first site and each other
	PerLayer   bool           `json:"per_layer,omitempty"` // of a cross-layer transcoder
	Skip       bool           `json:"skip,omitempty"`      // likewise
	Metadata   map[string]any `json:"metadata"`
}

// siteDiff says how many latents two sites share.
type siteDiff struct {
	A int `json:"a"`
	B int `json:"b"`
	sae.DiffCount
}

// The limits within which latents count as one site's or both's.
const (
	diffEdge = 0.1
	diffBand = 0.1
)

func sitesInfoOf(path, format string, c sae.Coder) sitesInfo {
	info := sitesInfo{Path: path, Format: format, Shape: c.Shape()}
	switch x := c.(type) {
	case *sae.Crosscoder:
		info.Activation, info.Norm, info.Scales, info.Metadata = x.Activation, x.Norm, x.Scales, x.Metadata
		for b := 1; b < x.Sites; b++ {
			if d, err := x.Diff(0, b); err == nil {
				info.Diffs = append(info.Diffs, siteDiff{0, b, d.Count(diffEdge, diffBand)})
			}
		}
	case *sae.CLT:
		info.Activation, info.PerLayer, info.Skip, info.Metadata = x.Activation, x.PerLayer, x.Layers[0].WSkip != nil, x.Metadata
	}
	return info
}

func (a *app) printSitesInfo(i sitesInfo) error {
	if a.json {
		return a.printJSON(i)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "SAE\t%s\nformat\t%s\narchitecture\t%s\nactivation\t%s\n", i.Path, i.Format, i.Arch, i.Activation)
	fmt.Fprintf(w, "sites\t%d in, %d out\nd_in, d_out\t%d, %d\nlatents\t%d\n", i.InSites, i.OutSites, i.DIn, i.DOut, i.Latents)
	if i.K > 0 {
		fmt.Fprintf(w, "k\t%d\n", i.K)
	}
	fmt.Fprintf(w, "parameters\t%d\n", i.Params)
	if i.Norm != "" {
		fmt.Fprintf(w, "code norm\t%s\n", i.Norm)
	}
	if i.Scales != nil {
		fmt.Fprintf(w, "scales\t%.4g\n", i.Scales)
	}
	for _, d := range i.Diffs {
		fmt.Fprintf(w, "sites %d and %d\t%d latents of %d alone, %d of both (mean cosine %.3f), %d of %d alone, %d between\n", d.A, d.B, d.OnlyA, d.A, d.Shared, d.SharedCos, d.OnlyB, d.B, d.Between)
	}
	if i.Skip {
		fmt.Fprintf(w, "linear path\tyes\n")
	}
	for _, key := range slices.Sorted(maps.Keys(i.Metadata)) {
		if v, ok := i.Metadata[key].(string); ok {
			fmt.Fprintf(w, "%s\t%s\n", key, v)
		}
	}
	return w.Flush()
}
