package main

import (
	"strconv"
	"strings"
	"testing"
)

// TestVectorsConcepts: concepts of a store whose first coordinate tells the class: taken away by importance the class's probability
// falls further than in random orders, for every extraction and importance.
func TestVectorsConcepts(t *testing.T) {
	dir := labelledStore(t)
	args := []string{"vectors", "concepts", dir, "--site", "blocks.0.hook_resid_post", "--position", "first", "--label", "kind", "--concepts", "3"}
	code, out, errs := runCLI(t, append(args, "--method", "kmeans,pca,nmf,seminmf")...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	random, methods, rows := 0.0, 0, 0
	for _, line := range strings.Split(out, "\n") {
		if strings.HasPrefix(line, "CONCEPTS") {
			methods++
		}
		name, cells, _ := strings.Cut(line, "  ")
		fields := strings.Fields(cells)
		if len(fields) == 0 {
			continue
		}
		down, err := strconv.ParseFloat(fields[0], 64)
		switch name {
		case "random":
			random = down
		case "gradient x input", "integrated gradients", "occlusion", "shapley":
			if err != nil || !(down < random) {
				t.Errorf("%s: the area is %v, in random orders %v (%v)", line, down, random, err)
			}
			if !strings.Contains(line, "sea: ") || !strings.Contains(line, "art: ") {
				t.Errorf("%s: not both classes have a concept", line)
			}
			rows++
		}
	}
	if methods != 4 || rows != 16 {
		t.Errorf("%d extractions with %d importances:\n%s", methods, rows, out)
	}
	for _, bad := range [][]string{{"--method", "ica"}, {"--importance", "lime"}, {"--concepts", "0"}} {
		if code, _, errs := runCLI(t, append(args, bad...)...); code != 2 || !strings.Contains(errs, bad[0]) {
			t.Errorf("%v: exit code %d, %s", bad, code, errs)
		}
	}
	if code, _, _ := runCLI(t, "vectors", "concepts", dir); code != 2 {
		t.Errorf("without a site: exit code %d", code)
	}
}
