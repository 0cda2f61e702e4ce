package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"loupe/internal/config"
	"loupe/internal/progress"
	"loupe/probe/capture"
)

func newCaptureConfig() any {
	c := capture.DefaultConfig()
	return &c
}

func newCaptureCmd(a *app) *cobra.Command {
	var set []string
	var dry bool
	var opt capture.RunOptions
	cmd := &cobra.Command{
		Use:   "capture CONFIG",
		Short: "Run a model over a corpus and write activations to a store",
		Long: `Run a model over a corpus and write the activations of chosen sites to an activation store.

CONFIG is a file of kind capture (` + "`loupe config schema capture`" + ` describes its keys). A capture that was
interrupted, killed or out of disk is continued with --resume and ends in the same bytes as an unbroken one.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			loaded, err := a.loadConfig(configKinds(), config.Input{Path: args[0], Kind: capture.Kind, Set: set})
			if err != nil {
				return err
			}
			b, err := a.open()
			if err != nil {
				return err
			}
			c, err := capture.Open(cmd.Context(), b, *loaded.Value.(*capture.Config), a.log)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			if dry {
				return a.planCapture(cmd.Context(), c)
			}
			opt.Progress = func(total int64) progress.Progress {
				return progress.New(progress.Options{Label: "capture", Unit: "tokens", Total: total, Out: a.err, Log: a.log})
			}
			sum, err := c.Run(cmd.Context(), opt)
			if err != nil {
				return err
			}
			return a.printCapture(sum)
		},
	}
	addSetFlag(cmd, &set)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would be captured and what it would cost; write nothing")
	cmd.Flags().BoolVar(&opt.Resume, "resume", false, "continue an unfinished store; begin it if there is none")
	return cmd
}

// planCapture prints the plan of a capture.
func (a *app) planCapture(ctx context.Context, c *capture.Capture) error {
	p, err := c.Plan(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(p)
	}
	about := fmt.Sprintf("estimated from the first %d documents", p.Sampled)
	if p.Exact {
		about = "exact"
	}
	e := p.Estimate
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "model\t%s (%s), layers 0 to %d of %d, on %s\n", p.Model, p.Family, p.Layers-1, p.OfLayers, p.Backend)
	fmt.Fprintf(w, "corpus\t%s, %d documents\n", p.Corpus, p.Documents)
	fmt.Fprintf(w, "sequences\t%d of at most %d tokens, padded to %s\n", e.Sequences, p.MaxLength, strings.Trim(fmt.Sprint(p.Buckets), "[]"))
	fmt.Fprintf(w, "tokens\t%d (%s)\n", e.Tokens, about)
	fmt.Fprintf(w, "padding\t%.1f %% of what is computed\n", 100*e.Padding)
	fmt.Fprintf(w, "rows\t%d tokens, %d examples\n", e.Rows, e.Examples)
	for _, s := range p.Sites {
		fmt.Fprintf(w, "site\t%s, one %v of %s a %s, %s\n", s.Site, s.Shape, s.DType, s.Per, size(s.Bytes))
	}
	a.printLabels(w, p.Labels, p.LeftOut)
	fmt.Fprintf(w, "on disk\t%s\n", size(p.Bytes))
	fmt.Fprintf(w, "in memory\t%s a batch of captured values\n", size(p.BatchBytes))
	fmt.Fprintf(w, "compute\t%.3g FLOPs, %d compiles\n", e.FLOPs, e.Compiles)
	if len(p.MeasuredOn) > 0 {
		fmt.Fprintf(w, "time\t%s at %.0f tokens/s (one batch of %d x %d took %.3f s)\n",
			seconds(p.Seconds), p.PerSecond, p.MeasuredOn[0], p.MeasuredOn[1], p.Measured)
	}
	return w.Flush()
}

// printCapture prints what a capture did.
func (a *app) printCapture(s capture.Summary) error {
	if a.json {
		return a.printJSON(s)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "store\t%s\n", s.Store)
	if s.AlreadyComplete {
		fmt.Fprintf(w, "state\tcomplete already; nothing was done\n")
	}
	fmt.Fprintf(w, "rows\t%d tokens, %d examples, %d documents\n", s.Rows, s.Examples, s.Documents)
	fmt.Fprintf(w, "bytes\t%s in %d shards\n", size(s.Bytes), s.Shards)
	a.printLabels(w, s.Labels, s.LeftOut)
	if !s.AlreadyComplete {
		fmt.Fprintf(w, "documents\t%d truncated, %d without tokens\n", s.Truncated, s.Empty)
		fmt.Fprintf(w, "padding\t%.1f %% of %d cells in %d batches\n", 100*s.Padding, s.Cells, s.Batches)
		fmt.Fprintf(w, "compiles\t%d\n", s.Compiles)
		fmt.Fprintf(w, "speed\t%.0f tokens/s; %s in all\n", s.TokensPerSecond, seconds(s.Seconds))
	}
	fmt.Fprintf(w, "row digest\t%s\n", s.RowDigest)
	return w.Flush()
}

// printLabels prints the label columns of a store and what was left out of them.
func (a *app) printLabels(w io.Writer, kept, left []string) {
	if len(kept) > 0 {
		fmt.Fprintf(w, "labels\t%s\n", strings.Join(kept, ", "))
	}
	if len(left) > 0 {
		fmt.Fprintf(w, "left out\t%s: too many classes; name them in labels, with moments off, to keep them\n", strings.Join(left, ", "))
	}
}

// size is a number of bytes in words.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}

// seconds is a time in words.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d > 10*time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
