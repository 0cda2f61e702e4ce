package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBesidePeers runs two rounds of a case beside a peers' script, one of the kind's own and one that fails; shell
// scripts stand for all of them. The first peer is twice as slow in the first round and four times in the second.
func TestBesidePeers(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no /bin/sh")
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	self := write("self.sh", `echo '{"bench": "b", "peer": "loupe-x", "tokens_per_s": 100, "peak_rss_mib": 10}'`)
	write("theirs.py", `f=`+filepath.Join(dir, "seen")+`
if [ -e $f ]; then rate=25; else rate=50; fi
touch $f
[ "$PYTHONPATH" = `+dir+` ] && echo noise && echo '{"bench": "b", "peer": "slow", "args": "'"$*"'", "tokens_per_s": '$rate', "peak_rss_mib": 20}'`)
	k := Kind{
		Name: "k", Bench: "b", Cases: func(Options) []Case { return []Case{{"loupe-x", []Field{{"d", 4}}}} },
		Peers: func(Case) []Peer {
			return []Peer{{"slow", "theirs.py"}, {"timed", "own.py"}, {"broken", "none.py"}}
		},
		Scripts: map[string]string{"own.py": `echo '{"bench": "b", "peer": "timed", "seconds": 0.5}'`},
	}
	o := Options{Threads: 2, Seconds: 1, Device: "cpu", Timeout: time.Minute, Rounds: 2, Python: "/bin/sh", PeerScripts: dir, PeerWarmup: 1}
	var out, errs bytes.Buffer
	err := Main(t.Context(), k, o, []string{"/bin/sh", self}, &out, &errs)
	if err == nil || !strings.Contains(err.Error(), "2 runs failed") {
		t.Errorf("error %v, want 2 failed runs", err)
	}
	for _, want := range []string{"--threads 2", "--seconds 1", "--warmup 1", "--device cpu", "--cases slow:d=4"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the peer was not called with %q:\n%s", want, out.String())
		}
	}
	var rows [][]string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "loupe-x:d=4") {
			rows = append(rows, strings.Fields(line))
		}
	}
	want := [][]string{
		{"loupe-x:d=4", "100", "10", "slow", "37.5", "20", "3", "2"},
		{"loupe-x:d=4", "100", "10", "timed", "2", "0", "50", "2"},
		{"loupe-x:d=4", "100", "10", "broken", "-", "-", "-", "2"},
	}
	for i, row := range want {
		if i >= len(rows) || strings.Join(rows[i], " ") != strings.Join(row, " ") {
			t.Errorf("table row %d: want %q in\n%s", i, row, out.String())
		}
	}
}

// TestSAECases runs the two kinds of training cases at a small size.
func TestSAECases(t *testing.T) {
	for _, c := range []Case{
		{"loupe-topk", []Field{{"d", 8}, {"F", 32}, {"k", 2}, {"B", 24}}},
		{"loupe-many", []Field{{"d", 8}, {"F", 32}, {"k", 2}, {"B", 24}, {"saes", saeMany}}},
	} {
		cfg, err := saeConfig(Options{Engine: "host"}, c)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.DIn != 8 || cfg.DSAE != 32 || cfg.K != 2 || cfg.Batch != 24 || cfg.Arch != "topk" || cfg.Engine != "host" {
			t.Errorf("%s: configuration %+v", c.ID(), cfg)
		}
	}
	if _, err := saeConfig(Options{}, Case{"loupe-topk", nil}); err == nil {
		t.Error("a case without sizes is accepted")
	}
	if s := productSeconds(50, 70, 16, 2); !(s > 0) {
		t.Errorf("the product took %v seconds", s)
	}
}
