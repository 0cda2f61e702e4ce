package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/circuits"
)

// checkReport is what `loupe circuits check` prints.
type checkReport struct {
	File        string                `json:"file"`
	Form        string                `json:"form"`
	Nodes       int                   `json:"nodes"`
	Edges       int                   `json:"edges"`
	Kept        int                   `json:"kept"`
	Pruned      int                   `json:"pruned"` // kept edges that lie on a path
	Unscored    int                   `json:"unscored"`
	Collisions  []string              `json:"collisions,omitempty"` // ids of an attribution graph that two nodes have
	Certificate *circuits.Certificate `json:"certificate,omitempty"`
	Model       string                `json:"model_digest,omitempty"` // "same" or "other" than the file's
}

// Print implements [outcome].
func (r *checkReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\t%s: %d nodes, %d edges, %d kept of which %d lie on a path from the input to the logits, %d without a score\n", r.File, r.Form, r.Nodes, r.Edges, r.Kept, r.Pruned, r.Unscored)
	if len(r.Collisions) > 0 {
		fmt.Fprintf(w, "ids\t%s name two nodes each, which no edge touches\n", strings.Join(r.Collisions, ", "))
	}
	if r.Model != "" {
		fmt.Fprintf(w, "weights\t%s than the file's\n", map[string]string{"same": "no others", "other": "others"}[r.Model])
	}
	if c := r.Certificate; c != nil {
		fmt.Fprintf(w, "do they add up?\tsum of %s %.4f, true change %.4f%s\n", c.Method, c.Sum, c.Change, addsUp(c.Sum, c.Change))
	}
	printCertificate(w, r.Certificate)
	return w.Flush()
}

func newCircuitsCheckCmd(a *app) *cobra.Command {
	f := newCircuitFlags()
	var how attributeFlags
	var ref string
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a circuit or graph file; with a model, the machinery and the file's origin",
		Long: `Read a file as every command does, which refuses unknown nodes and edges, edges that are named twice, ids that mean two nodes, damaged
files and numbers that are none, and print what is in it with the certificate that it carries. With --model the weights are compared with those
of the file, and the certificate is computed on the task: mask 0 is the plain model, mask 1 the corrupted one, the gradient is a finite
difference, padding changes nothing, and the scores' sum stands beside the true change.

` + circuitFileHelp + ` Attribution graphs (.json of circuit-tracer) are checked too.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, digest, err := checkFile(args[0])
			if err != nil {
				return err
			}
			if ref == "" {
				return a.printOutcome(r)
			}
			if err := f.certify(cmd.Context(), a, ref, &how, digest, r); err != nil {
				return err
			}
			if err := a.printOutcome(r); err != nil {
				return err
			}
			if r.Certificate == nil {
				return nil
			}
			return r.Certificate.Err()
		},
	}
	f.add(cmd)
	how.add(cmd)
	cmd.Flags().StringVar(&ref, "model", "", "model to hold the file against")
	return cmd
}

// checkFile reads a file, and returns the digest of the weights that it names.
func checkFile(path string) (*checkReport, string, error) {
	g, err := readGraph(path)
	if err != nil {
		return nil, "", err
	}
	r := &checkReport{File: path, Unscored: g.unscored}
	if g.Attribution != nil {
		r.Form, r.Nodes, r.Edges, r.Collisions = "attribution graph", len(g.Attribution.Nodes), len(g.Attribution.Links), g.Attribution.Collisions()
		r.Kept, r.Pruned = r.Edges, r.Edges
		return r, "", nil
	}
	r.Form = "circuit of loupe"
	if g.nodes != nil {
		r.Form = "circuit of EAP-IG"
	}
	pruned, _ := circuits.Prune(g.Of())
	r.Nodes, r.Edges, r.Kept, r.Pruned, r.Certificate = len(g.Graph.Senders)+1, len(g.Graph.Edges()), g.Of().Len(), pruned.Len(), g.Certificate
	return r, g.ModelDigest, nil
}

// certify computes a certificate on the task of the flags.
func (f *circuitFlags) certify(ctx context.Context, a *app, ref string, how *attributeFlags, digest string, r *checkReport) (err error) {
	run, err := f.open(ctx, a, ref)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.close()) }()
	if f.dry {
		r.Certificate = nil
		return nil
	}
	if digest != "" {
		r.Model = "other"
		if digest == run.Model.Digest {
			r.Model = "same"
		}
	}
	how.certify = true
	_, r.Certificate, err = how.score(ctx, run.Task)
	return err
}
