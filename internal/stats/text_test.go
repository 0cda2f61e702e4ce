package stats_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"loupe/internal/stats"
)

func TestNGramsHand(t *testing.T) {
	texts := [][]string{{"a", "b", "a", "b"}, {"b", "c"}, {"d"}}
	one := must[stats.NGrams](t)(stats.CountNGrams(texts, 1)) // a 2, b 3, c 1, d 1
	near(t, "distinct-1", one.DistinctRatio(), 4.0/7, 1e-15)
	near(t, "entropy-1", one.Entropy(), -(2*math.Log2(2.0/7)+3*math.Log2(3.0/7)+2*math.Log2(1.0/7))/7, 1e-14)
	near(t, "EAD of 4 words", must[float64](t)(one.ExpectationAdjusted(4)), 1/(1-math.Pow(0.75, 7)), 1e-14)
	near(t, "EAD of 1 word", must[float64](t)(one.ExpectationAdjusted(1)), 4, 1e-14)
	two := must[stats.NGrams](t)(stats.CountNGrams(texts, 2)) // ab 2, ba 1, bc 1; none across texts
	if two.Distinct != 3 || two.Total != 4 {
		t.Errorf("%d of %d bigrams, want 3 of 4", two.Distinct, two.Total)
	}
	near(t, "entropy-2", two.Entropy(), 1.5, 1e-15)
	near(t, "entropy of one 4-gram", must[stats.NGrams](t)(stats.CountNGrams(texts, 4)).Entropy(), 0, 0)
}

// TestNGramBoundaries: tokens that join to the same text are different bigrams.
func TestNGramBoundaries(t *testing.T) {
	g := must[stats.NGrams](t)(stats.CountNGrams([][]string{{"a b", "c"}, {"a", "b c"}, {"", "a bc"}, {"\x00", "\x01"}, {"\x00\x01", ""}}, 2))
	if g.Distinct != 5 {
		t.Errorf("%d distinct bigrams, want 5", g.Distinct)
	}
}

// TestUniformEntropy: as many different words as tokens has the entropy log2 n; the order of texts does not matter.
func TestUniformEntropy(t *testing.T) {
	words := strings.Split("abcdefghijklmnop", "")
	near(t, "entropy", must[stats.NGrams](t)(stats.CountNGrams([][]string{words}, 1)).Entropy(), 4, 1e-14)
	texts := [][]string{{"x", "y", "x"}, {"y", "z"}, words}
	forward := must[stats.NGrams](t)(stats.CountNGrams(texts, 2))
	slices.Reverse(texts)
	if got := must[stats.NGrams](t)(stats.CountNGrams(texts, 2)); got.Entropy() != forward.Entropy() || got.Total != forward.Total {
		t.Errorf("reversed texts give %+v, before %+v", got, forward)
	}
}

func TestRougeHand(t *testing.T) {
	split := strings.Fields
	tests := []struct {
		name                  string
		reference, prediction string
		one, two, l           int // shared n-grams, longest common subsequence
	}{
		{"the same", "a b c", "a b c", 3, 2, 3},
		{"clipped", "a a a b", "a b a a", 4, 2, 3}, // aa, ab against ab, ba, aa
		{"reversed", "a b c d", "d c b a", 4, 0, 1},
		{"gaps", "the cat sat on the mat", "the mat the cat on a mat", 5, 2, 4},
		{"nothing shared", "a b", "c d", 0, 0, 0},
		{"no prediction", "a b", "", 0, 0, 0},
		{"no text", "", "", 0, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, p := split(test.reference), split(test.prediction)
			checkOverlap(t, "ROUGE-1", must[stats.Overlap](t)(stats.RougeN(r, p, 1)), test.one, len(r), len(p))
			checkOverlap(t, "ROUGE-2", must[stats.Overlap](t)(stats.RougeN(r, p, 2)), test.two, len(r)-1, len(p)-1)
			checkOverlap(t, "ROUGE-L", stats.RougeL(r, p), test.l, len(r), len(p))
			swapped := stats.RougeL(p, r)
			checkOverlap(t, "ROUGE-L swapped", swapped, test.l, len(p), len(r))
		})
	}
}

func checkOverlap(t *testing.T, what string, got stats.Overlap, shared, inReference, inPrediction int) {
	t.Helper()
	if shared == 0 {
		if got != (stats.Overlap{}) {
			t.Errorf("%s = %+v, want zeros", what, got)
		}
		return
	}
	near(t, what+" recall", got.Recall, float64(shared)/float64(inReference), 1e-15)
	near(t, what+" precision", got.Precision, float64(shared)/float64(inPrediction), 1e-15)
	near(t, what+" F", got.F, 2*float64(shared)/float64(inReference+inPrediction), 1e-15)
}

