package text

import (
	"bytes"
	"fmt"
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
	var long bytes.Buffer
	if err := parquet.Write(&long, []struct {
		Text string `parquet:"text"`
	}{{strings.Repeat("x", 100)}}); err != nil {
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
		"value too long":  {long.Bytes(), func(c *CorpusConfig) { c.MaxLineBytes = 50 }, []string{"d.parquet:row 1", "a value of 100 bytes", "max_line_bytes"}},
		"page too long":   {long.Bytes(), func(c *CorpusConfig) { c.MaxLineBytes = 5 }, []string{"d.parquet: row group 1", "the page at byte 4", "max_line_bytes"}},
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
