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

	"loupe/internal/config"
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

func TestErrors(t *testing.T) {
	dir := write(t, map[string]string{
		"empty.txt": "", "blank.txt": "\n \n\t\n", "bad.txt": "fine\nab\xffc\n", "long.txt": strings.Repeat("x", 200),
		"para.txt":        strings.Repeat("xxxxxxxxx\n", 20),
		"cut.jsonl":       "{\"text\":\"a\"}\n{\"text\":\"b",
		"wrong.jsonl":     "{\"text\":\"a\"}\nnot json\n{\"text\":\"b\"}\n",
		"list.jsonl":      "[1]\n",
		"null.jsonl":      "null\n",
		"field.jsonl":     "{\"txet\":\"a\",\"id\":1}\n",
		"fields.jsonl":    "{\"content\":\"a\",\"id\":1}\n",
		"number.jsonl":    "{\"text\":12}\n",
		"label.jsonl":     "{\"text\":\"a\",\"tags\":[1,2]}\n",
		"nested.jsonl":    "{\"text\":\"a\",\"tags\":1}\n",
		"bytes.jsonl":     "{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n",
		"half.jsonl":      "{\"text\":\"a\\ud83d!\"}\n",
		"long.jsonl":      "{\"text\":\"a\"}\n{\"text\":\"" + strings.Repeat("x", 200) + "\"}\n",
		"empty.csv":       "",
		"header.csv":      "text,n\n",
		"quote.csv":       "text,n\n\"a,1\n" + strings.Repeat("b,2\n", 5000),
		"ragged.csv":      "text,n\na,1\nb\n",
		"column.csv":      "Text,n\na,1\n",
		"bytes.csv":       "text,n\na,1\n\xff,2\n",
		"short.parquet":   "PAR1",
		"other.parquet":   "this is not a Parquet file",
		"cut.parquet":     "PAR1 and then nothing more of it",
		"footer.parquet":  "PAR1\xff\xff\xff\x7fPAR1",
		"garbage.parquet": "PAR1" + strings.Repeat("\xee", 40) + "\x20\x00\x00\x00PAR1",
		"tree/x.bin":      "x",
	})
	small := func(c *CorpusConfig) { c.MaxLineBytes = 100 }
	label := func(name string) func(*CorpusConfig) {
		return func(c *CorpusConfig) { c.LabelFields = []string{name} }
	}
	for _, c := range []struct {
		kind, path string
		change     func(*CorpusConfig)
		want       []string
		docs       int // before the error
	}{
		{KindText, "none.txt", nil, []string{"none.txt", "check the path"}, 0},
		{KindText, "tree", nil, []string{"not a regular file", `kind "folder"`}, 0},
		{KindText, "empty.txt", nil, []string{"text:empty.txt", "no documents", "check the path"}, 0},
		{KindText, "blank.txt", nil, []string{"no documents"}, 0},
		{KindText, "bad.txt", nil, []string{"bad.txt:2", "byte 7 (0xff)", "invalid_utf8: replace"}, 0},
		{KindText, "bad.txt", func(c *CorpusConfig) { c.Unit = "file" }, []string{"bad.txt", "byte 7 (0xff)"}, 0},
		{KindText, "long.txt", small, []string{"long.txt:1", "longer than 100", "max_line_bytes"}, 0},
		{KindText, "para.txt", small, []string{"para.txt:1", "paragraph is longer"}, 0},
		{KindText, "long.txt", func(c *CorpusConfig) { c.Unit, c.MaxLineBytes = "file", 100 }, []string{"long.txt is longer than 100", "unit: paragraph"}, 0},
		{KindJSONL, "cut.jsonl", nil, []string{"cut.jsonl:2", "truncated"}, 1},
		{KindJSONL, "wrong.jsonl", nil, []string{"wrong.jsonl:2", "not a JSON object", "correct or remove"}, 1},
		{KindJSONL, "list.jsonl", nil, []string{"list.jsonl:1", "not a JSON object"}, 0},
		{KindJSONL, "null.jsonl", nil, []string{"null.jsonl:1", "null is not a JSON object"}, 0},
		{KindJSONL, "field.jsonl", nil, []string{"field.jsonl:1", `no field "text"; did you mean "txet"?`}, 0},
		{KindJSONL, "fields.jsonl", nil, []string{`no field "text"`, "content, id", "text_field"}, 0},
		{KindJSONL, "number.jsonl", nil, []string{"number.jsonl:1", "not a string but 12"}, 0},
		{KindJSONL, "label.jsonl", label("tags"), []string{"label.jsonl:1", "list or an object"}, 0},
		{KindJSONL, "nested.jsonl", label("tags.a"), []string{`field "tags" is not an object`}, 0},
		{KindJSONL, "bytes.jsonl", nil, []string{"bytes.jsonl:2", "byte 22 (0xff)"}, 1},
		{KindJSONL, "half.jsonl", nil, []string{"half.jsonl:1", "surrogate"}, 0},
		{KindJSONL, "long.jsonl", small, []string{"long.jsonl:2", "longer than 100"}, 1},
		{KindCSV, "empty.csv", nil, []string{"empty.csv", "header line"}, 0},
		{KindCSV, "header.csv", nil, []string{"header.csv", "no documents"}, 0},
		{KindCSV, "quote.csv", small, []string{"quote.csv", "longer than 100 bytes", "close its quote"}, 0},
		{KindCSV, "quote.csv", nil, []string{"quote.csv", "record from line 2"}, 0},
		{KindCSV, "ragged.csv", nil, []string{"ragged.csv:3", "wrong number of fields"}, 1},
		{KindCSV, "column.csv", nil, []string{"column.csv:1", `did you mean "Text"?`}, 0},
		{KindCSV, "bytes.csv", nil, []string{"bytes.csv:3", `column "text"`, "not UTF-8"}, 1},
		{KindParquet, "short.parquet", nil, []string{"short.parquet", "too few"}, 0},
		{KindParquet, "other.parquet", nil, []string{"other.parquet", "no Parquet file"}, 0},
		{KindParquet, "cut.parquet", nil, []string{"cut.parquet", "truncated"}, 0},
		{KindParquet, "footer.parquet", nil, []string{"footer.parquet", "a footer of 2147483647 bytes in a file of 12"}, 0},
		{KindParquet, "garbage.parquet", nil, []string{"garbage.parquet", "fetch it again"}, 0},
		{KindFolder, "tree", nil, []string{"tree", "no file ends in .txt, .md"}, 0},
		{KindFolder, "none", nil, []string{"none", "check the path"}, 0},
	} {
		t.Run(c.kind+" "+c.path, func(t *testing.T) {
			corpus, err := Open(with(c.kind, filepath.Join(dir, c.path), c.change))
			var docs []Doc
			if err == nil {
				docs, err = read(corpus)
				if _, again := corpus.Digest(); again == nil {
					t.Error("a corpus with an error has a digest")
				}
			}
			if err == nil {
				t.Fatalf("no error, %d documents", len(docs))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if len(docs) != c.docs {
				t.Errorf("%d documents before the error, want %d", len(docs), c.docs)
			}
		})
	}
}

func TestLinksOutOfFolder(t *testing.T) {
	dir := write(t, map[string]string{"in/a.txt": "a", "out/secret.txt": "s", "in/sub/b.txt": "b"})
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	link("a.txt", "in/inside.txt")
	link("..", "in/sub/loop")
	if got := texts(readAll(t, with(KindFolder, filepath.Join(dir, "in"), nil))); !slices.Equal(got, []string{"a", "a", "b"}) {
		t.Errorf("documents %q", got)
	}
	link(filepath.Join("..", "out", "secret.txt"), "in/z.txt")
	_, err := Open(with(KindFolder, filepath.Join(dir, "in"), nil))
	if err == nil || !strings.Contains(err.Error(), "z.txt") || !strings.Contains(err.Error(), "out of the folder") {
		t.Errorf("error %v for a link that leaves the folder", err)
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

// TestStreaming reads 64 MiB of JSONL and of CSV that exist only as a reader, and looks at the heap on the way.
func TestStreaming(t *testing.T) {
	const size, limit = 64 << 20, 16 << 20
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
				if n++; n%5000 == 0 {
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

func TestValidate(t *testing.T) {
	for _, kind := range Kinds() {
		if err := with(kind, "x", nil).Validate(); err != nil {
			t.Errorf("the default of %s is wrong: %v", kind, err)
		}
	}
	for name, c := range map[string]struct {
		change func(*CorpusConfig)
		want   string
	}{
		"kind":          {func(c *CorpusConfig) { c.Kind = "josnl" }, `did you mean "jsonl"?`},
		"no kind":       {func(c *CorpusConfig) { c.Kind = "" }, "use one of goroot"},
		"path":          {func(c *CorpusConfig) { c.Path = "" }, "path is empty"},
		"unit":          {func(c *CorpusConfig) { c.Unit = "line" }, `unit is "line"`},
		"text_field":    {func(c *CorpusConfig) { c.TextField = "" }, "text_field is empty"},
		"label_fields":  {func(c *CorpusConfig) { c.LabelFields = []string{""} }, "label_fields"},
		"delimiter":     {func(c *CorpusConfig) { c.Kind, c.Delimiter = KindCSV, "ab" }, `delimiter is "ab"`},
		"quote":         {func(c *CorpusConfig) { c.Kind, c.Delimiter = KindCSV, `"` }, "delimiter"},
		"utf8":          {func(c *CorpusConfig) { c.InvalidUTF8 = "ignore" }, "invalid_utf8"},
		"line":          {func(c *CorpusConfig) { c.MaxLineBytes = 0 }, "max_line_bytes is 0"},
		"docs":          {func(c *CorpusConfig) { c.MaxDocs = -1 }, "max_docs is -1"},
		"chars":         {func(c *CorpusConfig) { c.MaxChars = -1 }, "max_chars is -1"},
		"doc chars":     {func(c *CorpusConfig) { c.DocChars = -1 }, "doc_chars is -1"},
		"min chars":     {func(c *CorpusConfig) { c.MinChars = -1 }, "min_chars is -1"},
		"sample":        {func(c *CorpusConfig) { c.Sample = 0 }, "sample is 0"},
		"sample NaN":    {func(c *CorpusConfig) { c.Sample = math.NaN() }, "sample is NaN"},
		"held out":      {func(c *CorpusConfig) { c.HeldOut = 1 }, "held_out is 1"},
		"split by":      {func(c *CorpusConfig) { c.SplitBy = "line" }, "split_by"},
		"two splits":    {func(c *CorpusConfig) { c.HeldOut, c.SplitField = 0.1, "s" }, "split_field"},
		"suite split":   {func(c *CorpusConfig) { c.Kind, c.HeldOut = KindConcepts, 0.1 }, "held_out_share"},
		"suite":         {func(c *CorpusConfig) { c.Kind, c.TrainPairs = KindConcepts, -1 }, "train is -1"},
		"neutral":       {func(c *CorpusConfig) { c.Kind, c.NeutralNumber = KindNeutral, 0 }, "neutral_number is 0"},
		"no extensions": {func(c *CorpusConfig) { c.Kind, c.Extensions = KindFolder, nil }, "extensions is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := with(KindJSONL, "x", c.change)
			_, err := Open(cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestConfigForm checks that the configuration loader takes CorpusConfig, and that the tags of each field agree.
func TestConfigForm(t *testing.T) {
	type file struct {
		Corpus CorpusConfig `json:"corpus" doc:"text"`
	}
	k := config.Kind{Name: "x", New: func() any { return &file{Corpus: DefaultCorpusConfig(KindGoRoot)} }}
	if _, err := k.JSONSchema(); err != nil {
		t.Error(err)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[CorpusConfig](), reflect.TypeFor[GenerateConfig]()} {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if a, b, c := f.Tag.Get("json"), f.Tag.Get("yaml"), f.Tag.Get("mapstructure"); a == "" || a != b || a != c {
				t.Errorf("%s.%s: tags %q, %q, %q differ", typ, f.Name, a, b, c)
			}
		}
	}
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
