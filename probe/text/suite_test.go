package text

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

func suite(t testing.TB) *Suite {
	t.Helper()
	s, err := NewSuite()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func generate(t testing.TB, cfg GenerateConfig) []Labelled {
	t.Helper()
	out, err := suite(t).Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSuiteSize(t *testing.T) {
	s := suite(t)
	if n := len(s.Concepts()); n < 16 {
		t.Errorf("%d concepts, want at least 16", n)
	}
	for _, c := range s.Concepts() {
		words, err := s.Words(c)
		if err != nil {
			t.Fatal(err)
		}
		templates, err := s.Templates(c)
		if err != nil {
			t.Fatal(err)
		}
		if len(words) < 40 || len(templates) < 30 {
			t.Errorf("%s: %d words and %d templates, want at least 40 and 30", c, len(words), len(templates))
		}
	}
}

// TestGenerate checks what every set of generated sentences promises, over seeds and shares.
func TestGenerate(t *testing.T) {
	for _, cfg := range []GenerateConfig{
		{Seed: 0, Train: 200, HeldOut: 60, HeldOutShare: 0.3},
		{Seed: 1, Train: 200, HeldOut: 60, HeldOutShare: 0.3},
		{Seed: -7, Train: 200, HeldOut: 60, HeldOutShare: 0.3},
		{Seed: 2, Train: 60, HeldOut: 100, HeldOutShare: 0.5},
		{Seed: 3, Train: 40, HeldOut: 0, HeldOutShare: 0.2, Concepts: []string{"weather", "question"}},
	} {
		t.Run(fmt.Sprintf("seed=%d,share=%v", cfg.Seed, cfg.HeldOutShare), func(t *testing.T) {
			all := generate(t, cfg)
			concepts := cfg.Concepts
			if concepts == nil {
				concepts = suite(t).Concepts()
			}
			count := map[string]int{}
			texts, words, templates := map[string]bool{}, map[string]string{}, map[string]string{}
			for _, l := range all {
				count[fmt.Sprint(l.Concept, l.Split, l.Positive)]++
				if got := string([]rune(l.Text)[l.Span[0]:l.Span[1]]); got != l.Word {
					t.Errorf("%q: span %v holds %q, not %q", l.Text, l.Span, got, l.Word)
				}
				if texts[l.Text] {
					t.Errorf("%q occurs twice", l.Text)
				}
				texts[l.Text] = true
				for _, kept := range []struct {
					in  map[string]string
					key string
				}{{words, l.Entry}, {words, strings.ToLower(l.Word)}, {templates, l.Template}} {
					if old, ok := kept.in[kept.key]; ok && old != l.Split {
						t.Errorf("%q is in both splits", kept.key)
					}
					kept.in[kept.key] = l.Split
				}
				if l.Positive != (l.Category == l.Concept) {
					t.Errorf("%q: positive %v, but the word is of %s", l.Text, l.Positive, l.Category)
				}
			}
			for _, c := range concepts {
				for split, want := range map[string]int{Train: cfg.Train, HeldOut: cfg.HeldOut} {
					for _, positive := range []bool{true, false} {
						if got := count[fmt.Sprint(c, split, positive)]; got != want {
							t.Errorf("%s, %s, positive %v: %d sentences, want %d", c, split, positive, got, want)
						}
					}
				}
			}
			if want := 2 * len(concepts) * (cfg.Train + cfg.HeldOut); len(all) != want {
				t.Errorf("%d sentences, want %d", len(all), want)
			}
		})
	}
}

// TestNoShortcut scores every sentence by what a classifier could know of it without its word: the template, and
// the text around the word. Both must be exactly at chance: AUC 1/2 within each concept and split.
func TestNoShortcut(t *testing.T) {
	groups := map[string][]Labelled{}
	for _, l := range generate(t, DefaultGenerateConfig()) {
		groups[l.Concept+"/"+l.Split] = append(groups[l.Concept+"/"+l.Split], l)
	}
	for name, list := range groups {
		// The mark that ends a sentence is part of the concept question.
		around := func(l Labelled) string {
			before, after := l.around()
			if l.Concept == "question" {
				after = strings.TrimRight(after, ".?")
			}
			return before + "|" + after
		}
		for what, feature := range map[string]func(Labelled) string{
			"template":             func(l Labelled) string { return l.Template },
			"text around the word": around,
			"length around the word": func(l Labelled) string {
				return fmt.Sprintf("%04d", utf8.RuneCountInString(around(l)))
			},
		} {
			if got := aucOfShare(list, feature); got != 0.5 {
				t.Errorf("%s: %s alone has AUC %v, want exactly 0.5", name, what, got)
			}
		}
		if got := aucOfShare(list, func(l Labelled) string { return l.Word }); got != 1 {
			t.Errorf("%s: the word has AUC %v, want 1: the labels are wrong", name, got)
		}
	}
}

// aucOfShare is the AUC of the best score that knows only a feature: the share of positives among the sentences with
// the same feature. Ties count one half.
func aucOfShare(list []Labelled, feature func(Labelled) string) float64 {
	pos, all := map[string]int{}, map[string]int{}
	for _, l := range list {
		all[feature(l)]++
		if l.Positive {
			pos[feature(l)]++
		}
	}
	score := func(l Labelled) float64 { return float64(pos[feature(l)]) / float64(all[feature(l)]) }
	wins, pairs := 0.0, 0.0
	for _, p := range list {
		for _, n := range list {
			if !p.Positive || n.Positive {
				continue
			}
			pairs++
			switch a, b := score(p), score(n); {
			case a > b:
				wins++
			case a == b:
				wins += 0.5
			}
		}
	}
	return wins / pairs
}

func TestSeeds(t *testing.T) {
	cfg := GenerateConfig{Train: 30, HeldOut: 10, HeldOutShare: 0.3}
	first := generate(t, cfg)
	if again := generate(t, cfg); !slices.Equal(first, again) {
		t.Error("the same seed gave other sentences")
	}
	splits := func(list []Labelled) map[string]string {
		out := map[string]string{}
		for _, l := range list {
			out[l.Entry] = l.Split
		}
		return out
	}
	alone := cfg
	alone.Concepts = []string{"travel", "animals"}
	whole := splits(first)
	for word, split := range splits(generate(t, alone)) {
		if s, ok := whole[word]; ok && s != split {
			t.Errorf("%q changes its split with the list of concepts", word)
		}
	}
	other := cfg
	other.Seed = 1
	same, texts := 0, map[string]bool{}
	for _, l := range first {
		texts[l.Text] = true
	}
	for _, l := range generate(t, other) {
		if texts[l.Text] {
			same++
		}
	}
	if same > len(first)/5 {
		t.Errorf("%d of %d sentences of seed 1 are also of seed 0", same, len(first))
	}
}

// TestGoldenSuite compares sentences of a fixed seed with testdata, so that a change of the data or of the draw is seen.
func TestGoldenSuite(t *testing.T) {
	var b strings.Builder
	for _, l := range generate(t, GenerateConfig{Seed: 42, Train: 2, HeldOut: 1, HeldOutShare: 0.3}) {
		fmt.Fprintf(&b, "%s %s %d %v %v [%s] %s\n", l.Concept, l.Split, l.Pair, l.Positive, l.Span, l.Word, l.Text)
	}
	neutral, err := Neutral(42, 5)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, strings.Join(neutral, "\n"))
	golden := filepath.Join("testdata", "suite.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("sentences changed; if they were meant to, run the test with -update. got:\n%s", b.String())
	}
}

func TestPairs(t *testing.T) {
	list := generate(t, GenerateConfig{Seed: 5, Train: 40, HeldOut: 10, HeldOutShare: 0.3})
	pairs, err := Pairs(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(pairs) != len(list)/2 {
		t.Fatalf("%d pairs of %d sentences", len(pairs), len(list))
	}
	tense := 0
	for _, p := range pairs {
		a, b := []rune(p.Positive.Text), []rune(p.Negative.Text)
		for i := 0; i <= len(a); i++ {
			j, ok := p.Align.ToB(i)
			if inside := i > p.Align.ARange[0] && i < p.Align.ARange[1]; ok == inside {
				t.Fatalf("%q: offset %d inside the word: %v, mapped: %v", string(a), i, inside, ok)
			}
			if ok && i < p.Align.ARange[0] && a[i] != b[j] {
				t.Fatalf("%q and %q differ at %d before the word", string(a), string(b), i)
			}
			if ok && i >= p.Align.ARange[1] && i+1 < len(a) && a[i] != b[j] {
				t.Fatalf("%q and %q differ at %d and %d after the word", string(a), string(b), i, j)
			}
		}
		if end, ok := p.Align.ToB(len(a)); !ok || end != len(b) {
			t.Fatalf("%q: its end maps to %d, not %d", string(a), end, len(b))
		}
		if p.SameLength() != (len(a) == len(b)) {
			t.Errorf("%q and %q: SameLength is %v", string(a), string(b), p.SameLength())
		}
		if p.Positive.Concept == "past-tense" {
			tense++
			if p.Positive.Entry != p.Negative.Entry {
				t.Errorf("%q and %q are not of one verb", p.Positive.Text, p.Negative.Text)
			}
		}
	}
	if tense != 50 {
		t.Errorf("%d pairs of past-tense, want 50", tense)
	}
	if _, err := Pairs(list[1:]); err == nil {
		t.Error("sentences out of order were paired")
	}
	if _, err := Align(list[0], list[3]); err == nil {
		t.Error("sentences of two templates were aligned")
	}
}

func TestFill(t *testing.T) {
	for _, c := range []struct {
		template, word, text, in string
		start                    int
	}{
		{"He saw {a} there.", "wolf/wolves", "He saw a wolf there.", "wolf", 9},
		{"He saw {a} there.", "owl+", "He saw an owl there.", "owl", 10},
		{"He saw {a} there.", "an:heir+", "He saw an heir there.", "heir", 10},
		{"He saw {a} there.", "a:ukulele+", "He saw a ukulele there.", "ukulele", 9},
		{"{a} sat down.", "owl+", "An owl sat down.", "owl", 3},
		{"{np} sat down.", "fox+es", "Foxes sat down.", "Foxes", 0},
		{"{np} sat down.", "éclair+", "Éclairs sat down.", "Éclairs", 0},
		{"Été: {np}.", "fiancé+", "Été: fiancés.", "fiancés", 5},
		{"It is about {np}.", "fog", "It is about fog.", "fog", 12},
		{"This {one} fell.", "leaf/leaves", "This leaf fell.", "leaf", 5},
		{"{x} close it{mark}", "could you please?", "Could you please close it?", "Could you please", 0},
		{"{x} close it{mark}", "you must", "You must close it.", "You must", 0},
	} {
		tpl, err := parseTemplate("f", c.template)
		if err != nil {
			t.Fatal(err)
		}
		w := parseWord(c.word)
		if !tpl.fits(w) {
			t.Errorf("%s does not fit %s", c.word, c.template)
		}
		text, span := tpl.fill(w)
		if text != c.text || span[0] != c.start || string([]rune(text)[span[0]:span[1]]) != c.in {
			t.Errorf("%s with %s: %q %v, want %q with %q at %d", c.template, c.word, text, span, c.text, c.in, c.start)
		}
	}
	for _, c := range []struct{ template, word string }{{"He saw {a}.", "fog"}, {"This {one}.", "fog"}} {
		tpl, err := parseTemplate("f", c.template)
		if err != nil {
			t.Fatal(err)
		}
		if tpl.fits(parseWord(c.word)) {
			t.Errorf("%s fits %s", c.word, c.template)
		}
	}
}

func TestSuiteErrors(t *testing.T) {
	good := fstest.MapFS{
		"frames/f.txt":   {Data: []byte("About {np}.\nOn {np}.\n")},
		"words/bird.txt": {Data: []byte("frames: f\nconcept: yes\n\nowl+; hen+; duck+\n")},
		"words/tool.txt": {Data: []byte("frames: f\n\nsaw+; axe+; rake+\n")},
	}
	if _, err := OpenSuite(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ file, body, want string }{
		"two slots":      {"frames/f.txt", "{np} and {np}.", "frames/f.txt: line 1: \"{np} and {np}.\" has 2 slots"},
		"no slot":        {"frames/f.txt", "# x\nHello.", "line 2: \"Hello.\" has 0 slots"},
		"unknown slot":   {"frames/f.txt", "{np} {y}.", "unknown slot"},
		"twice":          {"frames/f.txt", "On {np}.\nOn {np}.", "line 2: the template is there twice"},
		"empty frame":    {"frames/f.txt", "# none", "no frames/f.txt with templates"},
		"unknown frame":  {"words/bird.txt", "frames: g\nconcept: yes\n\nowl+", "no frames/g.txt"},
		"unknown header": {"words/bird.txt", "frame: f\n\nowl+", "line 1: \"frame: f\" is no header"},
		"no words":       {"words/bird.txt", "frames: f\n\n", "words must follow"},
		"word twice":     {"words/bird.txt", "frames: f\n\nowl+; owl+", "line 3: \"owl\" is there twice"},
		"no word":        {"words/bird.txt", "frames: f\n\n+", "line 3: \"+\" is no word"},
		"word of two":    {"words/bird.txt", "frames: f\nconcept: yes\n\nsaw+", "\"saw\" is in words/bird.txt and in words/tool.txt"},
		"no concept":     {"words/bird.txt", "frames: f\n\nowl+", "no category is a concept"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for k, v := range good {
				fsys[k] = v
			}
			fsys[c.file] = &fstest.MapFile{Data: []byte(c.body)}
			_, err := OpenSuite(fsys)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := OpenSuite(fstest.MapFS{}); err == nil {
		t.Error("an empty folder is a suite")
	}
	s := suite(t)
	for name, c := range map[string]struct {
		cfg  GenerateConfig
		want string
	}{
		"misspelt": {GenerateConfig{Concepts: []string{"animal"}, Train: 1, HeldOutShare: 0.3}, `did you mean "animals"?`},
		"too many": {GenerateConfig{Concepts: []string{"joy"}, Train: 100000, HeldOutShare: 0.3}, "ask for fewer pairs"},
		"none":     {GenerateConfig{HeldOutShare: 0.3}, "both 0"},
		"negative": {GenerateConfig{Train: -1, HeldOutShare: 0.3}, "train is -1"},
		"share":    {GenerateConfig{Train: 1, HeldOutShare: 1}, "held_out_share is 1"},
		"repeated": {GenerateConfig{Concepts: []string{"joy", "joy"}, Train: 1, HeldOutShare: 0.3}, "listed twice"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := s.Generate(c.cfg)
			if err == nil || out != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d sentences, error %v, want one with %q", len(out), err, c.want)
			}
		})
	}
}

func FuzzSuite(f *testing.F) {
	f.Add("About {np}.\nOn {np}.\n", "frames: f\nconcept: yes\n\nowl+; an:hen/hens; a=b?\n", "frames: f\n\nsaw+; axe+\n")
	f.Fuzz(func(t *testing.T, frame, bird, tool string) {
		s, err := OpenSuite(fstest.MapFS{
			"frames/f.txt": {Data: []byte(frame)}, "words/bird.txt": {Data: []byte(bird)}, "words/tool.txt": {Data: []byte(tool)},
		})
		if err != nil {
			return
		}
		list, err := s.Generate(GenerateConfig{Train: 1, HeldOutShare: 0.5})
		if err != nil {
			return
		}
		for _, l := range list {
			if utf8.ValidString(l.Text) && string([]rune(l.Text)[l.Span[0]:l.Span[1]]) != l.Word {
				t.Errorf("%q: span %v does not hold %q", l.Text, l.Span, l.Word)
			}
		}
	})
}
