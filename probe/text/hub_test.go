package text

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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

// fakeHub serves one data set on this machine as the hub does. The body of the file called cut breaks off.
func fakeHub(t *testing.T, commit, cut string, files map[string]string) {
	t.Helper()
	var list []map[string]any
	for name, body := range files {
		sum := sha256.Sum256([]byte(body))
		list = append(list, map[string]any{"rfilename": name, "size": len(body), "lfs": map[string]any{"sha256": hex.EncodeToString(sum[:]), "size": len(body)}})
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, revision := range []string{"main", "refs%2Fconvert%2Fparquet"} {
			if r.URL.EscapedPath() == "/api/datasets/org/name/revision/"+revision {
				_ = json.NewEncoder(w).Encode(map[string]any{"id": "org/name", "sha": commit, "siblings": list})
				return
			}
		}
		name := strings.TrimPrefix(r.URL.Path, "/datasets/org/name/resolve/"+commit+"/")
		body, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"`+strings.ReplaceAll(name, "/", "-")+`"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if name == cut {
			body = body[:len(body)/2]
		}
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(body))
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("HF_TOKEN", "")
}

func TestHubDownload(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	files := map[string]string{"data/a.parquet": string(parquetFile(t, 3)), "b.jsonl": "{\"text\":\"a line\"}\n", "README.md": "# no data"}
	get := func(ref string, offline bool) ([]string, error) {
		docs, err := read(open(t, with(KindHub, ref, func(c *CorpusConfig) { c.Offline = offline })))
		return texts(docs), err
	}
	want := []string{"a line", "text 0 é", "text 0 é", "text 1 é"}
	for _, ref := range []string{"hf:datasets/org/name", "hf:datasets/org/name@refs/convert/parquet"} {
		t.Run(ref, func(t *testing.T) {
			t.Setenv("HF_HUB_CACHE", t.TempDir())
			fakeHub(t, commit, "data/a.parquet", files)
			if got, err := get(ref, false); err == nil || !strings.Contains(err.Error(), "data/a.parquet") {
				t.Fatalf("a cut download gave %q, %v", got, err)
			}
			fakeHub(t, commit, "", files)
			if got, err := get(ref+"#*.jsonl", false); err != nil || !slices.Equal(got, want[:1]) {
				t.Fatalf("one file: %q, %v", got, err)
			}
			if got, err := get(ref, true); err == nil || !strings.Contains(err.Error(), "lacks data/a.parquet") {
				t.Fatalf("a part of the data set was taken for the whole: %q, %v", got, err)
			}
			if got, err := get(ref, false); err != nil || !slices.Equal(got, want) {
				t.Fatalf("documents %q, %v; want %q", got, err, want)
			}
			t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1")
			if got, err := get(ref, true); err != nil || !slices.Equal(got, want) {
				t.Errorf("from the cache: %q, %v; want %q", got, err, want)
			}
			if _, err := get("hf:datasets/org/other", false); err == nil || !strings.Contains(err.Error(), "check the name and the network") {
				t.Errorf("no network: error %v", err)
			}
			t.Setenv("HF_HUB_OFFLINE", "1")
			if _, err := get("hf:datasets/org/other", false); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE") {
				t.Errorf("HF_HUB_OFFLINE=1: error %v", err)
			}
		})
	}
}
