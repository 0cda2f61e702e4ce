package text

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/lz4"
)

type parquetRow struct {
	Text  string   `parquet:"text,dict"`
	Maybe *string  `parquet:"maybe,optional"`
	Label int32    `parquet:"label"`
	Meta  meta     `parquet:"meta"`
	Tags  []string `parquet:"tags,list"`
}

type meta struct {
	Lang string `parquet:"lang,snappy"`
}

// parquetFile holds n rows in row groups of 100 with small pages.
func parquetFile(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b, parquet.MaxRowsPerRowGroup(100), parquet.PageBufferSize(512))
	for i := range n {
		row := parquetRow{Text: fmt.Sprintf("text %d é", i/2), Label: int32(i), Meta: meta{fmt.Sprint("l", i%3)}, Tags: []string{"x"}}
		if i%2 == 1 {
			s := fmt.Sprint("maybe ", i)
			row.Maybe = &s
		}
		if _, err := w.Write([]parquetRow{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeParquet(t testing.TB, body []byte) string {
	return filepath.Join(write(t, map[string]string{"d.parquet": string(body)}), "d.parquet")
}

func TestParquet(t *testing.T) {
	path := writeParquet(t, parquetFile(t, 1050))
	docs := readAll(t, with(KindParquet, path, func(c *CorpusConfig) {
		c.LabelFields, c.GroupField = []string{"label", "maybe"}, "meta.lang"
	}))
	if len(docs) != 1050 {
		t.Fatalf("%d documents, want 1050", len(docs))
	}
	for i, d := range docs {
		want := Doc{ID: int64(i), Source: fmt.Sprintf("d.parquet:row %d", i+1), Text: fmt.Sprintf("text %d é", i/2), Group: fmt.Sprint("l", i%3),
			Labels: map[string]string{"label": fmt.Sprint(i), "maybe": ""}}
		if i%2 == 1 {
			want.Labels["maybe"] = fmt.Sprint("maybe ", i)
		}
		if !reflect.DeepEqual(d, want) {
			t.Fatalf("got  %+v\nwant %+v", d, want)
		}
	}
	if got := readAll(t, with(KindParquet, path, func(c *CorpusConfig) { c.TextField = "maybe" })); len(got) != 525 || got[1].ID != 3 {
		t.Errorf("%d documents without the null ones, the second has ID %d; want 525 and 3", len(got), got[1].ID)
	}
	if got := readAll(t, with(KindParquet, path, func(c *CorpusConfig) { c.MaxDocs = 150 })); len(got) != 150 {
		t.Errorf("%d documents, want 150", len(got))
	}
}

func TestParquetErrors(t *testing.T) {
	whole := parquetFile(t, 1050)
	flipped := slices.Clone(whole)
	for i := 200; i < 2000; i++ {
		flipped[i] ^= 0x5a
	}
	var bad bytes.Buffer
	if err := parquet.Write(&bad, []struct {
		Text string `parquet:"text"`
	}{{"fine"}, {"a\xffb"}}); err != nil {
		t.Fatal(err)
	}
	var lz bytes.Buffer
	if err := parquet.Write(&lz, []parquetRow{{Text: "a"}}, parquet.Compression(&lz4.Codec{})); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body   []byte
		change func(*CorpusConfig)
		want   []string
	}{
		"misspelt column": {whole, func(c *CorpusConfig) { c.TextField = "Text" }, []string{`no column "Text"; did you mean "text"?`}},
		"no such column":  {whole, func(c *CorpusConfig) { c.TextField = "paragraphs" }, []string{"text, maybe, label, meta.lang", "text_field"}},
		"number as text":  {whole, func(c *CorpusConfig) { c.TextField = "label" }, []string{`column "label" holds INT32`, "text_field"}},
		"list":            {whole, func(c *CorpusConfig) { c.LabelFields = []string{"tags.list.element"} }, []string{"is a list"}},
		"struct":          {whole, func(c *CorpusConfig) { c.TextField = "meta" }, []string{`no column "meta"`, "meta.lang"}},
		"truncated":       {whole[:len(whole)-100], nil, []string{"d.parquet", "truncated"}},
		"missing middle":  {slices.Concat(whole[:200], whole[4000:]), nil, []string{"d.parquet", "fetch it again"}},
		"flipped bytes":   {flipped, nil, []string{"d.parquet", "fetch it again"}},
		"invalid UTF-8":   {bad.Bytes(), nil, []string{"d.parquet:row 2", `column "text"`, "byte 1 (0xff)"}},
		"LZ4":             {lz.Bytes(), nil, []string{"d.parquet", `column "text" is compressed with LZ4_RAW`, "snappy or zstd"}},
		"value too long":  {whole, func(c *CorpusConfig) { c.MaxLineBytes = 3 }, []string{"d.parquet:row 1", "max_line_bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(open(t, with(KindParquet, writeParquet(t, c.body), c.change)))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

// TestParquetOfPyarrow reads what Hugging Face's libraries write, where python3 has pyarrow.
func TestParquetOfPyarrow(t *testing.T) {
	const script = `
import sys
import pyarrow as pa, pyarrow.parquet as pq
texts = ["row %d ü" % i if i % 7 else None for i in range(5000)]
table = pa.table({"text": pa.array(texts, pa.large_string()), "label": pa.array([i % 4 for i in range(5000)], pa.int64()),
                  "kind": pa.array(["k%d" % (i % 5) for i in range(5000)]).dictionary_encode(), "score": pa.array([i / 2 for i in range(5000)])})
for name, options in {"snappy": {}, "zstd": {"compression": "zstd", "data_page_version": "2.0"}, "gzip": {"compression": "gzip", "use_dictionary": False},
                      "brotli": {"compression": "brotli"}, "none": {"compression": "none"}, "delta": {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY", "label": "DELTA_BINARY_PACKED"}}}.items():
    pq.write_table(table, sys.argv[1] + "/" + name + ".parquet", row_group_size=1000, **options)
`
	dir := t.TempDir()
	if err := exec.Command("python3", "-c", "import pyarrow.parquet").Run(); err != nil {
		t.Skip("python3 has no pyarrow")
	}
	if out, err := exec.Command("python3", "-c", script, dir).CombinedOutput(); err != nil {
		t.Fatalf("python3: %v\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(found) != 6 {
		t.Fatalf("files %q, %v", found, err)
	}
	for _, path := range found {
		t.Run(filepath.Base(path), func(t *testing.T) {
			docs := readAll(t, with(KindParquet, path, func(c *CorpusConfig) { c.LabelFields = []string{"label", "kind", "score"} }))
			if len(docs) != 5000-715 {
				t.Errorf("%d documents, want %d", len(docs), 5000-715)
			}
			for _, d := range docs {
				want := map[string]string{"label": fmt.Sprint(d.ID % 4), "kind": fmt.Sprint("k", d.ID%5), "score": fmt.Sprint(float64(d.ID) / 2)}
				if d.Text != fmt.Sprintf("row %d ü", d.ID) || !reflect.DeepEqual(d.Labels, want) {
					t.Fatalf("document %+v, want labels %v", d, want)
				}
			}
		})
	}
}

func TestHub(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	line, err := json.Marshal(map[string]string{"text": "a line"})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := "datasets--org--name/snapshots/" + commit + "/"
	cache := write(t, map[string]string{
		"datasets--org--name/refs/main":                           commit,
		"datasets--org--name/refs/refs/convert/parquet":           commit + "\n",
		"datasets--org--name/refs/evil":                           "../../../etc",
		"datasets--org--name/blobs/b1":                            string(parquetFile(t, 3)),
		snapshot + "z/extra.jsonl":                                string(line) + "\n",
		snapshot + "README.md":                                    "# no data",
		"datasets--squad/snapshots/v1/a.jsonl":                    string(line) + "\n",
		"datasets--org--empty/refs/main":                          commit,
		"datasets--org--empty/snapshots/" + commit + "/README.md": "# no data",
	})
	if err := os.MkdirAll(filepath.Join(cache, snapshot, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("..", "..", "..", "blobs", "b1"), filepath.Join(cache, snapshot, "data", "train-00000.parquet")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	t.Setenv("HF_HUB_CACHE", cache)
	rows := []string{"text 0 é", "text 0 é", "text 1 é"}
	for ref, want := range map[string][]string{
		"hf:datasets/org/name":                      append(slices.Clone(rows), "a line"),
		"hf:datasets/org/name@main":                 append(slices.Clone(rows), "a line"),
		"hf:datasets/org/name@" + commit:            append(slices.Clone(rows), "a line"),
		"hf:datasets/org/name@refs/convert/parquet": append(slices.Clone(rows), "a line"),
		"hf:datasets/org/name#data/train-*":         rows,
		"hf:datasets/org/name@main#*.jsonl":         {"a line"},
		"hf:datasets/squad@v1":                      {"a line"},
	} {
		t.Run(ref, func(t *testing.T) {
			if got := texts(readAll(t, with(KindHub, ref, func(c *CorpusConfig) { c.Offline = true }))); !slices.Equal(got, want) {
				t.Errorf("documents %q, want %q", got, want)
			}
		})
	}
	for ref, want := range map[string]string{
		"org/name":                   "hf:datasets/ORG/NAME",
		"hf:org/name":                "is no data set",
		"hf:datasets/../name":        "is no data set",
		"hf:datasets/org/name@../x":  "revision",
		"hf:datasets/org/name@/x":    "revision",
		"hf:datasets/org/name#[":     "syntax error in pattern",
		"hf:datasets/org/name@evil":  "is not valid",
		"hf:datasets/org/other":      "offline: false",
		"hf:datasets/org/name@v2":    "offline: false",
		"hf:datasets/org/empty":      "no file of it is in the cache",
		"hf:datasets/org/name#*.csv": "no file of it is in the cache",
	} {
		t.Run(ref, func(t *testing.T) {
			corpus, err := Open(with(KindHub, ref, func(c *CorpusConfig) { c.Offline = true }))
			if err == nil {
				_, err = read(corpus)
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %q", err, want)
			}
		})
	}
}
