package text

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkDocs reads a fuzzed file and checks what every reader promises: valid text, and errors that name the file.
func checkDocs(t *testing.T, cfg CorpusConfig, read func(emit) error) {
	n := 0
	err := read(func(d Doc) bool {
		if !utf8.ValidString(d.Text) {
			t.Errorf("%s: text %q is not UTF-8", d.Source, d.Text)
		}
		for _, name := range cfg.LabelFields {
			if v, ok := d.Labels[name]; !ok || !utf8.ValidString(v) {
				t.Errorf("%s: label %s is %q, %v", d.Source, name, v, ok)
			}
		}
		n++
		return n < 1000
	})
	if err != nil && !strings.Contains(err.Error(), "f.in") {
		t.Errorf("error %q does not name the file", err)
	}
}

func fuzzConfig(kind string) CorpusConfig {
	cfg := DefaultCorpusConfig(kind)
	cfg.LabelFields, cfg.MaxLineBytes = []string{"a"}, 1<<16
	return cfg
}

func FuzzJSONL(f *testing.F) {
	for _, s := range []string{
		"{\"text\":\"x\",\"a\":1}\n", "{\"text\":\"x\",\"a\":{\"b\":null}}", "{\"text\":null,\"a\":\"\\ud800\"}\r\n\n", "\ufeff{}", "{\"text\":\"\xff\"}\n", "[", "null\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := fuzzConfig(KindJSONL)
		checkDocs(t, cfg, func(e emit) error { return jsonlReader{cfg}.lines(bytes.NewReader(b), "f.in", e) })
	})
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"text,a\nx,1\n", "\ufefftext,a\n\"x\n\"\"y\"\"\",\n", "a\n", "text,text,a\n1,2,3\n", "text,a\n\"x", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := fuzzConfig(KindCSV)
		checkDocs(t, cfg, func(e emit) error { return csvReader{cfg}.rows(bytes.NewReader(b), "f.in", e) })
	})
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("a\r\nb\n\n\xffc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := fuzzConfig(KindText)
		cfg.LabelFields = nil
		checkDocs(t, cfg, func(e emit) error { return plainReader{cfg}.paragraphs(bytes.NewReader(b), "f.in", e) })
	})
}

func FuzzParquet(f *testing.F) {
	whole := parquetFile(f, 20)
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	for _, at := range []int{4, 40, len(whole) / 2, len(whole) - 200, len(whole) - 6} {
		bad := slices.Clone(whole)
		bad[at] ^= 0xff
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := fuzzConfig(KindParquet)
		cfg.LabelFields = []string{"label"}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		checkDocs(t, cfg, func(e emit) error {
			return parquetReader{cfg}.rows(bytes.NewReader(b), int64(len(b)), "f.in", e)
		})
		runtime.ReadMemStats(&after)
		const most = 64 << 20
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			t.Errorf("%d bytes allocated for a file of %d", n, len(b))
		}
	})
}
