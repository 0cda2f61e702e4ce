package main

import (
	"strings"

	"github.com/spf13/cobra"

	"loupe/vectors/fitting"
)

func newVectorsFitCmd(a *app) *cobra.Command {
	f := runFlags{command: "loupe vectors fit", kind: fitting.Kind}
	var modelRef string
	var concepts, sites, positions, methods []string
	cmd := &cobra.Command{
		Use:   "fit [CONFIG]",
		Short: "Fit concept directions and erasers, and save them with their provenance",
		Long: `Fit vectors to labelled activations, show what each reads on held-out texts beside the same method fitted to shuffled labels, and
save them in the run folder's weights/: NAME.safetensors and NAME.json, the card that says which model, layer, site and position the
vector is of, what it was fitted on and what it reads.

CONFIG is a file of kind vectors (` + "`loupe config schema vectors`" + ` describes its keys). Without one, --model, --site and --concept say what
is read; the store is then captured into stores/.

  loupe vectors fit --model minilm --site blocks.3.hook_resid_post --concept animals --method diff-means,leace`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d configurations; usage: %s", len(args), cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path := ""
			if len(args) == 1 {
				path = args[0]
			} else if modelRef == "" || len(sites) == 0 || len(concepts) == 0 {
				return usagef("without CONFIG, --model, --site and --concept are needed; usage: %s", cmd.UseLine())
			}
			list := func(v []string) string { return "[" + strings.Join(v, ", ") + "]" }
			var set []string
			if modelRef != "" {
				set = append(set, "data.capture.model="+modelRef)
			}
			for _, v := range []struct {
				key    string
				values []string
			}{{"data.sites", sites}, {"data.positions", positions}, {"data.target.values", concepts}, {"methods", methods}} {
				if len(v.values) > 0 {
					set = append(set, v.key+"="+list(v.values))
				}
			}
			if path == "" {
				set = append(set, "name=vectors-"+strings.Join(concepts, "-"))
			}
			own := f
			own.set = append(set, f.set...)
			return a.runExperiment(cmd.Context(), path, own)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&modelRef, "model", "", "model whose activations are captured")
	flags.StringSliceVar(&sites, "site", nil, "sites, such as blocks.3.hook_resid_post")
	flags.StringSliceVar(&positions, "position", nil, "mean (default), first, last, cls, span-mean, span-first, span-last or a number")
	flags.StringSliceVar(&concepts, "concept", nil, "concepts of the built-in suite")
	flags.StringSliceVar(&methods, "method", nil, "methods (default diff-means)")
	return cmd
}
