package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/probe/model"
)

func newModelCheckCmd(a *app) *cobra.Command {
	var f modelFlags
	cmd := &cobra.Command{
		Use:   "check REF GOLDEN",
		Short: "Compare every tensor of a golden file with this program's: the parity certificate",
		Long: `Compare every expected tensor of GOLDEN, a golden.safetensors file or a folder that holds one, with what the model
computes here, and print the largest absolute and relative error of each against its tolerance. The relative error is
|a-b| / (1+|b|); only real tokens count. Exit code 1 if one is beyond its tolerance or could not be compared.
docs/make_golden.py makes such a file from any Hugging Face folder; docs/golden-models.md describes it. ` + refHelp,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			golden, err := goldenFile(args[1])
			if err != nil {
				return err
			}
			path, err := f.resolve(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			engine, m, err := f.load(cmd.Context(), a, path)
			if err != nil {
				return err
			}
			defer m.Params.Free()
			cert, err := model.Check(cmd.Context(), engine, m, golden)
			if err != nil {
				return err
			}
			if err := a.printCertificate(cert); err != nil {
				return err
			}
			if !cert.OK {
				return fmt.Errorf("model check: %s differs from %s; the lines marked FAIL say where", m.Name, golden)
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// goldenFile accepts a file, or a folder that holds golden.safetensors.
func goldenFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", usagef("%w; give a golden.safetensors file or its folder (docs/make_golden.py makes one)", err)
	}
	if !info.IsDir() {
		return path, nil
	}
	file := filepath.Join(path, "golden.safetensors")
	if _, err := os.Stat(file); err != nil {
		return "", usagef("%s holds no golden.safetensors; docs/make_golden.py makes one", path)
	}
	return file, nil
}

func (a *app) printCertificate(cert *model.Certificate) error {
	if a.json {
		return a.printJSON(cert)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TENSOR\tCOMPARED\tMAX ABS\tMAX REL\tTOLERANCE\tRESULT")
	failed := 0
	for _, c := range cert.Comparisons {
		result := "ok"
		if !c.OK {
			result = "FAIL"
			failed++
		}
		fmt.Fprintf(w, "%s\t%d\t%.2e\t%.2e\t%.0e\t%s\n", c.Name, c.Compared, c.MaxAbs, c.MaxRel, c.Tolerance, result)
	}
	for _, name := range slices.Sorted(maps.Keys(cert.Unchecked)) {
		fmt.Fprintf(w, "%s\t\t\t\t\tFAIL: %s\n", name, cert.Unchecked[name])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "%s (%s, %s): %d tensors compared, %d beyond tolerance, %d not compared\n",
		cert.Model, cert.Family, strings.TrimSpace(cert.Backend), len(cert.Comparisons), failed, len(cert.Unchecked))
	return err
}
