package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"loupe/internal/backend"
	"loupe/probe/model"
)

// app holds what every sub-command needs: results go to out, logs and progress to err.
type app struct {
	out, err    io.Writer
	log         *slog.Logger
	backendName string
	json        bool

	// backend and engine are set while one command runs several experiments, which then share compiled programs; else nil.
	backend compute.Backend
	engine  *model.Engine
}

// usageError is a wrong use of the command line: exit code 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run executes the command line and returns the exit code: 0, 1 (failure) or 2 (usage).
func run(ctx context.Context, args []string, out, errw io.Writer) int {
	a := &app{out: out, err: errw, log: slog.New(slog.NewTextHandler(errw, nil))}
	root := newRootCmd(a)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(errw, "loupe: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "loupe",
		Short:         "Find concepts inside language models and text encoders, edit them, and measure what is left",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; `loupe --help` lists the commands", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; `%s --help` lists the flags", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&a.backendName, "backend", "", "auto, xla:cuda, xla:cpu, xla:/path/to/plugin.so or go (default: $"+backend.EnvVar+", else auto)")
	flags.BoolVar(&a.json, "json", false, "print results as JSON")
	root.AddCommand(
		newVersionCmd(a),
		newBenchCmd(a),
		newSetupCmd(a),
		newDoctorCmd(a),
		newCompletionCmd(a),
		newModelCmd(a),
		newConfigCmd(a, configKinds()),
		newListCmd(a),
		newSAECmd(a),
		newProbeCmd(a),
		newVectorsCmd(a),
		newEvalCmd(a),
		newEraseCmd(a),
		newCircuitsCmd(a),
		newRunCmd(a),
		newCaptureCmd(a),
		newStoreCmd(a),
	)
	return root
}

// open opens the backend chosen by --backend, LOUPE_BACKEND or auto.
func (a *app) open() (compute.Backend, error) {
	if a.backend != nil {
		return a.backend, nil
	}
	return backend.Open(a.backendName)
}

// printJSON writes v to standard output as indented JSON.
func (a *app) printJSON(v any) error { return writeJSON(a.out, v) }

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// exactArgs is cobra.ExactArgs with a usage error (exit code 2).
func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(cmd, args); err != nil {
			return usagef("%w; usage: %s", err, cmd.UseLine())
		}
		return nil
	}
}
