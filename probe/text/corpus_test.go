package text

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// write puts files into a new folder.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t testing.TB, cfg CorpusConfig) Corpus {
	t.Helper()
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// read returns all documents and the error that ended them.
func read(c Corpus) (docs []Doc, err error) {
	for d, e := range c.Docs(context.Background()) {
		if e != nil {
			return docs, e
		}
		docs = append(docs, d)
	}
	return docs, nil
}

func readAll(t testing.TB, cfg CorpusConfig) []Doc {
	t.Helper()
	docs, err := read(open(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// with returns the default configuration with changes.
func with(kind, path string, change func(*CorpusConfig)) CorpusConfig {
	cfg := DefaultCorpusConfig(kind)
	cfg.Path = path
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func texts(docs []Doc) []string {
	var out []string
	for _, d := range docs {
		out = append(out, d.Text)
	}
	return out
}

func TestReaders(t *testing.T) {
	dir := write(t, map[string]string{
		"plain.txt":       "\ufeffOne\r\ntwo  \r\n\r\n\t\nthree\n\n\n four",
		"whole.txt":       "\ufeff a\n\nb \n",
		"rows.jsonl":      "{\"text\":\"é\",\"label\":1,\"meta\":{\"lang\":\"fr\"},\"a.b\":null}\r\n\n  {\"label\":true,\"text\":\"x\\ny\",\"meta\":{\"lang\":\"en\"},\"a.b\":\"q\"}",
		"rows.csv":        "\ufefftext,n,who\r\n\"a, \"\"b\"\"\nc\",1,x\r\nd,2,y\r\n",
		"rows.tsv":        "n\ttext\n1\ta b\n",
		"tree/b.txt":      "b",
		"tree/a/z.txt":    "z",
		"tree/a/y.md":     "y",
		"tree/a/x.go":     "x",
		"tree/c.jsonl":    "{\"text\":\"j\"}\n",
		"tree/d.tsv":      "text\tn\ne f\t1\n",
		"bytes.txt":       "ok\n\na\xffb\xfe",
		"bytes.jsonl":     "{\"text\":\"a\xffb\"}\n",
		"surrogate.jsonl": "{\"text\":\"a\\ud83d!\"}\n",
	})
	replace := func(c *CorpusConfig) { c.InvalidUTF8 = "replace" }
	for name, c := range map[string]struct {
		cfg  CorpusConfig
		want []Doc
	}{
		"paragraphs": {with(KindText, "plain.txt", nil), []Doc{
			{ID: 0, Source: "plain.txt:1", Group: "plain.txt", Text: "One\ntwo"},
			{ID: 1, Source: "plain.txt:5", Group: "plain.txt", Text: "three"},
			{ID: 2, Source: "plain.txt:8", Group: "plain.txt", Text: " four"},
		}},
		"whole file": {with(KindText, "whole.txt", func(c *CorpusConfig) { c.Unit = "file" }), []Doc{
			{Source: "whole.txt", Group: "whole.txt", Text: "a\n\nb"},
		}},
		"jsonl": {with(KindJSONL, "rows.jsonl", func(c *CorpusConfig) {
			c.LabelFields, c.GroupField, c.SplitField = []string{"label", "a.b"}, "meta.lang", "meta.lang"
		}), []Doc{
			{ID: 0, Source: "rows.jsonl:1", Group: "fr", Split: "fr", Text: "é", Labels: map[string]string{"label": "1", "a.b": ""}},
			{ID: 1, Source: "rows.jsonl:3", Group: "en", Split: "en", Text: "x\ny", Labels: map[string]string{"label": "true", "a.b": "q"}},
		}},
		"csv": {with(KindCSV, "rows.csv", func(c *CorpusConfig) { c.LabelFields, c.GroupField = []string{"n"}, "who" }), []Doc{
			{ID: 0, Source: "rows.csv:2", Group: "x", Text: "a, \"b\"\nc", Labels: map[string]string{"n": "1"}},
			{ID: 1, Source: "rows.csv:4", Group: "y", Text: "d", Labels: map[string]string{"n": "2"}},
		}},
		"tabs": {with(KindCSV, "rows.tsv", func(c *CorpusConfig) { c.Delimiter = "\t" }), []Doc{{Source: "rows.tsv:2", Group: "rows.tsv", Text: "a b"}}},
		"folder": {with(KindFolder, "tree", func(c *CorpusConfig) { c.Extensions = []string{".txt", ".md", ".jsonl", ".tsv"} }), []Doc{
			{ID: 0, Source: "a/y.md:1", Group: "a/y.md", Text: "y"},
			{ID: 1, Source: "a/z.txt:1", Group: "a/z.txt", Text: "z"},
			{ID: 2, Source: "b.txt:1", Group: "b.txt", Text: "b"},
			{ID: 3, Source: "c.jsonl:1", Group: "c.jsonl", Text: "j"},
			{ID: 4, Source: "d.tsv:2", Group: "d.tsv", Text: "e f"},
		}},
		"replaced bytes": {with(KindText, "bytes.txt", replace), []Doc{
			{ID: 0, Source: "bytes.txt:1", Group: "bytes.txt", Text: "ok"},
			{ID: 1, Source: "bytes.txt:3", Group: "bytes.txt", Text: "a\ufffdb\ufffd"},
		}},
		"replaced in jsonl":  {with(KindJSONL, "bytes.jsonl", replace), []Doc{{Source: "bytes.jsonl:1", Group: "bytes.jsonl", Text: "a\ufffdb"}}},
		"replaced surrogate": {with(KindJSONL, "surrogate.jsonl", replace), []Doc{{Source: "surrogate.jsonl:1", Group: "surrogate.jsonl", Text: "a\ufffd!"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Path = filepath.Join(dir, c.cfg.Path)
			corpus := open(t, c.cfg)
			got, err := read(corpus)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, c.want)
			}
			if strings.Contains(corpus.Name(), dir) {
				t.Errorf("the name %q holds a path of the machine", corpus.Name())
			}
			first, err := corpus.Digest()
			if err != nil {
				t.Fatal(err)
			}
			if fresh, err := open(t, c.cfg).Digest(); err != nil || fresh != first {
				t.Errorf("digest after reading %s, without %s, %v", first, fresh, err)
			}
		})
	}
}

// lines1000 is a JSONL file of 1,000 different documents of 10 groups.
func lines1000(t testing.TB, skip int) string {
	var b strings.Builder
	for i := range 1000 {
		if i != skip {
			fmt.Fprintf(&b, "{\"text\":\"document number %04d\",\"g\":\"group %d\"}\n", i, i%10)
		}
	}
	return filepath.Join(write(t, map[string]string{"d.jsonl": b.String()}), "d.jsonl")
}

func TestSplit(t *testing.T) {
	path := lines1000(t, -1)
	split := func(path string, seed int64, by string) map[string]string {
		out := map[string]string{}
		for _, d := range readAll(t, with(KindJSONL, path, func(c *CorpusConfig) {
			c.HeldOut, c.Seed, c.SplitBy, c.GroupField = 0.2, seed, by, "g"
		})) {
			out[d.Text] = d.Split
		}
		return out
	}
	count := func(m map[string]string) (n float64) {
		for _, s := range m {
			if s == HeldOut {
				n++
			}
		}
		return n
	}
	whole := split(path, 1, "text")
	if n, sd := count(whole), math.Sqrt(1000*0.2*0.8); math.Abs(n-200) > 5*sd {
		t.Errorf("%v of 1000 held out, want 200", n)
	}
	for text, s := range split(lines1000(t, 17), 1, "text") {
		if whole[text] != s {
			t.Errorf("%q changes its split when another document goes", text)
		}
	}
	if reflect.DeepEqual(whole, split(path, 2, "text")) {
		t.Error("another seed gives the same split")
	}
	groups := map[string]map[string]bool{}
	for text, s := range split(path, 1, "group") {
		g := text[len(text)-1:]
		if groups[g] == nil {
			groups[g] = map[string]bool{}
		}
		groups[g][s] = true
	}
	for g, in := range groups {
		if len(in) != 1 {
			t.Errorf("group %s is in both splits", g)
		}
	}
}

func TestLimits(t *testing.T) {
	path := lines1000(t, -1)
	const chars = int64(len("document number 0000"))
	get := func(change func(*CorpusConfig)) []Doc { return readAll(t, with(KindJSONL, path, change)) }
	if got := get(func(c *CorpusConfig) { c.MaxDocs = 7 }); len(got) != 7 || got[6].ID != 6 {
		t.Errorf("max_docs: %d documents", len(got))
	}
	if got := get(func(c *CorpusConfig) { c.MaxChars = 5*chars + 3 }); len(got) != 5 {
		t.Errorf("max_chars: %d documents, want 5", len(got))
	}
	if got := get(func(c *CorpusConfig) { c.DocChars = 8 }); len(got) != 1000 || got[999].Text != "document" {
		t.Errorf("doc_chars: %d documents", len(got))
	}
	half := get(func(c *CorpusConfig) { c.Sample, c.Seed = 0.5, 3 })
	if n := float64(len(half)); math.Abs(n-500) > 5*math.Sqrt(250) {
		t.Errorf("sample: %v documents, want about 500", n)
	}
	all := get(nil)
	for _, d := range half {
		if !reflect.DeepEqual(all[d.ID], d) {
			t.Errorf("sampling changed document %d to %+v", d.ID, d)
		}
	}
	quarter := get(func(c *CorpusConfig) { c.Sample, c.Seed = 0.25, 3 })
	for _, d := range quarter {
		if !slices.Contains(texts(half), d.Text) {
			t.Errorf("document %d is in the sample of a quarter but not of a half", d.ID)
		}
	}
	_, err := read(open(t, with(KindJSONL, path, func(c *CorpusConfig) { c.MinChars = 100 })))
	if !errors.Is(err, ErrEmpty) || !strings.Contains(err.Error(), "1000 read") {
		t.Errorf("min_chars above all: error %v", err)
	}
}

func TestDigestSeesContent(t *testing.T) {
	base := []Doc{{ID: 1, Text: "a", Split: "s", Group: "g", Labels: map[string]string{"k": "v"}}, {ID: 2, Text: "b"}}
	digest := func(docs []Doc) string {
		s := newDigester()
		for _, d := range docs {
			s.add(d)
		}
		return s.hex()
	}
	seen := map[string]string{digest(base): "the base"}
	for name, change := range map[string]func(d *Doc){
		"ID": func(d *Doc) { d.ID = 3 }, "text": func(d *Doc) { d.Text = "A" }, "split": func(d *Doc) { d.Split = "" },
		"group": func(d *Doc) { d.Group = "h" }, "label": func(d *Doc) { d.Labels = map[string]string{"k": "w"} },
		"label name": func(d *Doc) { d.Labels = map[string]string{"l": "v"} }, "no label": func(d *Doc) { d.Labels = nil },
		"moved border": func(d *Doc) { d.Text, d.Split = "as", "" },
	} {
		docs := slices.Clone(base)
		change(&docs[0])
		if other, ok := seen[digest(docs)]; ok {
			t.Errorf("a changed %s has the digest of %s", name, other)
		}
		seen[digest(docs)] = name
	}
	moved := slices.Clone(base)
	moved[0].Source = "elsewhere"
	if digest(moved) != digest(base) {
		t.Error("the digest depends on the source, which is for people only")
	}
}

func TestStopAndCancel(t *testing.T) {
	corpus := open(t, with(KindJSONL, lines1000(t, -1), nil))
	n := 0
	for range corpus.Docs(context.Background()) {
		if n++; n == 3 {
			break
		}
	}
	whole, err := open(t, with(KindJSONL, lines1000(t, -1), nil)).Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := corpus.Digest(); err != nil || got != whole {
		t.Errorf("digest after a broken-off pass: %s, %v; want %s", got, err, whole)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n = 0
	for _, err := range corpus.Docs(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v after cancelling", err)
			}
			break
		}
		if n++; n == 5 {
			cancel()
		}
	}
	if n != 5 {
		t.Errorf("%d documents, want 5 before the cancel is seen", n)
	}
}

// TestStreaming reads 64 MiB of JSONL and of CSV that exist only as a reader, and looks at what lives on the heap on the way.
func TestStreaming(t *testing.T) {
	const size, limit = 64 << 20, 4 << 20
	for name, c := range map[string]struct {
		head, row string
		read      func(io.Reader, emit) error
	}{
		"jsonl": {"", "{\"text\":\"" + strings.Repeat("abcdefg ", 120) + "\"}\n", func(r io.Reader, e emit) error {
			return jsonlReader{DefaultCorpusConfig(KindJSONL)}.lines(r, "x", e)
		}},
		"csv": {"text\n", strings.Repeat("abcdefg ", 120) + "\n", func(r io.Reader, e emit) error {
			return csvReader{DefaultCorpusConfig(KindCSV)}.rows(r, "x", e)
		}},
		"paragraphs": {"", strings.Repeat("abcdefg ", 120) + "\n\n", func(r io.Reader, e emit) error {
			return plainReader{DefaultCorpusConfig(KindText)}.paragraphs(r, "x", e)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			before, most, n := m.HeapAlloc, uint64(0), 0
			rows := strings.NewReader(strings.Repeat(c.row, 1024))
			stream := io.MultiReader(strings.NewReader(c.head), io.LimitReader(&again{rows}, size/int64(len(c.row))*int64(len(c.row))))
			if err := c.read(stream, func(Doc) bool {
				if n++; n%10000 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
			if n != size/len(c.row) {
				t.Errorf("%d documents, want %d", n, size/len(c.row))
			}
			if most > before+limit {
				t.Errorf("the heap grew by %d bytes, want at most %d", most-before, limit)
			}
		})
	}
}

// again reads the same bytes over and over.
type again struct{ r *strings.Reader }

func (a *again) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if err == io.EOF {
		_, err = a.r.Seek(0, io.SeekStart)
	}
	return n, err
}

func TestGeneratedCorpora(t *testing.T) {
	cfg := with(KindConcepts, "", func(c *CorpusConfig) {
		c.Concepts, c.TrainPairs, c.HeldOutPairs, c.Seed = []string{"animals", "joy"}, 5, 2, 9
	})
	docs := readAll(t, cfg)
	want := generate(t, GenerateConfig{Concepts: cfg.Concepts, Seed: 9, Train: 5, HeldOut: 2, HeldOutShare: 0.3})
	if len(docs) != len(want) {
		t.Fatalf("%d documents, want %d", len(docs), len(want))
	}
	for i, d := range docs {
		l := want[i]
		if d.Text != l.Text || d.Split != l.Split || d.Group != l.Concept || d.Labels["positive"] != fmt.Sprint(l.Positive) ||
			d.Labels["span_start"] != fmt.Sprint(l.Span[0]) || d.Labels["span_end"] != fmt.Sprint(l.Span[1]) || d.Labels["word"] != l.Word {
			t.Errorf("document %d is %+v, want %+v", i, d, l)
		}
	}
	cfg.Concepts = []string{"animal"}
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "animals") {
		t.Errorf("misspelt concept: error %v", err)
	}
	if docs := readAll(t, with(KindNeutral, "", func(c *CorpusConfig) { c.NeutralNumber = 12 })); len(docs) != 12 {
		t.Errorf("%d neutral documents, want 12", len(docs))
	}
}
