package sae

import (
	"context"
	"errors"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"

	"loupe/internal/stats"
)

// bagOfWords embeds a text as counts of hashed words.
type bagOfWords struct{}

const bagWidth = 64

func (bagOfWords) Embed(_ context.Context, texts []string) ([]float32, int, error) {
	out := make([]float32, len(texts)*bagWidth)
	for i, text := range texts {
		out[i*bagWidth] = 0.1 // no text is empty
		for _, w := range strings.Fields(text) {
			h := fnv.New32a()
			h.Write([]byte(w))
			out[i*bagWidth+int(h.Sum32()%bagWidth)]++
		}
	}
	return out, bagWidth, nil
}

// overlapScorer finds a text likelier the more of its words the prompt has.
type overlapScorer struct{}

func (overlapScorer) LogLikelihood(_ context.Context, prompt, text string) (float64, error) {
	words := strings.Fields(text)
	known := 0.0
	for _, w := range words {
		if slices.Contains(strings.Fields(strings.TrimSuffix(prompt, ".\n")), w) {
			known++
		}
	}
	return known/float64(len(words)) - 3 - float64(len(text))/10, nil
}

func describedLatents() []Described {
	neutral := []string{"the old house", "a long road", "some paper here", "they went away"}
	return []Described{
		{1, "cats and dogs", []string{"two dogs ran", "the cats sleep", "dogs and cats"}, neutral},
		{5, "rivers and lakes", []string{"deep lakes there", "rivers run far", "rivers to lakes"}, neutral},
		{9, "music", []string{"loud music", "music again", "her music"}, neutral},
	}
}

// TestDescriptionScores: right descriptions score 1 by both scorers and their neighbours' about a half; wrong ones score lower.
func TestDescriptionScores(t *testing.T) {
	scorers := map[string]func([]Described) (InterpReport, error){
		"embedding": func(d []Described) (InterpReport, error) {
			return ScoreByEmbedding(t.Context(), bagOfWords{}, d, percentile(200))
		},
		"likelihood": func(d []Described) (InterpReport, error) {
			return ScoreByLikelihood(t.Context(), overlapScorer{}, d, percentile(200))
		},
	}
	for name, score := range scorers {
		right := describedLatents()
		r, err := score(right)
		if err != nil {
			t.Fatal(err)
		}
		if r.AUC.Value < 0.95 || math.Abs(r.Control.Value-0.5) > 0.3 || r.Gain.Low <= 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if len(r.Scores) != 3 || r.Scores[1].Latent != 5 {
			t.Errorf("%s: scores %+v", name, r.Scores)
		}
		wrong := describedLatents()
		for i := range wrong {
			wrong[i].Description = right[(i+1)%3].Description
		}
		w, err := score(wrong)
		if err != nil {
			t.Fatal(err)
		}
		near(t, name+" of wrong descriptions", w.AUC.Value, r.Control.Value, 1e-12) // they are the control
		if _, err := score(right[:1]); !errors.Is(err, stats.ErrTooFew) {
			t.Errorf("%s: one latent: %v", name, err)
		}
		right[2].Active = nil
		if _, err := score(right); !errors.Is(err, stats.ErrTooFew) {
			t.Errorf("%s: no active text: %v", name, err)
		}
	}
}

func TestReadDescriptions(t *testing.T) {
	got, err := ReadDescriptions(strings.NewReader("{\"latent\": 0, \"description\": \"cats\"}\n\n{\"latent\": 3, \"description\": \"dogs\"}\n"), 4)
	if err != nil || len(got) != 2 || got[0] != "cats" || got[3] != "dogs" {
		t.Errorf("got %v, %v", got, err)
	}
	for line, want := range map[string]string{
		`{"latent": 4, "description": "x"}`: "not one of 0 to 3", `{"description": "x"}`: "latent is missing", `{"latent": 1}`: "no description",
		`{"latent": 1, "text": "x"}`: "unknown field", `{"latent": 1, "description": "x"} 5`: "more than one", `nonsense`: "line 1",
		"{\"latent\": 1, \"description\": \"x\"}\n{\"latent\": 1, \"description\": \"y\"}": "line 2: latent 1 is there twice",
		`{"latent": 1, "description": "` + strings.Repeat("x", maxDescriptionLine) + `"}`:  "at most",
	} {
		if _, err := ReadDescriptions(strings.NewReader(line), 4); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", line, err, want)
		}
	}
}

func FuzzReadDescriptions(f *testing.F) {
	f.Add("{\"latent\": 0, \"description\": \"cats\"}\n")
	f.Add("{\"latent\": -1}")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadDescriptions(strings.NewReader(text), 8)
		if err != nil {
			return
		}
		for l, d := range got {
			if l < 0 || l >= 8 || strings.TrimSpace(d) == "" {
				t.Errorf("latent %d with %q was accepted", l, d)
			}
		}
	})
}

func TestDescribeByTokens(t *testing.T) {
	tokens, shares := []string{" cat", "Cat", " dog", " bird"}, []float64{0.4, 0.2, 0.2, 0.1}
	for cover, want := range map[float64]string{0: "", 0.3: "cat", 0.7: "cat, dog", 1: "cat, dog, bird"} {
		if got := DescribeByTokens(tokens, shares, cover); got != want {
			t.Errorf("cover %v: %q, want %q", cover, got, want)
		}
	}
}
