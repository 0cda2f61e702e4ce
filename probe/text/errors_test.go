package text

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"loupe/internal/config"
)

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
