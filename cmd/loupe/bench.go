package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"loupe/internal/backend"
	"loupe/internal/bench"
	"loupe/sae"
)

func benchKinds() []bench.Kind {
	return []bench.Kind{bench.Forward(), bench.Store(), bench.Sweep(), bench.SAE(), bench.Vectors(), bench.Generate(), bench.Erase(), bench.Circuits()}
}

func newBenchCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench KIND",
		Short: "Time loupe on the cases of the peers' benchmarks",
		Long: "Time loupe and print one JSON line per case, with the case keys of the peers' scripts, so that lines can be laid side by side.\n" +
			"docs/performance.md says what a fair run is.",
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return usagef("unknown benchmark %q; `loupe bench --help` lists them", args[0])
		},
	}
	for _, k := range benchKinds() {
		cmd.AddCommand(newBenchKindCmd(a, k))
	}
	return cmd
}

func newBenchKindCmd(a *app, k bench.Kind) *cobra.Command {
	o := bench.Options{}
	var one string
	cmd := &cobra.Command{
		Use:   k.Name,
		Short: "Time the cases of " + k.Name,
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Threads < 1 || o.Seconds < 0 || o.Steps < 0 || o.Warmup < 0 || o.PeerWarmup < 0 || o.MiB < 1 || o.Rounds < 1 {
				return usagef("--threads, --mib and --rounds must be positive, --seconds, --steps and the warm-ups not negative")
			}
			if (o.Python == "") != (o.PeerScripts == "") {
				return usagef("--python and --peers go together")
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			if one != "" {
				if err := bench.Limit(o.Threads, self, os.Args[1:], os.Environ()); err != nil {
					return err
				}
				return bench.One(cmd.Context(), k, o, one, "loupe "+buildVersion().Version, a.out)
			}
			child := []string{
				self, "bench", k.Name, "--threads", strconv.Itoa(o.Threads), "--seconds", strconv.FormatFloat(o.Seconds, 'g', -1, 64),
				"--steps", strconv.Itoa(o.Steps), "--warmup", strconv.Itoa(o.Warmup), "--device", o.Device, "--minilm-dir", o.MiniLM,
				"--smollm2-gguf", o.SmolLM2, "--mib", strconv.Itoa(o.MiB), "--dir", o.Dir, "--engine", o.Engine, "--one",
			}
			return bench.Main(cmd.Context(), k, o, child, a.out, a.err)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Threads, "threads", runtime.NumCPU(), "processors given to loupe")
	flags.Float64Var(&o.Seconds, "seconds", 10, "timed seconds per case (a case ends at the first step past this)")
	flags.IntVar(&o.Steps, "steps", 0, "at most this many timed steps per case; 0: no limit but --seconds")
	flags.IntVar(&o.Warmup, "warmup", 2, "untimed steps before the clock starts")
	flags.StringVar(&o.Device, "device", "cpu", "cpu or cuda")
	flags.StringVar(&o.Cases, "cases", "", "semicolon-separated selections: peer, peer: or peer:k=v,k=v (all listed pairs must be equal)")
	flags.BoolVar(&o.List, "list", false, "print the case ids and stop")
	flags.StringVar(&o.Out, "out", "", "also append the JSON lines to this file")
	flags.DurationVar(&o.Timeout, "case-timeout", 30*time.Minute, "time after which one case is given up")
	flags.StringVar(&o.MiniLM, "minilm-dir", cached("minilm"), "folder of all-MiniLM-L6-v2")
	flags.StringVar(&o.SmolLM2, "smollm2-gguf", cached("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"), "SmolLM2-135M-Instruct GGUF file")
	flags.StringVar(&o.EAPSource, "eap-src", "", "checkout of EAP-IG, the folder that holds src/eap, for peers of `loupe bench circuits`")
	flags.IntVar(&o.MiB, "mib", 256, "store size of `loupe bench store`")
	flags.StringVar(&o.Dir, "dir", "", "folder to make scratch stores in; default: the temporary folder")
	flags.StringVar(&o.Engine, "engine", sae.EngineAuto, "engine of `loupe bench sae`")
	flags.IntVar(&o.Rounds, "rounds", 1, "how often all cases run, for medians")
	flags.StringVar(&o.Python, "python", "", "run the peers of each case too, with this interpreter of their environment")
	flags.StringVar(&o.PeerScripts, "peers", "", "folder of the peers' scripts")
	flags.IntVar(&o.PeerWarmup, "peer-warmup", 1, "untimed steps of a peer")
	flags.StringVar(&one, "one", "", "run one case in this process")
	if err := flags.MarkHidden("one"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// cached returns the path of a default model's file in the cache, "" when it is not there.
func cached(elem ...string) string {
	home, err := backend.Home()
	if err != nil {
		return ""
	}
	path := filepath.Join(append([]string{home, "models"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
