package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testSpec has two token sites, one of them float16 with a scale to be chosen, and an example site; shards are so
// small that ten batches make several.
func testSpec() Spec {
	return Spec{
		Model:     Source{ID: "tiny", Digest: "m1"},
		Tokenizer: "t1",
		Corpus:    Source{ID: "made", Digest: "c1"},
		Sites: []Site{
			{Name: "blocks.0.hook_resid_post", Per: Token, Shape: []int{6}, DType: Float32},
			{Name: "blocks.1.attn.hook_z", Per: Token, Shape: []int{2, 9}, DType: Float16},
			{Name: "pooler", Per: Example, Shape: []int{5}, DType: Float32},
		},
		Policy:     Policy{BOS: "none", Special: "added and kept", Padding: "right to 8", MaxLen: 8},
		Labels:     []string{"topic"},
		KeepText:   true,
		ShardBytes: 12000,
		Moments:    MomentOptions{ClassCross: true},
		Config:     json.RawMessage(`{"b":[1,2],"a":"<x>"}`),
		Seeds:      map[string]int64{"corpus": 7},
	}
}

// testBatch makes batch i: five documents of four to eight tokens, padded to eight in the views, so that Take is used.
func testBatch(i int) Batch {
	rng := rand.New(rand.NewPCG(uint64(i), 9))
	var b Batch
	const docs, width = 5, 8
	x, z, p := make([]float32, docs*width*6), make([]float32, docs*width*18), make([]float32, docs*5)
	for j := range x {
		x[j] = float32(rng.NormFloat64()*2 + 100)
	}
	for j := range z {
		z[j] = float32(rng.NormFloat64())
	}
	for j := range p {
		p[j] = float32(rng.NormFloat64())
	}
	for k := range docs {
		id := int64(1000 + i*docs + k)
		topic := []string{"art", "sea", ""}[rng.IntN(3)]
		b.Docs = append(b.Docs, Doc{ID: id, Source: "gen", Text: fmt.Sprintf("text %d", id), Split: []string{"train", "test"}[k%2],
			Group: fmt.Sprint(k), Labels: map[string]string{"topic": topic}})
		b.Examples.Doc = append(b.Examples.Doc, id)
		b.Examples.Pair = append(b.Examples.Pair, int64(i))
		for t := range 4 + rng.IntN(5) {
			b.Rows.Doc = append(b.Rows.Doc, id)
			b.Rows.Pos = append(b.Rows.Pos, int32(t))
			b.Rows.Token = append(b.Rows.Token, int32(rng.IntN(500)))
			b.Rows.CharStart = append(b.Rows.CharStart, int32(3*t))
			b.Rows.CharEnd = append(b.Rows.CharEnd, int32(3*t+2))
			b.Rows.Special = append(b.Rows.Special, t == 0)
			b.Rows.Take = append(b.Rows.Take, int32(k*width+t))
		}
	}
	b.Rows.Sites, b.Examples.Sites = [][]float32{x, z}, [][]float32{p}
	b.State = fmt.Appendf(nil, `{"next":%d}`, i+1)
	return b
}

const testBatches = 40

// writeStore writes the test store, beginning at batch from.
func writeStore(w *Writer, from int) error {
	for i := from; i < testBatches; i++ {
		if err := w.Append(context.Background(), testBatch(i)); err != nil {
			return errors.Join(err, ignoreRepeat(w.Close(), err))
		}
	}
	return w.Finish(context.Background())
}

func ignoreRepeat(err, first error) error {
	if err == first {
		return nil
	}
	return err
}

