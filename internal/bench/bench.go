// Package bench times loupe on the cases of peer benchmarks and prints one JSON line per case.
//
// # Overview
//
// A Kind lists its cases; each case runs in a process of its own, so that peak memory and thread pools belong to it
// alone, and prints the line that a peer's script prints for the same work: equal bench name, case keys and values, so
// that lines of both can be laid side by side. docs/performance.md says what a fair run is.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Options are the common flags of all kinds.
type Options struct {
	Threads   int
	Seconds   float64 // timed seconds per case; a case ends at the first step past them
	Steps     int     // at most this many timed steps; 0: no limit but Seconds
	Warmup    int     // untimed steps
	Device    string  // cpu or cuda
	Cases     string  // selections: peer, peer: or peer:k=v,k=v, separated by semicolons
	List      bool
	Out       string        // append the lines to this file too
	Timeout   time.Duration // one case is given up after this time
	MiniLM    string        // model folder
	EAPSource string        // checkout of EAP-IG for its cases of `loupe bench circuits`; "": they fail
	SmolLM2   string        // GGUF file
	MiB       int           // size of the store
	Dir       string        // where scratch stores are made; "" is the temporary folder
	Engine    string        // of training; "auto" measures

	// Rounds is how often all cases run; with Python, the interpreter of the peers' environment, each case's peers run
	// after it in every round, from the scripts in PeerScripts, with PeerWarmup untimed steps.
	Rounds      int
	Python      string
	PeerScripts string
	PeerWarmup  int
}

// Field is one key and value of a case; their order is the printed order.
type Field struct {
	Key   string
	Value any
}

// Case is one timed piece of work.
type Case struct {
	Peer   string
	Fields []Field
}

// Get returns the value of a key as text, "" without it.
func (c Case) Get(key string) string {
	for _, f := range c.Fields {
		if f.Key == key {
			return fmt.Sprint(f.Value)
		}
	}
	return ""
}

// ID is the case's name on the command line: peer:k=v,k=v.
func (c Case) ID() string {
	pairs := make([]string, len(c.Fields))
	for i, f := range c.Fields {
		pairs[i] = fmt.Sprintf("%s=%v", f.Key, f.Value)
	}
	return c.Peer + ":" + strings.Join(pairs, ",")
}

// MarshalJSON prints the fields as an object in their order.
func (c Case) MarshalJSON() ([]byte, error) { return object(c.Fields) }