// TestRougeTokens holds outputs of rouge-score 0.1.2.
func TestRougeTokens(t *testing.T) {
	tests := []struct {
		text string
		stem bool
		want string
	}{
		{"Don't STOP-me_now, 42nd!", false, "don t stop me now 42nd"},
		{"naïve café", false, "na ve caf"},
		{"\u0130stanbul 300\u212a", false, "i stanbul 300k"}, // capital I with dot; the Kelvin sign lowers to k
		{"Running dogs was flies", true, "run dog was fli"},
		{" \t\n", true, ""},
	}
	for _, test := range tests {
		if got := strings.Join(stats.RougeTokens(test.text, test.stem), " "); got != test.want {
			t.Errorf("RougeTokens(%q, %v) = %q, want %q", test.text, test.stem, got, test.want)
		}
	}
}

// TestPorterStem goes through the rules; the stems are those of Porter's paper, or of NLTK where it departs from the paper.
func TestPorterStem(t *testing.T) {
	tests := map[string]string{
		// step 1a
		"caresses": "caress", "ponies": "poni", "ties": "tie", "caress": "caress", "cats": "cat",
		// step 1b
		"feed": "feed", "agreed": "agre", "plastered": "plaster", "bled": "bled", "motoring": "motor", "sing": "sing",
		"conflated": "conflat", "troubled": "troubl", "sized": "size", "hopping": "hop", "tanned": "tan", "falling": "fall",
		"hissing": "hiss", "fizzed": "fizz", "failing": "fail", "filing": "file", "tied": "tie", "tried": "tri",
		// step 1c
		"happy": "happi", "sky": "sky", "enjoy": "enjoy", "fly": "fli", "by": "by",
		// step 2
		"relational": "relat", "conditional": "condit", "rational": "ration", "valency": "valenc", "hesitancy": "hesit",
		"digitizer": "digit", "conformably": "conform", "radically": "radic", "differently": "differ", "analogously": "analog",
		"vietnamization": "vietnam", "predication": "predic", "operator": "oper", "feudalism": "feudal", "decisiveness": "decis",
		"hopefulness": "hope", "callousness": "callous", "formality": "formal", "sensitivity": "sensit", "sensibility": "sensibl",
		"theology": "theolog", "geology": "geolog", "hopefully": "hope",
		// step 3
		"triplicate": "triplic", "formative": "form", "formalize": "formal", "electricity": "electr", "electrical": "electr", "goodness": "good",
		// step 4
		"revival": "reviv", "allowance": "allow", "inference": "infer", "airliner": "airlin", "adjustable": "adjust",
		"defensible": "defens", "irritant": "irrit", "replacement": "replac", "adjustment": "adjust", "dependent": "depend",
		"adoption": "adopt", "communism": "commun", "activate": "activ", "homologous": "homolog", "effective": "effect", "bowdlerize": "bowdler",
		// step 5
		"probate": "probat", "rate": "rate", "cease": "ceas", "controlling": "control", "roll": "roll",
		// irregular, short and odd words
		"dying": "die", "skies": "sky", "news": "news", "innings": "inning", "as": "as", "": "", "yyyy": "yyyi", "123s": "123",
	}
	for word, want := range tests {
		if got := stats.PorterStem(word); got != want {
			t.Errorf("PorterStem(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzRouge(f *testing.F) {
	f.Add("He controls stories", "controlling the story")
	f.Add("\u0130ied eed", "yyying \xff logi")
	f.Fuzz(func(t *testing.T, reference, prediction string) {
		for _, stem := range []bool{false, true} {
			r, p := stats.RougeTokens(reference, stem), stats.RougeTokens(prediction, stem)
			one, l := must[stats.Overlap](t)(stats.RougeN(r, p, 1)), stats.RougeL(r, p)
			for _, v := range []float64{one.Recall, one.Precision, one.F, l.Recall, l.Precision, l.F} {
				if !(v >= 0 && v <= 1) {
					t.Fatalf("overlap %v outside [0, 1]", v)
				}
			}
			if l.Recall > one.Recall {
				t.Fatalf("ROUGE-L recall %v exceeds ROUGE-1's %v", l.Recall, one.Recall)
			}
			for _, token := range append(r, p...) {
				if token == "" || strings.Trim(token, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
					t.Fatalf("token %q", token)
				}
			}
			stats.PorterStem(reference)
		}
	})
}
