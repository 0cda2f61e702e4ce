package setup

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnpackRefusesUnsafeArchives(t *testing.T) {
	ok := zipFile{name: "pkg/a", body: "a"}
	for name, bad := range map[string]zipFile{
		"parent":           {name: "pkg/../../evil", body: "x"},
		"parent first":     {name: "../evil", body: "x"},
		"absolute":         {name: "/evil", body: "x"},
		"not clean":        {name: "pkg//evil", body: "x"},
		"dot":              {name: "./pkg/evil", body: "x"},
		"backslash":        {name: `pkg\..\..\evil`, body: "x"},
		"drive":            {name: "C:evil", body: "x"},
		"nul":              {name: "pkg/e\x00vil", body: "x"},
		"symlink":          {name: "pkg/link", body: "/etc/passwd", mode: 0o777 | fs.ModeSymlink},
		"device":           {name: "pkg/dev", mode: 0o666 | fs.ModeDevice},
		"too large":        {name: "pkg/big", body: strings.Repeat("x", 200)},
		"elsewhere parent": {name: "other/../../evil", body: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			data := makeZip(t, ok, bad)
			parent := t.TempDir()
			dest := filepath.Join(parent, "dest")
			_, err := unpack(context.Background(), bytes.NewReader(data), int64(len(data)), "pkg/", dest, 100)
			if !errors.Is(err, ErrUnsafe) {
				t.Errorf("error %v, want ErrUnsafe", err)
			}
			if left, _ := os.ReadDir(parent); len(left) != 0 {
				t.Errorf("the refused archive wrote %v", left)
			}
		})
	}
}

func TestUnpackRefusesDuplicates(t *testing.T) {
	data := makeZip(t, zipFile{name: "pkg/a", body: "1"}, zipFile{name: "pkg/a", body: "2"})
	if _, err := unpack(context.Background(), bytes.NewReader(data), int64(len(data)), "pkg/", t.TempDir(), 100); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want fs.ErrExist", err)
	}
}

func TestUnpackFindsAFlippedByte(t *testing.T) {
	body := strings.Repeat("0123456789", 50)
	data := makeZip(t, zipFile{name: "pkg/a", body: body})
	at := bytes.Index(data, []byte("pkg/a")) + 12
	data[at] ^= 0x40
	if got, err := unpack(context.Background(), bytes.NewReader(data), int64(len(data)), "pkg/a", t.TempDir(), 1000); err == nil {
		t.Errorf("unpacked to %v, want a checksum error", got)
	}
}

func TestUnpackStopsWhenCancelled(t *testing.T) {
	data := makeZip(t, zipFile{name: "pkg/a", body: "a"})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := unpack(ctx, bytes.NewReader(data), int64(len(data)), "pkg/", t.TempDir(), 100); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// TestCopyDigestReportsAFullDisk injects the writer error of a full disk.
func TestCopyDigestReportsAFullDisk(t *testing.T) {
	full := errors.New("no space left on device")
	_, err := copyDigest(context.Background(), failAfter{5, full}, strings.NewReader("more than five bytes"), 20)
	if !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
}

// failAfter accepts writes of at most n bytes in all and then fails.
type failAfter struct {
	n   int
	err error
}

func (f failAfter) Write(p []byte) (int, error) {
	if len(p) > f.n {
		return f.n, f.err
	}
	return len(p), nil
}

// FuzzUnpack holds for any bytes: nothing appears outside the folder, no more than the limit is written, and what unpack lists is
// what lies there.
func FuzzUnpack(f *testing.F) {
	f.Add(makeZip(f, zipFile{name: "pkg/a", body: "a"}, zipFile{name: "pkg/b/c", body: strings.Repeat("c", 30)}))
	f.Add(makeZip(f, zipFile{name: "pkg/../../evil", body: "x"}))
	f.Add(makeZip(f, zipFile{name: "pkg/l", body: "/etc", mode: 0o777 | fs.ModeSymlink}))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1000
		parent := t.TempDir()
		dest := filepath.Join(parent, "in", "dest")
		got, err := unpack(context.Background(), bytes.NewReader(data), int64(len(data)), "pkg/", dest, limit)
		var total int64
		found := 0
		walk := filepath.WalkDir(parent, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(dest, name)
			if err != nil || !filepath.IsLocal(rel) {
				t.Fatalf("%s lies outside the folder (%v)", name, err)
			}
			info, err := d.Info()
			if err != nil || !info.Mode().IsRegular() {
				t.Fatalf("%s is no plain file (%v)", name, err)
			}
			total += info.Size()
			if _, ok := got[filepath.ToSlash(rel)]; ok {
				found++
			}
			return nil
		})
		if walk != nil {
			t.Fatal(walk)
		}
		if total > limit+maxEntries { // one byte above its declared size per lying entry
			t.Fatalf("wrote %d bytes, the limit is %d", total, limit)
		}
		if err == nil && found != len(got) {
			t.Fatalf("lists %d files, %d are there", len(got), found)
		}
	})
}
