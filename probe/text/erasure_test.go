package text

import (
	"slices"
	"strings"
	"testing"
)

// TestErasureSuite: sizes, prompts with their spans, and no held-out prompt among the others.
func TestErasureSuite(t *testing.T) {
	domains, err := ErasureSuite()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range domains {
		names = append(names, d.Name)
		if len(d.Concepts) < 10 {
			t.Errorf("%s: %d concepts", d.Name, len(d.Concepts))
		}
		for _, c := range d.Concepts {
			seen := map[string]bool{}
			for _, held := range []bool{false, true} {
				prompts := d.Prompts(c, held)
				for _, name := range append(slices.Clone(c.Synonyms), c.Super) {
					prompts = append(prompts, d.Named(name, held)...)
				}
				for _, p := range prompts {
					if runes := []rune(p.Text); !strings.EqualFold(string(runes[p.Span[0]:p.Span[1]]), p.Word) {
						t.Errorf("%q: the span %v is not %q", p.Text, p.Span, p.Word)
					}
					if seen[p.Text] || strings.ContainsAny(p.Text, "{}") {
						t.Errorf("%q is there twice or has a slot", p.Text)
					}
					seen[p.Text] = true
				}
			}
		}
	}
	if !slices.Equal(names, []string{"objects", "people", "sensitive", "styles"}) {
		t.Fatalf("domains %v", names)
	}
	elephant, err := domains[0].Concept("elephant")
	if err != nil {
		t.Fatal(err)
	}
	if p := domains[0].Prompts(elephant, false)[0]; p.Text != "a photo of an elephant" || p.Split != Train || p.Span != [2]int{14, 22} {
		t.Errorf("%+v", p)
	}
	if _, err := domains[0].Concept("elefant"); err == nil || !strings.Contains(err.Error(), `did you mean "elephant"`) {
		t.Errorf("a misspelt concept: %v", err)
	}
}

func TestErasureErrors(t *testing.T) {
	const head = "[templates]\na photo of {a}\n[held-out templates]\na sketch of {a}\n[concepts]\n"
	good := "dog | animal | hound | cat | it barks\ncat | animal | kitty | dog | it purrs\n"
	if _, err := parseErasure("x", head+good); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ body, want string }{
		{"dog | animal", "before the first [section]"},
		{"[words]\n", "section [words] is unknown"},
		{head + "dog | animal | hound | cat\n", "line 6: 4 fields"},
		{head + "dog | animal | | cat | it barks\n", "lacks a field"},
		{head + "dog | animal | hound | wolf | it barks\n", `neighbour "wolf"`},
		{head + good + "dog | animal | hound | cat | it barks\n", "there twice"},
		{head + "dog | animal | hound | cat | a Hound barks\ncat | animal | kitty | dog | it purrs\n", `names it by "hound"`},
		{"[templates]\na photo of {b}\n", "line 2"},
		{"[templates]\n{x}\n[held-out templates]\n{x}\n[concepts]\n" + good, "held out and is not"},
		{"[concepts]\n" + good, "0 templates"},
	} {
		if _, err := parseErasure("x", test.body); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.body, err, test.want)
		}
	}
}
