package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/circuits"
	"loupe/circuits/table"
	"loupe/probe/model"
)

// patchUnits is the value of --site that patches heads and MLPs at all positions.
const patchUnits = "units"

// patchReport is what `loupe circuits patch` prints.
type patchReport struct {
	table.Provenance
	Site   string       `json:"site"`
	Change float64      `json:"change"` // of the mean loss between the two unpatched runs, in the patch's direction
	Places []placeScore `json:"places"`
	Out    string       `json:"out,omitempty"`
}

// placeScore is the effect of patching one place.
type placeScore struct {
	Layer    int     `json:"layer"`
	Head     int     `json:"head"`     // -1: none
	Position int     `json:"position"` // -1: all
	Effect   float64 `json:"effect"`   // on the mean loss
	Share    float64 `json:"share"`    // of Change
}

// Print implements [outcome]. The map has a line for each layer (and head) and a column for each position, or each head and the MLP; numbers are
// per cent of the change between the two runs, and darker marks are larger ones.
func (r *patchReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "%s of %s on %s of %s: %d prompts of %d tokens, %s\n", r.Method, r.Site, r.Task, r.Model, r.Rows, r.Seq, r.Metric)
	fmt.Fprintf(out, "loss %.4f clean, %.4f corrupted; numbers are per cent of that change\n\n", r.CleanLoss, r.Corrupted)
	units := r.Site == patchUnits
	line := ""
	for _, p := range r.Places {
		name, column := fmt.Sprintf("a%d.h%d", p.Layer, p.Head), fmt.Sprint(p.Position)
		switch {
		case units && p.Head < 0:
			name, column = fmt.Sprintf("layer %d", p.Layer), "MLP"
		case units:
			name, column = fmt.Sprintf("layer %d", p.Layer), fmt.Sprintf("h%d", p.Head)
		case p.Head < 0:
			name = fmt.Sprintf("layer %d", p.Layer)
		}
		if name != line {
			if line != "" {
				fmt.Fprintln(w)
			}
			line = name
			fmt.Fprintf(w, "%s\t", name)
		}
		fmt.Fprintf(w, "%s:%.0f%c\t", column, 100*p.Share, shade(p.Share))
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil || r.Out == "" {
		return err
	}
	_, err := fmt.Fprintf(out, "\ntable %s\n", r.Out)
	return err
}

// shade is a mark as dark as |x|, which is 1 at the full change.
func shade(x float64) rune {
	marks := []rune(" ░▒▓█")
	return marks[min(int(math.Round(math.Abs(x)*float64(len(marks)-1))), len(marks)-1)]
}

func newCircuitsPatchCmd(a *app) *cobra.Command {
	f := newCircuitFlags()
	var direction, site, out string
	cmd := &cobra.Command{
		Use:   "patch MODEL",
		Short: "Patch activations between clean and corrupted prompts, place by place",
		Long: `Put the value of a place on the corrupted prompt into the clean run (--direction noise), or that on the clean prompt into the corrupted run
(denoise), one place at a time, and print what it does to the loss as a share of the change between the two prompts. --site units patches each
attention head and each MLP at all positions; the name of a site, such as hook_resid_pre, hook_attn_out, hook_mlp_out or attn.hook_z, patches each layer, position
(and head). Every architecture can be patched. MODEL is ` + refHelp[len("REF is "):],
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if direction != string(circuits.Noise) && direction != string(circuits.Denoise) {
				return usagef("--direction %q: use noise or denoise", direction)
			}
			if out != "" && filepath.Ext(out) != ".arrow" {
				return usagef("--out %s: a table of effects ends in .arrow", out)
			}
			if site != patchUnits {
				if _, err := patchSite(site); err != nil {
					return err
				}
			}
			r, err := f.open(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.close()) }()
			if f.dry {
				return a.printOutcome(r.planned())
			}
			nodes, err := r.patch(cmd.Context(), site, circuits.Direction(direction))
			if err != nil {
				return err
			}
			nodes.Provenance = r.provenance(&f, &circuits.Scores{Method: direction})
			nodes.Ablation = ""
			if out != "" {
				if err := nodes.Write(out); err != nil {
					return err
				}
			}
			return a.printOutcome(patched(nodes, out))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&direction, "direction", string(circuits.Noise), "noise: corrupted into clean; denoise: clean into corrupted")
	cmd.Flags().StringVar(&site, "site", patchUnits, "units, or the name of a site in the blocks")
	cmd.Flags().StringVar(&out, "out", "", "Arrow table of the effects on every prompt")
	return cmd
}

// patchSite is a kind of site by its name, without block or with it.
func patchSite(name string) (model.Kind, error) {
	full := name
	if !strings.HasPrefix(name, "blocks.") {
		full = "blocks.0." + name
	}
	site, err := model.ParseSite(full)
	if err != nil {
		return 0, usagef("--site %q: use units or a site such as hook_resid_pre or attn.hook_z: %w", name, err)
	}
	return site.Kind, nil
}

// patch returns the effects of a site's places.
func (r *circuitRun) patch(ctx context.Context, site string, direction circuits.Direction) (*table.Nodes, error) {
	base := r.Task.CleanLoss
	if direction == circuits.Denoise {
		base = r.CorruptedLoss
	}
	rows := r.Pairs.Rows
	out := &table.Nodes{Site: site, Examples: rows}
	add := func(layer, head, position int, loss func(row int) float64) {
		effects := make([]float64, rows)
		for i := range effects {
			effects[i] = loss(i) - base[i]
		}
		out.Rows = append(out.Rows, table.NewNode(layer, head, position, effects))
	}
	s := r.Model.Spec
	if site == patchUnits {
		u, err := circuits.PatchUnits(ctx, r.Task, direction)
		if err != nil {
			return nil, err
		}
		for l := range s.Layers {
			for h := range s.Heads {
				add(l, h, -1, func(row int) float64 { return u.Heads[(row*s.Layers+l)*s.Heads+h] })
			}
			add(l, -1, -1, func(row int) float64 { return u.MLPs[row*s.Layers+l] })
		}
		return out, nil
	}
	kind, err := patchSite(site)
	if err != nil {
		return nil, err
	}
	n, err := circuits.PatchNodes(ctx, r.Task, kind, direction)
	if err != nil {
		return nil, err
	}
	heads := 1
	if len(n.Dims) == 4 {
		heads = n.Dims[2]
	}
	for l := range s.Layers {
		for h := range heads {
			for t := range r.Pairs.Seq {
				name := h
				if len(n.Dims) == 3 {
					name = -1
				}
				add(l, name, t, func(row int) float64 { return n.Loss[((row*s.Layers+l)*heads+h)*r.Pairs.Seq+t] })
			}
		}
	}
	return out, nil
}

// patched makes the report of effects.
func patched(n *table.Nodes, out string) *patchReport {
	p := &patchReport{Provenance: n.Provenance, Site: n.Site, Change: n.Corrupted - n.CleanLoss, Out: out}
	if n.Method == string(circuits.Denoise) {
		p.Change = -p.Change
	}
	for _, r := range n.Rows {
		s := placeScore{Layer: r.Layer, Head: r.Head, Position: r.Position, Effect: r.Effect}
		if p.Change != 0 {
			s.Share = r.Effect / p.Change
		}
		p.Places = append(p.Places, s)
	}
	return p
}
