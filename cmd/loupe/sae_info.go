package main

import (
	"fmt"
	"math"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/sae"
)

// saeInfo is what `loupe sae info` prints.
type saeInfo struct {
	Path      string         `json:"path"`
	Format    string         `json:"format"`
	Arch      string         `json:"architecture"`
	DIn       int            `json:"d_in"`
	DOut      int            `json:"d_out"`
	DSAE      int            `json:"d_sae"`
	K         int            `json:"k,omitempty"`
	Params    int            `json:"parameters"`
	Subtract  bool           `json:"apply_b_dec_to_input"`
	Normalize string         `json:"normalize_activations"`
	Rescale   bool           `json:"rescale_acts_by_decoder_norm"`
	DecNorm   [3]float64     `json:"decoder_norms"` // least, mean, greatest
	Threshold *[3]float64    `json:"thresholds,omitempty"`
	Metadata  map[string]any `json:"metadata"`
}

func newSAEInfoCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "info SAE",
		Short: "Show what a sparse autoencoder is: format, architecture, sizes, where it belongs",
		Long:  "Show what a sparse autoencoder is. " + saeRef,
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, format, err := readCoder(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s, ok := c.(*sae.SAE); ok {
				return a.printSAEInfo(infoOf(args[0], format, s))
			}
			return a.printSitesInfo(sitesInfoOf(args[0], format, c))
		},
	}
}

func infoOf(path, format string, s *sae.SAE) saeInfo {
	info := saeInfo{
		Path: path, Format: format, Arch: s.Arch, DIn: s.DIn, DOut: s.Width(), DSAE: s.DSAE, K: s.K,
		Subtract: s.ApplyBDecToInput, Normalize: s.Normalize, Rescale: s.RescaleByDecoder, Metadata: s.Metadata,
	}
	for _, t := range [][]float32{s.WEnc, s.WDec, s.BEnc, s.BDec, s.Threshold, s.BGate, s.BMag, s.RMag, s.WSkip} {
		info.Params += len(t)
	}
	norms := make([]float32, s.DSAE)
	for i := range norms {
		sum := 0.0
		for _, v := range s.Decoder(i) {
			sum += float64(v) * float64(v)
		}
		norms[i] = float32(math.Sqrt(sum))
	}
	info.DecNorm = spread(norms)
	if s.Threshold != nil {
		t := spread(s.Threshold)
		info.Threshold = &t
	}
	return info
}

// spread returns the least, the mean and the greatest of values.
func spread(values []float32) [3]float64 {
	out := [3]float64{math.Inf(1), 0, math.Inf(-1)}
	for _, v := range values {
		out[0], out[2] = min(out[0], float64(v)), max(out[2], float64(v))
		out[1] += float64(v) / float64(len(values))
	}
	return out
}

func (a *app) printSAEInfo(i saeInfo) error {
	if a.json {
		return a.printJSON(i)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "SAE\t%s\nformat\t%s\narchitecture\t%s\n", i.Path, i.Format, i.Arch)
	fmt.Fprintf(w, "d_in, d_sae\t%d, %d\n", i.DIn, i.DSAE)
	if i.DOut != i.DIn {
		fmt.Fprintf(w, "d_out\t%d\n", i.DOut)
	}
	if i.K > 0 {
		fmt.Fprintf(w, "k\t%d\n", i.K)
	}
	fmt.Fprintf(w, "parameters\t%d\nb_dec subtracted\t%t\nnormalisation\t%s\n", i.Params, i.Subtract, i.Normalize)
	fmt.Fprintf(w, "decoder norms\t%.4g to %.4g, mean %.4g\n", i.DecNorm[0], i.DecNorm[2], i.DecNorm[1])
	if t := i.Threshold; t != nil {
		fmt.Fprintf(w, "thresholds\t%.4g to %.4g, mean %.4g\n", t[0], t[2], t[1])
	}
	for _, key := range []string{"model_name", "hook_name", "hook_name_out", "context_size", "prepend_bos", "dataset_path"} {
		if v := i.Metadata[key]; v != nil {
			fmt.Fprintf(w, "%s\t%v\n", key, v)
		}
	}
	return w.Flush()
}
