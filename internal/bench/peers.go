package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// Peer is a case of a peers' script: its name there and the script, a file of Options.PeerScripts or of the kind's own.
type Peer struct{ Name, Script string }

// outcome is what a line says of a run.
type outcome struct {
	Rate    float64 `json:"tokens_per_s"`
	Seconds float64 `json:"seconds"`
	Peak    float64 `json:"peak_rss_mib"`
	Error   string  `json:"error"`
}

// speed is a number that is larger for a faster run, 0 for one that failed.
func (r outcome) speed() float64 {
	if r.Rate == 0 && r.Seconds > 0 {
		return 1 / r.Seconds
	}
	return r.Rate
}

// runPeer runs one case of a peers' script and returns its line.
func runPeer(ctx context.Context, k Kind, o Options, p Peer, c Case, errw io.Writer) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	script := filepath.Join(o.PeerScripts, p.Script)
	if text, own := k.Scripts[p.Script]; own {
		dir, err := os.MkdirTemp("", "loupe-bench-")
		if err != nil {
			return "", fmt.Errorf("bench: %w", err)
		}
		defer os.RemoveAll(dir)
		script = filepath.Join(dir, p.Script)
		if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("bench: %w", err)
		}
	}
	id := Case{p.Name, c.Fields}.ID()
	cmd := exec.CommandContext(ctx, o.Python, script, "--threads", fmt.Sprint(o.Threads), "--seconds", fmt.Sprint(o.Seconds), "--steps", fmt.Sprint(o.Steps),
		"--warmup", fmt.Sprint(o.PeerWarmup), "--device", o.Device, "--cases", id)
	if k.PeerArgs != nil {
		cmd.Args = append(cmd.Args, k.PeerArgs(o)...)
	}
	cmd.Env = append(os.Environ(), "PYTHONPATH="+o.PeerScripts)
	cmd.Stderr = errw
	text, err := cmd.Output()
	line, found := resultLine(text)
	if !found {
		return "", fmt.Errorf("%s %s printed no result: %w", p.Script, id, errors.Join(err, ctx.Err()))
	}
	return line, nil
}

// comparison collects the outcomes of the rounds.
type comparison struct {
	pairs  []pair
	failed int
}

// pair is a case beside one peer, round by round; a case without a peer has a pair of its own.
type pair struct {
	own          Case
	peer         string
	mine, theirs []outcome
}

func (t *comparison) add(own Case, peer string, mine, theirs outcome) {
	i := slices.IndexFunc(t.pairs, func(p pair) bool { return p.own.ID() == own.ID() && p.peer == peer })
	if i < 0 {
		i = len(t.pairs)
		t.pairs = append(t.pairs, pair{own: own, peer: peer})
	}
	t.pairs[i].mine, t.pairs[i].theirs = append(t.pairs[i].mine, mine), append(t.pairs[i].theirs, theirs)
}

// table prints, for each case and peer, medians over the rounds; the ratio is the median of those of the rounds.
func (t *comparison) table(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "case\tloupe\tMiB\tpeer\tits rate\tMiB\tratio\trounds")
	number := func(v float64) string {
		if v >= 100 {
			return fmt.Sprintf("%.0f", v)
		}
		return fmt.Sprintf("%.3g", v)
	}
	for _, p := range t.pairs {
		var mine, theirs, ratio, peak, peerPeak []float64
		for i := range p.mine {
			if p.mine[i].speed() > 0 {
				mine, peak = append(mine, p.mine[i].speed()), append(peak, p.mine[i].Peak)
			}
			if p.theirs[i].speed() > 0 {
				theirs, peerPeak = append(theirs, p.theirs[i].speed()), append(peerPeak, p.theirs[i].Peak)
				if p.mine[i].speed() > 0 {
					ratio = append(ratio, p.mine[i].speed()/p.theirs[i].speed())
				}
			}
		}
		cell := func(x []float64) string {
			if len(x) == 0 {
				return "-"
			}
			return number(median(x))
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", p.own.ID(), cell(mine), cell(peak), p.peer, cell(theirs), cell(peerPeak), cell(ratio), len(p.mine))
	}
	return tab.Flush()
}

// outcomeOf reads a line.
func outcomeOf(line string) outcome {
	var r outcome
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		r.Error = err.Error()
	}
	return r
}

// resultLine finds the result among what a case's process printed.
func resultLine(text []byte) (string, bool) {
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, `{"bench"`) {
			return strings.TrimSpace(line), true
		}
	}
	return "", false
}