func object(fields []Field) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteString(", ")
		}
		value, err := json.Marshal(f.Value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q: %s", f.Key, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Kind is one benchmark: Bench is the name that the peers' script prints.
type Kind struct {
	Name  string
	Bench string
	Cases func(Options) []Case
	// Run times one case and returns the fields that follow the case: a rate or seconds first.
	Run func(ctx context.Context, o Options, c Case) ([]Field, error)
	// Peers lists what to lay beside a case, with equal fields; Scripts are those that are not among the peers' own, by
	// name, and PeerArgs what they want besides the common flags. Nil: nothing.
	Peers    func(Case) []Peer
	PeerArgs func(Options) []string
	Scripts  map[string]string
}

// selects tells whether wanted ("peer", "peer:" or "peer:k=v,k=v", each part may be left out) names the case. All
// listed pairs must be equal; the peer must be equal when it ends with a colon, else contained.
func selects(wanted string, c Case) bool {
	name, pairs, colon := strings.Cut(wanted, ":")
	switch {
	case colon:
		if name != "" && name != c.Peer {
			return false
		}
	case strings.Contains(wanted, "="):
		pairs = wanted
	default:
		return strings.Contains(c.Peer, wanted)
	}
	for pair := range strings.SplitSeq(pairs, ",") {
		if k, v, _ := strings.Cut(pair, "="); pair != "" && c.Get(k) != v {
			return false
		}
	}
	return true
}

// chosen lists the selected cases.
func chosen(all []Case, selection string) []Case {
	var out []Case
	for _, c := range all {
		wanted := strings.Split(selection, ";")
		if selection == "" || slices.ContainsFunc(wanted, func(w string) bool { return w != "" && selects(w, c) }) {
			out = append(out, c)
		}
	}
	return out
}

// Main lists or runs the cases of a kind. Each case is run by child, a command line of this program to which the case's
// id is appended; its line goes to out, and after several rounds or beside peers a table of medians. An error says how
// many runs failed.
func Main(ctx context.Context, k Kind, o Options, child []string, out, errw io.Writer) (err error) {
	cases := chosen(k.Cases(o), o.Cases)
	if o.List {
		for _, c := range cases {
			if _, err := fmt.Fprintln(out, c.ID()); err != nil {
				return err
			}
		}
		return nil
	}
	table := out // not in the file of lines
	if len(cases) == 0 {
		return fmt.Errorf("bench: no case of %s is selected by %q; --list prints them", k.Name, o.Cases)
	}
	if o.Out != "" {
		file, openErr := os.OpenFile(o.Out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if openErr != nil {
			return fmt.Errorf("bench: %w", openErr)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = io.MultiWriter(out, file)
	}
	var all comparison
	put := func(line string) error {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		return ctx.Err()
	}
	compares := false
	for range max(o.Rounds, 1) {
		for _, c := range cases {
			line, err := runChild(ctx, o, child, c, errw)
			if line, err = lineOrError(k, c, line, err, &all.failed); err != nil {
				return err
			}
			if err := put(line); err != nil {
				return err
			}
			mine := outcomeOf(line)
			if o.Python == "" || k.Peers == nil || len(k.Peers(c)) == 0 {
				all.add(c, "", mine, outcome{})
				continue
			}
			compares = true
			for _, p := range k.Peers(c) {
				line, err := runPeer(ctx, k, o, p, c, errw)
				if line, err = lineOrError(k, Case{p.Name, c.Fields}, line, err, &all.failed); err != nil {
					return err
				}
				if err := put(line); err != nil {
					return err
				}
				all.add(c, p.Name, mine, outcomeOf(line))
			}
		}
	}
	if compares || o.Rounds > 1 {
		if err := all.table(table); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	if all.failed > 0 {
		return fmt.Errorf("bench: %d runs failed; their lines say why", all.failed)
	}
	return nil
}

// lineOrError returns the line of a run, or one that says why there is none.
func lineOrError(k Kind, c Case, line string, failure error, failed *int) (string, error) {
	if failure == nil {
		return line, nil
	}
	*failed++
	b, err := object([]Field{{"bench", k.Bench}, {"peer", c.Peer}, {"case", c}, {"error", failure.Error()}})
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	return string(b), nil
}

// runChild runs one case in a process of its own and returns its line.
func runChild(ctx context.Context, o Options, child []string, c Case, errw io.Writer) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, child[0], append(slices.Clone(child[1:]), c.ID())...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", o.Threads))
	cmd.Stderr = errw
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("the case's process ended with: %w", err)
	}
	if line, found := resultLine(text); found {
		return line, nil
	}
	return "", errors.New("the case's process printed no result")
}

// One runs the case with this id in this process and prints its line to out.
func One(ctx context.Context, k Kind, o Options, id, version string, out io.Writer) error {
	for _, c := range k.Cases(o) {
		if c.ID() != id {
			continue
		}
		fields, err := k.Run(ctx, o, c)
		if err != nil {
			return err
		}
		line := append([]Field{{"bench", k.Bench}, {"peer", c.Peer}, {"version", version}, {"case", c}}, fields...)
		line = append(line, Field{"threads", o.Threads}, Field{"device", o.Device}, Field{"peak_rss_mib", peakRSS()})
		b, err := object(line)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		_, err = fmt.Fprintln(out, string(b))
		return err
	}
	return fmt.Errorf("bench: no case %q in %s", id, k.Name)
}
