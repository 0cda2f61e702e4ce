package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/setup"
)

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func write(t *testing.T, name, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fakeCache is a Hugging Face cache: org/whole at main (commit A), v1 (B, sharded) and refs/pr/7 (A); org/cut, whose weights are a
// link without a blob; org/halfsharded, which lacks one of two shards; org/evil, whose index names a file outside; org/badref; gguf-only.
func fakeCache(t *testing.T) string {
	t.Helper()
	cache := t.TempDir()
	put := func(repo, name, body string) { write(t, filepath.Join(cache, "models--"+repo, name), body) }
	index := func(shards ...string) string {
		m := map[string]string{}
		for i, s := range shards {
			m[fmt.Sprint("t", i)] = s
		}
		data, err := json.Marshal(map[string]any{"weight_map": m})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	put("org--whole", "refs/main", commitA+"\n")
	put("org--whole", "refs/v1", commitB)
	put("org--whole", "refs/refs/pr/7", commitA)
	put("org--whole", "snapshots/"+commitA+"/config.json", "{}")
	put("org--whole", "snapshots/"+commitA+"/model.safetensors", "x")
	put("org--whole", "snapshots/"+commitA+"/onnx/model.onnx", "x")
	put("org--whole", "snapshots/"+commitB+"/config.json", "{}")
	put("org--whole", "snapshots/"+commitB+"/"+indexFile, index("a.safetensors", "b.safetensors"))
	put("org--whole", "snapshots/"+commitB+"/a.safetensors", "x")
	put("org--whole", "snapshots/"+commitB+"/b.safetensors", "x")
	put("org--cut", "refs/main", commitA)
	put("org--cut", "snapshots/"+commitA+"/config.json", "{}")
	if err := os.Symlink("../../blobs/gone", filepath.Join(cache, "models--org--cut/snapshots", commitA, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	put("org--halfsharded", "refs/main", commitA)
	put("org--halfsharded", "snapshots/"+commitA+"/config.json", "{}")
	put("org--halfsharded", "snapshots/"+commitA+"/"+indexFile, index("a.safetensors", "b.safetensors"))
	put("org--halfsharded", "snapshots/"+commitA+"/a.safetensors", "x")
	put("org--evil", "refs/main", commitA)
	put("org--evil", "snapshots/"+commitA+"/config.json", "{}")
	put("org--evil", "snapshots/"+commitA+"/"+indexFile, index("../../../../../secret"))
	put("org--badref", "refs/main", "../../../../secret")
	put("gguf-only", "refs/main", commitA)
	put("gguf-only", "snapshots/"+commitA+"/q4.gguf", "x")
	return cache
}

func TestResolveFromTheCache(t *testing.T) {
	cache := fakeCache(t)
	for _, test := range []struct {
		ref  string
		want string // below the cache folder; "" when err is wanted
		err  error
		says string
	}{
		{"hf:org/whole", "models--org--whole/snapshots/" + commitA, nil, ""},
		{"hf:org/whole@main", "models--org--whole/snapshots/" + commitA, nil, ""},
		{"hf:org/whole@v1", "models--org--whole/snapshots/" + commitB, nil, ""},
		{"hf:org/whole@" + commitB, "models--org--whole/snapshots/" + commitB, nil, ""},
		{"hf:org/whole@refs/pr/7", "models--org--whole/snapshots/" + commitA, nil, ""},
		{"hf:org/whole#onnx/model.onnx", "models--org--whole/snapshots/" + commitA + "/onnx/model.onnx", nil, ""},
		{"hf:gguf-only@main#q4.gguf", "models--gguf-only/snapshots/" + commitA + "/q4.gguf", nil, ""},
		{"hf:gguf-only", "", ErrNotFound, "config.json"},
		{"hf:org/whole@v2", "", ErrNotFound, "revision v2"},
		{"hf:org/whole#absent.gguf", "", ErrNotFound, "absent.gguf"},
		{"hf:org/cut", "", ErrNotFound, "model.safetensors"},
		{"hf:org/halfsharded", "", ErrNotFound, "b.safetensors"},
		{"hf:org/absent", "", ErrNotFound, "network is off"},
		{"hf:org/evil", "", errLeaves, "secret"},
		{"hf:org/badref", "", nil, "not a commit"},
		{"hf:", "", ErrRef, "hf:org/name"},
		{"hf:../../etc", "", ErrRef, "org/name"},
		{"hf:a/b/c", "", ErrRef, "org/name"},
		{"hf:org/..", "", ErrRef, "org/name"},
		{"hf:org--x/y", "", ErrRef, "org/name"},
		{"hf:org/name@", "", ErrRef, "revision"},
		{"hf:org/name@../../x", "", ErrRef, "revision"},
		{"hf:org/name@/abs", "", ErrRef, "revision"},
		{"hf:org/name#../../../etc/passwd", "", ErrRef, "file"},
		{"hf:org/name#a/../b", "", ErrRef, "file"},
		{`hf:org/name#..\b`, "", ErrRef, "file"},
		{"hf:org/name#", "", ErrRef, "file"},
	} {
		t.Run(test.ref, func(t *testing.T) {
			got, err := Resolve(context.Background(), test.ref, Options{Offline: true, Cache: cache})
			if test.want != "" {
				if want := filepath.Join(cache, test.want); err != nil || got != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
				return
			}
			if err == nil || test.err != nil && !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %q, error %v; want %v saying %q", got, err, test.err, test.says)
			}
		})
	}
}

func TestResolveLocal(t *testing.T) {
	home, work := t.TempDir(), t.TempDir()
	t.Setenv("LOUPE_HOME", home)
	t.Chdir(work)
	write(t, filepath.Join(home, "models/minilm/config.json"), "{}")
	write(t, "minilm/config.json", "{}")
	write(t, "dir/config.json", "{}")
	write(t, "m.gguf", "x")
	write(t, "m.bin", "x")
	for _, test := range []struct{ name, want, says string }{
		{"minilm", filepath.Join(home, "models/minilm"), ""},
		{"./minilm", filepath.Join(work, "minilm"), ""},
		{"dir", filepath.Join(work, "dir"), ""},
		{filepath.Join(work, "m.gguf"), filepath.Join(work, "m.gguf"), ""},
		{"smollm2", "", "loupe setup"},
		{"nowhere", "", "hf:org/name"},
		{"m.bin", "", ".gguf"},
	} {
		got, err := Resolve(context.Background(), test.name, Options{})
		if test.want != "" && (err != nil || got != test.want) {
			t.Errorf("Resolve(%q) = %q, %v; want %q", test.name, got, err, test.want)
		}
		if test.want == "" && (!errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("Resolve(%q) = %q, %v; want ErrNotFound saying %q", test.name, got, err, test.says)
		}
	}
}

// TestDefaultsAreWhatSetupInstalls keeps the two packages' places in step.
func TestDefaultsAreWhatSetupInstalls(t *testing.T) {
	for _, c := range setup.Components() {
		place, ok := defaultPlace(c.Name)
		if isModel := strings.HasPrefix(c.To, "models/"); ok != isModel || ok && place != c.To {
			t.Errorf("%s: setup installs %s, hub looks at %q", c.Name, c.To, place)
		}
	}
}

func TestCacheDirFollowsThePythonLibrary(t *testing.T) {
	for _, v := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"} {
		t.Setenv(v, "")
	}
	t.Setenv("HOME", "/h")
	for _, test := range []struct{ key, value, want string }{
		{"HOME", "/h", "/h/.cache/huggingface/hub"},
		{"XDG_CACHE_HOME", "/x", "/x/huggingface/hub"},
		{"HF_HOME", "/f", "/f/hub"},
		{"HUGGINGFACE_HUB_CACHE", "/o", "/o"},
		{"HF_HUB_CACHE", "/c", "/c"},
	} { // each wins over those before it
		t.Setenv(test.key, test.value)
		if got, err := CacheDir(); err != nil || got != test.want {
			t.Errorf("with %s: %q, %v; want %q", test.key, got, err, test.want)
		}
	}
}

// fakeHub serves one repository like the hub does. cut names a file whose body breaks off.
func fakeHub(t *testing.T, files map[string]string, cut string) {
	t.Helper()
	type sibling struct {
		Name string         `json:"rfilename"`
		Size int            `json:"size"`
		LFS  map[string]any `json:"lfs,omitempty"`
	}
	var list []sibling
	for name, body := range files {
		s := sibling{Name: name, Size: len(body)}
		if strings.HasSuffix(name, ".safetensors") {
			sum := sha256.Sum256([]byte(body))
			s.LFS = map[string]any{"sha256": hex.EncodeToString(sum[:]), "size": len(body)}
		}
		list = append(list, s)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/models/org/name/revision/main", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "org/name", "sha": commitA, "siblings": list})
	})
	mux.HandleFunc("/org/name/resolve/"+commitA+"/", func(w http.ResponseWriter, req *http.Request) {
		name := strings.TrimPrefix(req.URL.Path, "/org/name/resolve/"+commitA+"/")
		body, ok := files[name]
		if !ok {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("ETag", `"etag-`+strings.ReplaceAll(name, "/", "-")+`"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if req.Method == http.MethodGet {
			if name == cut {
				body = body[:len(body)/2]
			}
			_, _ = w.Write([]byte(body))
		}
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	t.Setenv("HF_ENDPOINT", srv.URL)
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("HF_TOKEN", "")
}

var repoFiles = map[string]string{
	"config.json": "{}", "tokenizer.json": "{}", "1_Pooling/config.json": "{}", "model.safetensors": strings.Repeat("weights", 1000),
	"pytorch_model.bin": "no", "onnx/model.onnx": "no", "README.md": "no",
}

func TestResolveDownloadsWhatIsMissing(t *testing.T) {
	fakeHub(t, repoFiles, "")
	cache := t.TempDir()
	dir, err := Resolve(context.Background(), "hf:org/name", Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range repoFiles {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if body == "no" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was downloaded, though no model needs it", name)
		}
		if body != "no" && (err != nil || string(got) != body) {
			t.Errorf("%s: %v, or other bytes than served", name, err)
		}
	}
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1")
	if again, err := Resolve(context.Background(), "hf:org/name", Options{Cache: cache}); err != nil || again != dir {
		t.Errorf("without network: %q, %v; want %q from the cache", again, err, dir)
	}
}

func TestResolveRefusesACutDownload(t *testing.T) {
	for _, cut := range []string{"model.safetensors", "config.json"} {
		fakeHub(t, repoFiles, cut)
		cache := t.TempDir()
		dir, err := Resolve(context.Background(), "hf:org/name", Options{Cache: cache})
		if err == nil {
			t.Fatalf("%s was cut, but Resolve gave %s", cut, dir)
		}
		fakeHub(t, repoFiles, "")
		if _, err := Resolve(context.Background(), "hf:org/name", Options{Cache: cache}); err != nil {
			t.Errorf("second try after a cut %s: %v", cut, err)
		}
	}
}

func TestResolveRefusesAHubThatLeavesTheFolder(t *testing.T) {
	fakeHub(t, map[string]string{"../../../evil.json": "{}", "config.json": "{}"}, "")
	if dir, err := Resolve(context.Background(), "hf:org/name", Options{Cache: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "evil") {
		t.Errorf("got %q, %v; want an error that names the file", dir, err)
	}
}

func TestResolveWithoutNetwork(t *testing.T) {
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("HF_HUB_OFFLINE", "")
	if _, err := Resolve(context.Background(), "hf:org/name", Options{Cache: t.TempDir()}); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "local folder") {
		t.Errorf("error %v, want ErrNotFound with a cure", err)
	}
	called := false
	t.Setenv("HF_HUB_OFFLINE", "1")
	_, err := Resolve(context.Background(), "hf:org/name", Options{Cache: t.TempDir(), download: func(context.Context, string, ref) error { called = true; return nil }})
	if !errors.Is(err, ErrNotFound) || called {
		t.Errorf("HF_HUB_OFFLINE=1: error %v, downloaded: %v", err, called)
	}
}

// FuzzParseRef holds that whatever is accepted names places inside the cache folder only.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"org/name@rev#file", "a@b", "a/b#c/d", "../x", "a@../b", "a#/b", "a/b@refs/pr/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseRef(s)
		if err != nil {
			return
		}
		base := filepath.FromSlash("/cache")
		repo := repoDir(base, r)
		for _, p := range []string{repo, filepath.Join(repo, "refs", r.rev), filepath.Join(repo, "snapshots", commitA, r.file)} {
			if p != base && !strings.HasPrefix(p, repo) || filepath.Dir(repo) != base {
				t.Errorf("%q leads to %s", s, p)
			}
		}
	})
}

// FuzzShards holds that any index gives an error or shard names inside the folder.
func FuzzShards(f *testing.F) {
	f.Add([]byte(`{"weight_map":{"a":"x.safetensors","b":"../y"}}`))
	f.Add([]byte(`{"weight_map":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "index.json")
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		shards, err := shardsOf(name)
		for _, s := range shards {
			if !filepath.IsLocal(s) {
				t.Errorf("shard %q leaves the folder", s)
			}
		}
		if err == nil && len(shards) == 0 {
			t.Error("no shards and no error")
		}
	})
}