func makeStore(t testing.TB, spec Spec) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "s")
	w, err := Create(dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeStore(w, 0); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestRoundTrip compares every value of every column with what was appended.
func TestRoundTrip(t *testing.T) {
	s := open(t, makeStore(t, testSpec()))
	if n := len(s.Manifest().Shards); n < 5 {
		t.Fatalf("%d shards; the test needs several", n)
	}
	docs, err := s.Docs()
	if err != nil {
		t.Fatal(err)
	}
	exDoc, exPair, err := s.ExampleIDs()
	if err != nil {
		t.Fatal(err)
	}
	scale := s.Manifest().Sites[1].Scale
	if scale != 0x1p-9 && scale != 0x1p-10 { // the largest of a few thousand normal values is between 2 and 8
		t.Errorf("scale %v", scale)
	}
	row, ex, doc := int64(0), int64(0), 0
	for i := range testBatches {
		b := testBatch(i)
		n := len(b.Rows.Doc)
		rows := make([]int64, n)
		for r := range rows {
			rows[r] = row + int64(r)
		}
		got, err := s.TokenRows(rows)
		if err != nil {
			t.Fatal(err)
		}
		x, z := make([]float32, n*6), make([]float32, n*18)
		if err := errors.Join(s.Gather(x, "blocks.0.hook_resid_post", rows), s.Gather(z, "blocks.1.attn.hook_z", rows)); err != nil {
			t.Fatal(err)
		}
		for r, g := range got {
			want := TokenRow{Row: rows[r], Doc: b.Rows.Doc[r], Pos: b.Rows.Pos[r], Token: b.Rows.Token[r], CharStart: b.Rows.CharStart[r], CharEnd: b.Rows.CharEnd[r], Special: b.Rows.Special[r]}
			if g != want {
				t.Fatalf("row %d: got %+v, want %+v", rows[r], g, want)
			}
			src := int(b.Rows.Take[r])
			if !reflect.DeepEqual(x[r*6:r*6+6], b.Rows.Sites[0][src*6:src*6+6]) {
				t.Fatalf("row %d: float32 values differ", rows[r])
			}
			for j, v := range b.Rows.Sites[1][src*18 : src*18+18] {
				// float16 has 11 bits: relative error at most 2^-11, absolute at most half a unit of 2^-24
				if diff := math.Abs(float64(z[r*18+j] - v)); diff > math.Abs(float64(v))*0x1p-11+float64(scale)*0x1p-25 {
					t.Fatalf("row %d: float16 %v for %v", rows[r], z[r*18+j], v)
				}
			}
		}
		row += int64(n)
		p := make([]float32, 5*5)
		if err := s.Gather(p, "pooler", []int64{ex, ex + 1, ex + 2, ex + 3, ex + 4}); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(p, b.Examples.Sites[0]) {
			t.Errorf("batch %d: pooled values differ", i)
		}
		for k, d := range b.Docs {
			if exDoc[int(ex)+k] != d.ID || exPair[int(ex)+k] != int64(i) {
				t.Errorf("example %d: document %d pair %d", int(ex)+k, exDoc[int(ex)+k], exPair[int(ex)+k])
			}
			text, digest, err := docs.Text(doc)
			if err != nil || text != d.Text || digest != textDigest(d.Text) {
				t.Errorf("doc %d: text %q, digest %s, %v", doc, text, digest, err)
			}
			if docs.ID[doc] != d.ID || docs.Source[doc] != d.Source || docs.Split[doc] != d.Split || docs.Group[doc] != d.Group || docs.Labels["topic"][doc] != d.Labels["topic"] || docs.Index(d.ID) != doc {
				t.Errorf("doc %d differs", doc)
			}
			doc++
		}
		ex += 5
	}
	if row != s.Rows() || ex != s.Examples() || doc != docs.Len() {
		t.Errorf("%d rows, %d examples, %d docs", s.Rows(), s.Examples(), docs.Len())
	}
	if err := Verify(context.Background(), s.Dir()); err != nil {
		t.Error(err)
	}
}

// TestScanEqualsGather holds the two ways of reading against each other, and the chunks' columns against TokenRows.
func TestScanEqualsGather(t *testing.T) {
	s := open(t, makeStore(t, testSpec()))
	names := []string{"blocks.1.attn.hook_z", "blocks.0.hook_resid_post"}
	next := int64(0)
	err := s.Scan(context.Background(), names, func(c Chunk) error {
		if c.First != next {
			t.Errorf("chunk at %d, want %d", c.First, next)
		}
		rows := make([]int64, len(c.Doc))
		for r := range rows {
			rows[r] = c.First + int64(r)
		}
		next += int64(len(rows))
		for i, name := range names {
			want := make([]float32, len(c.Sites[i]))
			if err := s.Gather(want, name, rows); err != nil {
				return err
			}
			if !slices.Equal(c.Sites[i], want) {
				t.Errorf("site %s differs at row %d", name, c.First)
			}
		}
		meta, err := s.TokenRows(rows)
		for r, m := range meta {
			if m != (TokenRow{rows[r], c.Doc[r], c.Pos[r], c.Seq[r], c.Segment[r], c.Token[r], c.CharStart[r], c.CharEnd[r], c.Special[r]}) {
				t.Errorf("row %d: %+v", rows[r], m)
			}
		}
		return err
	})
	if err != nil || next != s.Rows() {
		t.Errorf("%d rows of %d, %v", next, s.Rows(), err)
	}
}

func TestGatherRefuses(t *testing.T) {
	s := open(t, makeStore(t, testSpec()))
	for _, c := range []struct {
		site string
		dst  int
		rows []int64
		text string
	}{
		{"blocks.0.hook_resid_post", 6, []int64{-1}, "row -1 of"},
		{"blocks.0.hook_resid_post", 6, []int64{s.Rows()}, fmt.Sprintf("of %d", s.Rows())},
		{"blocks.0.hook_resid_post", 5, []int64{0}, "5 values for 1 rows of 6"},
		{"blocks.9.hook_resid_post", 6, []int64{0}, "it has [blocks.0.hook_resid_post"},
	} {
		if err := s.Gather(make([]float32, c.dst), c.site, c.rows); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// tree returns every file of a folder.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameTree(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
	for name, w := range want {
		if g, ok := got[name]; !ok || g != w {
			t.Errorf("%s differs (there: %v, %d and %d bytes)", name, ok, len(g), len(w))
		}
	}
}

func TestEqualRunsGiveEqualBytes(t *testing.T) {
	sameTree(t, tree(t, makeStore(t, testSpec())), tree(t, makeStore(t, testSpec())))
}

// failing is a disk that fills up after a number of bytes, over all files.
type failing struct {
	output
	left *int
}

var errDisk = errors.New("no space left on device")

func (f failing) Write(p []byte) (int, error) {
	if *f.left < len(p) {
		n, _ := f.output.Write(p[:*f.left])
		*f.left = 0
		return n, errDisk
	}
	*f.left -= len(p)
	return f.output.Write(p)
}

// TestFullDiskAndResume lets the disk fill at many points. Each time the writer must say so, the folder must not open
// as a whole store, and a resumed run must end with the bytes of an unbroken one.
func TestFullDiskAndResume(t *testing.T) {
	want := tree(t, makeStore(t, testSpec()))
	total := 0
	for _, b := range want {
		total += len(b)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range 12 {
		left := rng.IntN(total)
		dir := filepath.Join(t.TempDir(), fmt.Sprint(n))
		w, err := Create(dir, testSpec())
		if err != nil {
			t.Fatal(err)
		}
		limited := func(path string) (output, error) {
			f, err := createFile(path)
			return failing{f, &left}, err
		}
		w.create = limited
		err = writeStore(w, 0)
		if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "make room") {
			t.Fatalf("with room for %d bytes: %v", left, err)
		}
		if _, err := Open(dir, OpenOptions{}); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("a broken store opens: %v", err)
		}
		if s, err := Open(dir, OpenOptions{Partial: true}); err != nil {
			t.Fatalf("finished shards cannot be read: %v", err)
		} else {
			s.Close()
		}
		// what a killed process can leave
		for _, junk := range []string{"token/00099.arrow", "token/00000.arrow.tmp", ".manifest.json.tmp1", "docs.arrow", "moments/pooler/cross.arrow"} {
			path := filepath.Join(dir, junk)
			os.MkdirAll(filepath.Dir(path), 0o755)
			if err := os.WriteFile(path, []byte("junk"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		resumeAndCompare(t, dir, want)
	}
}

func resumeAndCompare(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	w, state, err := Resume(dir, testSpec())
	if errors.Is(err, ErrComplete) {
		sameTree(t, tree(t, dir), want)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	next := struct{ Next int }{}
	if state != nil {
		if err := json.Unmarshal(state, &next); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeStore(w, next.Next); err != nil {
		t.Fatal(err)
	}
	sameTree(t, tree(t, dir), want)
}

// TestStopAndResume closes the writer after each batch in turn.
func TestStopAndResume(t *testing.T) {
	want := tree(t, makeStore(t, testSpec()))
	for stop := 0; stop <= testBatches; stop += 7 {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(stop))
		w, err := Create(dir, testSpec())
		if err != nil {
			t.Fatal(err)
		}
		for i := range stop {
			if err := w.Append(context.Background(), testBatch(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		resumeAndCompare(t, dir, want)
	}
	dir := makeStore(t, testSpec())
	if _, _, err := Resume(dir, testSpec()); !errors.Is(err, ErrComplete) {
		t.Errorf("a complete store resumes: %v", err)
	}
}

func TestResumeRefusesAnotherSpec(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	w, err := Create(dir, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Resume(dir, testSpec()); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two writers: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Spec){
		"model":     func(s *Spec) { s.Model.Digest = "m2" },
		"tokenizer": func(s *Spec) { s.Tokenizer = "t2" },
		"corpus":    func(s *Spec) { s.Corpus.ID = "other" },
		"sites":     func(s *Spec) { s.Sites[0].Shape = []int{7} },
		"policy":    func(s *Spec) { s.Policy.MaxLen = 9 },
		"labels":    func(s *Spec) { s.Labels = []string{"tone"} },
		"config":    func(s *Spec) { s.Config = json.RawMessage(`{}`) },
		"seeds":     func(s *Spec) { s.Seeds = map[string]int64{"corpus": 8} },
		"moments":   func(s *Spec) { s.Moments.Off = true },
	} {
		spec := testSpec()
		change(&spec)
		_, _, err := Resume(dir, spec)
		if err == nil || !regexp.MustCompile(`: `+name+`(\.[a-z_]+)* was `).MatchString(err.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Create(dir, testSpec()); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("create over a store: %v", err)
	}
}

// TestSameJSON: the order of keys is no difference, nor is a new key with its default; of a difference the key is named.
func TestSameJSON(t *testing.T) {
	const defaults = `{"new":40,"deep":{"new":[1]}}`
	for _, c := range []struct{ had, asked, want string }{
		{`{"deep":{}}`, `{"deep":{"new":[1]},"new":40}`, ""},
		{`{}`, `{"new":41}`, "config.new was absent and is 41 now"},
		{`{"new":41}`, `{"new":40}`, "config.new was 41 and is 40 now"},
		{`{"a":1,"b":{"c":[1,2],"d":null}}`, `{"b":{"d":null,"c":[1,2]},"a":1}`, ""},
		{`{"a":{"b":1,"c":2}}`, `{"a":{"c":3,"b":1}}`, "config.a.c was 2 and is 3 now"},
		{`{"a":1}`, `{}`, "config.a was 1 and is absent now"},
		{`{}`, `{"a":{"b":1}}`, `config.a was absent and is {"b":1} now`},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, "config.a was [1,2] and is [2,1] now"},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, "config.a was 9007199254740993 and is 9007199254740992 now"},
		{`null`, `{"a":1}`, `config was null and is {"a":1} now`},
	} {
		err := sameJSON("config", []byte(c.had), []byte(c.asked), []byte(defaults))
		if got := fmt.Sprint(err); (err == nil) != (c.want == "") || err != nil && got != c.want {
			t.Errorf("%s and %s: %v", c.had, c.asked, err)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, c := range map[string]struct {
		change func(*Batch)
		text   []string
	}{
		"nan": {func(b *Batch) { b.Rows.Sites[0][int(b.Rows.Take[9])*6+2] = nan }, []string{"site blocks.0.hook_resid_post", "NaN", "document 1001, position", "dimension 2"}},
		"inf": {func(b *Batch) { b.Examples.Sites[0][7] = inf }, []string{"site pooler", "-Inf", "document 1001", "dimension 2"}},
		"nan in padding is no error": {func(b *Batch) {
			b.Rows.Take, b.Rows.Doc, b.Rows.Pos, b.Rows.Token = b.Rows.Take[:2], b.Rows.Doc[:2], b.Rows.Pos[:2], b.Rows.Token[:2]
			b.Rows.CharStart, b.Rows.CharEnd, b.Rows.Special = nil, nil, nil
			b.Rows.Sites[0][39*6] = nan
		}, nil},
		"unknown document": {func(b *Batch) { b.Rows.Doc[3] = 77 }, []string{"document 77", "Batch.Docs"}},
		"document twice":   {func(b *Batch) { b.Docs[1].ID = b.Docs[0].ID }, []string{"document 1000 is there twice"}},
		"unknown label":    {func(b *Batch) { b.Docs[1].Labels = map[string]string{"mood": "x"} }, []string{"document 1001", "topic"}},
		"short column":     {func(b *Batch) { b.Rows.Seq = []int32{1} }, []string{"column seq has 1 rows"}},
		"no positions":     {func(b *Batch) { b.Rows.Pos = nil }, []string{"0 positions"}},
		"site missing":     {func(b *Batch) { b.Rows.Sites = b.Rows.Sites[:1] }, []string{"1 views for 2 token sites"}},
		"take too far":     {func(b *Batch) { b.Rows.Take[0] = 40 }, []string{"row 40 of a view of 40"}},
		"no take":          {func(b *Batch) { b.Rows.Take = nil }, []string{"site blocks.0.hook_resid_post"}},
		"bad state":        {func(b *Batch) { b.State = []byte("{") }, []string{"not valid JSON"}},
	} {
		w, err := Create(filepath.Join(t.TempDir(), "s"), testSpec())
		if err != nil {
			t.Fatal(err)
		}
		b := testBatch(0)
		c.change(&b)
		err = w.Append(context.Background(), b)
		if (err == nil) != (c.text == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, text := range c.text {
			if err != nil && !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error %q does not say %q", name, err, text)
			}
		}
		if cerr := w.Close(); (cerr == nil) != (c.text == nil) {
			t.Errorf("%s: close says %v", name, cerr)
		}
	}
}

// TestHalfOverflow gives a scale that is too small: the value must be named, not stored as infinity.
func TestHalfOverflow(t *testing.T) {
	spec := testSpec()
	spec.Sites[1].Scale = 0x1p-14
	dir := filepath.Join(t.TempDir(), "s")
	w, err := Create(dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	b := testBatch(0)
	b.Rows.Sites[1][int(b.Rows.Take[2])*18+4] = 5
	err = w.Append(context.Background(), b)
	if err == nil {
		err = w.Finish(context.Background())
	}
	for _, text := range []string{"site blocks.1.attn.hook_z", "value 5 at document 1000, position 2", "greater scale"} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v does not say %q", err, text)
		}
	}
	if _, err := Open(dir, OpenOptions{}); !errors.Is(err, ErrIncomplete) {
		t.Errorf("the store opens: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := makeStore(t, testSpec())
	if _, err := Open(dir, OpenOptions{ModelDigest: "m2"}); !errors.Is(err, ErrOtherModel) || !strings.Contains(err.Error(), "m1") || !strings.Contains(err.Error(), "m2") || !strings.Contains(err.Error(), "tiny") {
		t.Errorf("another model: %v", err)
	}
	if s, err := Open(dir, OpenOptions{ModelDigest: "m1"}); err != nil {
		t.Error(err)
	} else {
		s.Close()
	}
	if _, err := Open(t.TempDir(), OpenOptions{}); !errors.Is(err, ErrNoStore) {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestAligned(t *testing.T) {
	spec := testSpec()
	a := open(t, makeStore(t, spec))
	spec.Sites, spec.ShardBytes, spec.Model.Digest = []Site{{Name: "other", Per: Token, Shape: []int{6}, DType: Float32}}, 50000, "m2"
	dir := filepath.Join(t.TempDir(), "b")
	build := func(dir string, change func(i int, b *Batch)) *Store {
		w, err := Create(dir, spec)
		if err != nil {
			t.Fatal(err)
		}
		for i := range testBatches {
			b := testBatch(i)
			b.Rows.Sites, b.Examples = b.Rows.Sites[:1], Examples{}
			change(i, &b)
			if err := w.Append(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Finish(context.Background()); err != nil {
			t.Fatal(err)
		}
		return open(t, dir)
	}
	if err := a.Aligned(build(dir, func(int, *Batch) {})); err != nil {
		t.Errorf("equal tokens in other shards: %v", err)
	}
	b := build(dir+"2", func(i int, b *Batch) {
		if i == 7 {
			b.Rows.Token[3]++
		}
	})
	if err := a.Aligned(b); err == nil {
		t.Error("another token is not noticed")
	}
}

// TestVerifyFindsFlippedBits flips bits at random places of every file of a store.
func TestVerifyFindsFlippedBits(t *testing.T) {
	dir := makeStore(t, testSpec())
	rng := rand.New(rand.NewPCG(4, 4))
	for name, content := range tree(t, dir) {
		for range 6 {
			b := []byte(content)
			at, bit := rng.IntN(len(b)), rng.IntN(8)
			b[at] ^= 1 << bit
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := Verify(context.Background(), dir); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("bit %d of byte %d of %s: %v", bit, at, name, err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Verify(context.Background(), dir); err != nil {
		t.Errorf("the mended store: %v", err)
	}
}

// TestTruncatedShard cuts a shard at many lengths; Open must refuse and name it.
func TestTruncatedShard(t *testing.T) {
	dir := makeStore(t, testSpec())
	path := filepath.Join(dir, "token", "00002.arrow")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(content); n += 997 {
		if err := os.WriteFile(path, content[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, OpenOptions{}); err == nil || !strings.Contains(err.Error(), "token/00002.arrow") {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, OpenOptions{}); err == nil || !strings.Contains(err.Error(), "token/00002.arrow") {
		t.Errorf("removed: %v", err)
	}
	outside := filepath.Join(t.TempDir(), "x.arrow")
	if err := errors.Join(os.WriteFile(outside, content, 0o644), os.Symlink(outside, path)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, OpenOptions{}); err == nil || !strings.Contains(err.Error(), "token/00002.arrow") {
		t.Errorf("a link out of the store is followed: %v", err)
	}
}

func TestEmptyStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	w, err := Create(dir, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if s.Rows() != 0 || s.Examples() != 0 {
		t.Errorf("%d rows", s.Rows())
	}
	if err := Verify(context.Background(), dir); err != nil {
		t.Error(err)
	}
	if _, err := s.Shuffle(ShuffleConfig{}); err == nil {
		t.Error("an empty store can be shuffled")
	}
}

func TestSelect(t *testing.T) {
	s := open(t, makeStore(t, testSpec()))
	docs, err := s.Docs()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sel  Select
		keep func(doc int, pos, token int32, special bool) bool
	}{
		"all":             {Select{}, func(int, int32, int32, bool) bool { return true }},
		"no special":      {Select{ExcludeSpecial: true}, func(_ int, _, _ int32, sp bool) bool { return !sp }},
		"split":           {Select{Split: "test"}, func(d int, _, _ int32, _ bool) bool { return docs.Split[d] == "test" }},
		"group":           {Select{Group: "3"}, func(d int, _, _ int32, _ bool) bool { return docs.Group[d] == "3" }},
		"from a position": {Select{FromPos: 2, ExcludeSpecial: true}, func(_ int, pos, _ int32, sp bool) bool { return !sp && pos >= 2 }},
		"positions and tokens": {Select{ExcludePositions: []int32{1, 0}, ExcludeTokens: []int32{7}}, func(_ int, pos, token int32, _ bool) bool {
			return pos > 1 && token != 7
		}},
		"class and more": {Select{ExcludeSpecial: true, Split: "train", Label: "topic", Class: "sea"}, func(d int, _, _ int32, sp bool) bool {
			return !sp && docs.Split[d] == "train" && docs.Labels["topic"][d] == "sea"
		}},
	} {
		set, err := s.Select(context.Background(), c.sel)
		if err != nil {
			t.Fatal(err)
		}
		var want []int64
		if err := s.Scan(context.Background(), nil, func(ch Chunk) error {
			for r, id := range ch.Doc {
				keep := c.keep(docs.Index(id), ch.Pos[r], ch.Token[r], ch.Special[r])
				if keep {
					want = append(want, ch.First+int64(r))
				}
				if set.Has(ch.First+int64(r)) != keep {
					t.Errorf("%s: row %d", name, ch.First+int64(r))
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(want) == 0 || set.Len() != int64(len(want)) {
			t.Errorf("%s: %d rows, want %d", name, set.Len(), len(want))
		}
		for k := 0; k < len(want); k += 7 {
			got := set.Append(nil, int64(k), 5)
			if !slices.Equal(got, want[k:min(k+5, len(want))]) {
				t.Fatalf("%s: rows from %d: %v, want %v", name, k, got, want[k:min(k+5, len(want))])
			}
		}
	}
	for _, sel := range []Select{{Split: "dev"}, {Group: "x"}, {Label: "mood", Class: "x"}, {Label: "topic", Class: "sky"}} {
		if _, err := s.Select(context.Background(), sel); err == nil {
			t.Errorf("%+v: no error", sel)
		}
	}
}

func TestHalf(t *testing.T) {
	values := make([]float32, 0, 1<<16)
	for h := range 1 << 16 {
		if h&0x7c00 == 0x7c00 {
			continue
		}
		var x [1]float32
		fromHalf(x[:], []uint16{uint16(h)}, 1)
		want := math.Ldexp(float64(h&0x3ff), -24)
		if e := h >> 10 & 31; e > 0 {
			want = math.Ldexp(float64(h&0x3ff|0x400), e-25)
		}
		if h&0x8000 != 0 {
			want = -want
		}
		if float64(x[0]) != want || math.Signbit(float64(x[0])) != (h&0x8000 != 0) {
			t.Fatalf("half %04x is %v, want %v", h, x[0], want)
		}
		if back, ok := toHalf(x[0]); !ok || back != uint16(h) {
			t.Fatalf("half %04x comes back as %04x", h, back)
		}
		if h < 0x8000 {
			values = append(values, x[0])
		}
	}
	// between neighbours: the nearer one, the middle to the even one
	for i := range values[:len(values)-1] {
		a, b := values[i], values[i+1]
		mid := (a + b) / 2 // exact in float32
		even := uint16(i + i&1)
		for _, c := range []struct {
			x    float32
			want uint16
		}{{math.Nextafter32(mid, a), uint16(i)}, {mid, even}, {math.Nextafter32(mid, b), uint16(i + 1)}} {
			if got, ok := toHalf(c.x); !ok || got != c.want {
				t.Fatalf("%v: got %04x, want %04x", c.x, got, c.want)
			}
			if got, ok := toHalf(-c.x); !ok || got != c.want|0x8000 {
				t.Fatalf("%v: got %04x, want %04x", -c.x, got, c.want|0x8000)
			}
		}
	}
	for x, fits := range map[float32]bool{65504: true, 65519.996: true, 65520: false, 1e30: false, float32(math.Inf(1)): false, float32(math.NaN()): false} {
		if _, ok := toHalf(x); ok != fits {
			t.Errorf("%v fits: %v", x, ok)
		}
	}
	for x, want := range map[float32]float32{0: 1, 1: 0x1p-11, 4096: 2, 4095: 1, 1e-30: 0x1p-100} {
		if got := chooseScale(x); got != want {
			t.Errorf("scale for %v: %v, want %v", x, got, want)
		}
	}
}

func TestFinite(t *testing.T) {
	buf := make([]float32, 40)
	for _, off := range []int{0, 1} {
		for n := range 20 {
			x := buf[off : off+n]
			for i := range x {
				x[i] = []float32{math.MaxFloat32, -math.MaxFloat32, 0, 1e-45}[i%4]
			}
			if !finite(x) {
				t.Fatalf("offset %d, %d finite values", off, n)
			}
			for i := range x {
				for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
					old := x[i]
					x[i] = float32(bad)
					if finite(x) {
						t.Fatalf("offset %d: %v at %d of %d is not found", off, bad, i, n)
					}
					x[i] = old
				}
			}
		}
	}
}

// TestManifestRefuses changes a good manifest, with a right digest where that is not the point.
func TestManifestRefuses(t *testing.T) {
	dir := makeStore(t, testSpec())
	good, err := loadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Manifest){
		"path leaves":      func(m *Manifest) { m.Shards[0].Token.Path = "../../etc/passwd" },
		"other name":       func(m *Manifest) { m.Shards[0].Token.Path = "token/00001.arrow" },
		"docs leave":       func(m *Manifest) { m.DocsFile.Path = "/docs.arrow" },
		"moments leave":    func(m *Manifest) { m.MomentFiles[0].Path = "moments/../../x.arrow" },
		"moments missing":  func(m *Manifest) { m.MomentFiles = m.MomentFiles[1:] },
		"site leaves":      func(m *Manifest) { m.Sites[0].Name = "../x" },
		"site huge":        func(m *Manifest) { m.Sites[0].Shape = []int{1 << 20, 1 << 20, 1 << 20, 1 << 20} },
		"site negative":    func(m *Manifest) { m.Sites[0].Shape = []int{-1} },
		"site reserved":    func(m *Manifest) { m.Sites[0].Name = "token" },
		"rows negative":    func(m *Manifest) { m.Shards[0].Token.Rows = -1 },
		"rows huge":        func(m *Manifest) { m.Shards[0].Token.Rows = 1 << 50 },
		"rows do not add":  func(m *Manifest) { m.Rows++ },
		"batch not 2^k":    func(m *Manifest) { m.TokenBatch = 1000 },
		"batch zero":       func(m *Manifest) { m.ExampleBatch = 0 },
		"docs do not add":  func(m *Manifest) { m.Docs++ },
		"format":           func(m *Manifest) { m.Format = 2 },
		"digest of a file": func(m *Manifest) { m.DocsFile.SHA256 = "x" },
		"no docs":          func(m *Manifest) { m.DocsFile = nil },
		"not complete":     func(m *Manifest) { m.Complete = false },
	} {
		m, err := parseManifest(raw)
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		if m.Digest, err = m.digest(); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseManifest(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, b := range map[string][]byte{
		"unknown key": bytes.Replace(raw, []byte(`"format"`), []byte(`"colour": 1, "format"`), 1),
		"changed":     bytes.Replace(raw, []byte(`"tiny"`), []byte(`"tony"`), 1),
		"more":        append(slices.Clone(raw), '1'),
		"cut":         raw[:len(raw)/2],
		"empty":       nil,
	} {
		if _, err := parseManifest(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if again, err := parseManifest(raw); err != nil || !reflect.DeepEqual(again, good) {
		t.Errorf("the good one: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	raw, err := os.ReadFile(filepath.Join(makeStore(f, testSpec()), manifestName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		// the digest would stop nearly every input, so the checks behind it are driven directly too
		var m Manifest
		if json.Unmarshal(b, &m) == nil && m.check() == nil {
			for _, file := range m.files() {
				if !filepath.IsLocal(filepath.FromSlash(file.Path)) {
					t.Errorf("path %q leaves the folder", file.Path)
				}
			}
			for _, s := range m.Sites {
				if d := s.Dim(); d < 1 || d > maxDim {
					t.Errorf("site %s has %d values", s.Name, d)
				}
			}
		}
		parseManifest(b)
	})
}
