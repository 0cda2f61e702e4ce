package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"loupe/internal/hub"
	"loupe/sae"
)

// saeRef describes the argument that names an SAE.
const saeRef = "SAE is a folder or file of a format that loupe reads, or hf:org/name[@rev]/folder for one of the model hub."

func newSAEConvertCmd(a *app) *cobra.Command {
	var to string
	var force bool
	var names []string
	for _, f := range sae.Formats() {
		if f.Writes {
			names = append(names, f.Name)
		}
	}
	cmd := &cobra.Command{
		Use:   "convert SAE DST",
		Short: "Write a sparse autoencoder in another tool's format",
		Long: "Read a sparse autoencoder of any format and write it to DST in the format of --to: " + strings.Join(names, ", ") + ".\n" +
			"What the format cannot express is refused; where only the form has to change, that is said. " + saeRef,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(names, to) {
				return usagef("--to is %q; it must be one of %s", to, strings.Join(names, ", "))
			}
			if _, err := os.Stat(args[1]); err == nil && !force {
				return usagef("%s exists; choose another place or give --force", args[1])
			}
			c, from, err := readCoder(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			notes, err := sae.WriteCoder(c, args[1], to)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					From  string   `json:"from"`
					To    string   `json:"to"`
					Path  string   `json:"path"`
					Notes []string `json:"notes"`
				}{from, to, args[1], append([]string{}, notes...)})
			}
			var out strings.Builder
			fmt.Fprintf(&out, "%s: %s, converted from %s to %s\n", args[1], c.Shape().Arch, from, to)
			for _, n := range notes {
				fmt.Fprintf(&out, "note: %s\n", n)
			}
			_, err = fmt.Fprint(a.out, out.String())
			return err
		},
	}
	cmd.Flags().StringVar(&to, "to", sae.FormatSAELens, "format to write: "+strings.Join(names, ", "))
	cmd.Flags().BoolVar(&force, "force", false, "write over what is at DST")
	return cmd
}

// readCoder reads the SAE, crosscoder or cross-layer transcoder that a reference names.
func readCoder(ctx context.Context, ref string) (sae.Coder, string, error) {
	path, err := resolveSAE(ctx, ref)
	if err != nil {
		return nil, "", err
	}
	return sae.ReadCoder(path)
}

// isRemote tells whether a reference is one of the model hub.
func isRemote(ref string) bool { return strings.HasPrefix(ref, "hf:") }

// resolveSAE returns the folder or file of an SAE: a path as it is, or hf:org/name[@rev]/folder from the hub's cache,
// or else from the hub. Only the files of the SAE's format are fetched.
func resolveSAE(ctx context.Context, ref string) (string, error) {
	rest, isHub := strings.CutPrefix(ref, "hf:")
	if !isHub {
		return ref, nil
	}
	org, rest, _ := strings.Cut(strings.Replace(rest, "#", "/", 1), "/")
	name, inside, _ := strings.Cut(rest, "/")
	repo := "hf:" + org + "/" + name
	inside = strings.Trim(path.Clean("/"+inside), "/")
	if e := path.Ext(inside); e == ".pt" || e == ".npz" {
		return hub.Resolve(ctx, repo+"#"+inside, hub.Options{})
	}
	var tried []error
	for _, offline := range []bool{true, false} { // what is in the cache first: the network is not asked for other formats
		for _, f := range sae.Formats() {
			dir, err := resolveFiles(ctx, repo, inside, f.Files, hub.Options{Offline: offline})
			if err == nil && dir != "" {
				return dir, nil
			}
			if err != nil && (errors.Is(err, hub.ErrRef) || ctx.Err() != nil) {
				return "", err
			}
			if err != nil && !offline {
				tried = append(tried, err)
			}
		}
	}
	return "", fmt.Errorf("%s holds no SAE that was found; name its innermost folder, as in hf:org/name/layers.3: %w", ref, errors.Join(tried...))
}

// resolveFiles finds all of files in a folder of a repository and returns the folder.
func resolveFiles(ctx context.Context, repo, inside string, files []string, opt hub.Options) (dir string, err error) {
	for _, name := range files {
		file, err := hub.Resolve(ctx, repo+"#"+path.Join(inside, name), opt)
		if err != nil {
			return "", err
		}
		dir = filepath.Dir(file)
	}
	return dir, nil
}
