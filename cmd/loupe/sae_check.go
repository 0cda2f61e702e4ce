package main

import (
	"context"
	"fmt"
	"math"
	"text/tabwriter"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"loupe/internal/safetensors"
	"loupe/probe/store"
	"loupe/sae"
	"loupe/sae/evaluate"
)

// parity is a certificate: what an SAE computes beside what a golden file says.
type parity struct {
	SAE         string              `json:"sae"`
	Format      string              `json:"format"`
	Golden      string              `json:"golden,omitempty"`
	Backend     string              `json:"backend"`
	Comparisons []parityComparison  `json:"comparisons,omitempty"`
	Identity    *sae.IdentityReport `json:"identity,omitempty"`
	OK          bool                `json:"ok"`
}

// parityComparison compares one tensor.
type parityComparison struct {
	Name     string  `json:"name"`
	Compared int     `json:"compared"`
	MaxAbs   float64 `json:"max_abs"`
	Beyond   int     `json:"beyond_tolerance"`
	OK       bool    `json:"ok"`
}

func newSAECheckCmd(a *app) *cobra.Command {
	var golden, storeDir, site string
	var rtol, atol float64
	var rows int64
	cmd := &cobra.Command{
		Use:   "check SAE (--golden FILE | --store STORE)",
		Short: "Check a sparse autoencoder against reference outputs or against activations",
		Long: "With --golden, encode and decode the tensor x of a safetensors file and compare with its feature_acts and recon, which the\n" +
			"SAE's own tool made. With --store, test whether the SAE belongs to the activations of a store: how much of a sample it\n" +
			"leaves unexplained, and whether another site, scale, normalisation or treatment of special tokens fits far better.\n" +
			"The exit code is 1 when a check fails. " + saeRef,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if golden == "" && storeDir == "" {
				return usagef("nothing to check against; give --golden or --store")
			}
			if rtol < 0 || atol < 0 || rows < 2 {
				return usagef("--rtol %v, --atol %v and --rows %d: tolerances must not be negative, and two rows are needed", rtol, atol, rows)
			}
			c, format, err := readCoder(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			s, isSAE := c.(*sae.SAE)
			if storeDir != "" && !isSAE {
				return usagef("--store tests SAEs of one site; %s is a %s, which `loupe sae eval` measures", args[0], c.Shape().Arch)
			}
			b, err := a.open()
			if err != nil {
				return err
			}
			cert := parity{SAE: args[0], Format: format, Golden: golden, Backend: b.String(), OK: true}
			if golden != "" {
				reconstruct := c.Reconstruct
				if isSAE && s.Temporal == nil {
					run, err := sae.NewRunner(b, s, 256)
					if err != nil {
						return err
					}
					defer run.Close()
					reconstruct = func(x []float32) (sae.Latents, []float32, error) { return run.Reconstruct(cmd.Context(), x) }
				}
				if cert.Comparisons, err = compareGolden(reconstruct, c.Shape(), golden, rtol, atol); err != nil {
					return err
				}
			}
			if storeDir != "" {
				id, err := identifyOn(cmd.Context(), b, args[0], s, storeDir, site, rows)
				if err != nil {
					return err
				}
				cert.Identity, cert.OK = &id.IdentityReport, id.OK
			}
			for _, one := range cert.Comparisons {
				cert.OK = cert.OK && one.OK
			}
			if err := a.printParity(cert); err != nil {
				return err
			}
			if !cert.OK {
				return fmt.Errorf("%s did not pass", args[0])
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&golden, "golden", "", "safetensors file with x, feature_acts and recon")
	cmd.Flags().StringVar(&storeDir, "store", "", "activation store to test on")
	cmd.Flags().StringVar(&site, "site", "", "site of the store (default: the SAE's own)")
	cmd.Flags().Float64Var(&rtol, "rtol", 2e-5, "relative tolerance")
	cmd.Flags().Float64Var(&atol, "atol", 2e-5, "absolute tolerance")
	cmd.Flags().Int64Var(&rows, "rows", 2000, "rows of the store to test on, at most")
	return cmd
}

// compareGolden encodes and reconstructs a golden file's x and compares with its feature_acts and recon.
func compareGolden(reconstruct func(x []float32) (sae.Latents, []float32, error), sh sae.Shape, file string, rtol, atol float64) ([]parityComparison, error) {
	f, err := safetensors.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	read := func(name string, width int) ([]float32, error) {
		info, ok := f.Info(name)
		if !ok {
			return nil, fmt.Errorf("%s: tensor %s is missing; a golden file has x, feature_acts and recon", file, name)
		}
		if len(info.Shape) != 2 || info.Shape[1] != width {
			return nil, fmt.Errorf("%s: tensor %s has shape %v, want [rows, %d]", file, name, info.Shape, width)
		}
		return f.Float32(name)
	}
	x, err := read("x", sh.InSites*sh.DIn)
	if err != nil {
		return nil, err
	}
	acts, err := read("feature_acts", sh.Latents)
	if err != nil {
		return nil, err
	}
	recon, err := read("recon", sh.OutSites*sh.DOut)
	if err != nil {
		return nil, err
	}
	lat, out, err := reconstruct(x)
	if err != nil {
		return nil, err
	}
	dense := make([]float32, lat.Rows()*sh.Latents)
	for r := range lat.Rows() {
		index, value := lat.Row(r)
		for j, i := range index {
			if value[j] != 0 {
				dense[r*sh.Latents+int(i)] = value[j]
			}
		}
	}
	compare := func(name string, got, want []float32) (parityComparison, error) {
		if len(got) != len(want) {
			return parityComparison{}, fmt.Errorf("%s: %s has %d values for the %d of x's rows", file, name, len(want), len(got))
		}
		c := parityComparison{Name: name, Compared: len(want)}
		for i, w := range want {
			diff := math.Abs(float64(got[i]) - float64(w))
			c.MaxAbs = max(c.MaxAbs, diff)
			if !(diff <= atol+rtol*math.Abs(float64(w))) {
				c.Beyond++
			}
		}
		c.OK = c.Beyond == 0
		return c, nil
	}
	one, err := compare("feature_acts", dense, acts)
	if err != nil {
		return nil, err
	}
	two, err := compare("recon", out, recon)
	return []parityComparison{one, two}, err
}

// identifyOn tests whether an SAE belongs to a store.
func identifyOn(ctx context.Context, b compute.Backend, name string, s *sae.SAE, dir, site string, rows int64) (evaluate.Identity, error) {
	st, err := store.Open(dir, store.OpenOptions{})
	if err != nil {
		return evaluate.Identity{}, err
	}
	defer st.Close()
	d, err := evaluate.New(b, name, name, s)
	if err != nil {
		return evaluate.Identity{}, err
	}
	defer d.Close()
	if site != "" {
		d.Sites = []string{site}
	}
	if len(d.Sites) == 0 {
		return evaluate.Identity{}, usagef("the SAE does not say which site it is for; give --site")
	}
	if s.Transcoder() && !d.Transcoder() {
		return evaluate.Identity{}, usagef("the transcoder does not say which site it writes; its cfg.json needs hook_name_out")
	}
	return evaluate.Identify(ctx, b, d, st, rows)
}

func (a *app) printParity(c parity) error {
	if a.json {
		return a.printJSON(c)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	if c.Comparisons != nil {
		fmt.Fprintln(w, "TENSOR\tCOMPARED\tMAX ABS\tBEYOND\tRESULT")
		for _, t := range c.Comparisons {
			fmt.Fprintf(w, "%s\t%d\t%.2e\t%d\t%s\n", t.Name, t.Compared, t.MaxAbs, t.Beyond, map[bool]string{true: "ok", false: "FAIL"}[t.OK])
		}
	}
	if id := c.Identity; id != nil {
		fmt.Fprintln(w, "READING\tFVU\tL0")
		fmt.Fprintf(w, "as the SAE says, on %d rows of %s\t%.4f\t%.1f\n", id.Rows, id.Site, id.FVU, id.L0)
		for _, t := range id.Trials {
			fmt.Fprintf(w, "%s\t%.4f\t%.1f\n", t.What, t.FVU, t.L0)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if c.Identity != nil {
		for _, f := range c.Identity.Findings {
			if _, err := fmt.Fprintf(a.out, "finding: %s\n", f); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(a.out, "%s (%s): %s\n", c.SAE, c.Format, map[bool]string{true: "ok", false: "FAIL"}[c.OK])
	return err
}
