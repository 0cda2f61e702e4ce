package main

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"loupe/probe/store"
	"loupe/sae"
)

func newSAEEvalCmd(a *app) *cobra.Command {
	var site, split string
	var tokens int64
	var special bool
	cmd := &cobra.Command{
		Use:   "eval SAE STORE",
		Short: "Measure how well a sparse autoencoder reconstructs a store's activations",
		Long: "Measure a sparse autoencoder (a folder in SAELens's format) on rows of a store, chosen at random by a fixed seed.\n" +
			"The site is the one that the SAE names, unless --site says otherwise.",
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if tokens < 1 {
				return usagef("--tokens is %d; it must be at least 1", tokens)
			}
			s, err := sae.Load(args[0])
			if err != nil {
				return err
			}
			if site == "" {
				name, ok := s.Metadata["hook_name"].(string)
				if !ok {
					return usagef("%s does not say which site it is for; give --site", args[0])
				}
				site = name
			}
			st, err := store.Open(args[1], store.OpenOptions{})
			if err != nil {
				return err
			}
			defer st.Close()
			b, err := a.open()
			if err != nil {
				return err
			}
			res, err := evalOnStore(cmd.Context(), b, s, st, site, store.Select{ExcludeSpecial: !special, Split: split}, tokens)
			if err != nil {
				return err
			}
			return a.printSAE(args[0], s, &res)
		},
	}
	cmd.Flags().StringVar(&site, "site", "", "site of the store (default: the SAE's own)")
	cmd.Flags().StringVar(&split, "split", "", "split of the documents to measure on (default: all)")
	cmd.Flags().Int64Var(&tokens, "tokens", 200_000, "rows to measure on, at most")
	cmd.Flags().BoolVar(&special, "special", false, "include the rows of special tokens")
	return cmd
}

// evalOnStore measures s on at most tokens different rows, a fixed random sample of the selection.
func evalOnStore(ctx context.Context, b compute.Backend, s *sae.SAE, st *store.Store, site string, sel store.Select, tokens int64) (sae.Result, error) {
	const seed, batch = 0xe5a1, 1024
	src, err := sae.NewStoreSource(ctx, st, []string{site}, sel, seed)
	if err != nil {
		return sae.Result{}, err
	}
	rows, width, err := sae.Join(src, site)
	if err != nil {
		return sae.Result{}, err
	}
	if width != s.DIn {
		return sae.Result{}, fmt.Errorf("the SAE has d_in %d, but %s of the store has %d dimensions; name another site", s.DIn, site, width)
	}
	return sae.Evaluate(ctx, b, s, rows, batch, min(tokens, src.Count()))
}
