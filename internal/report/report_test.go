package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sample is a report with every kind of block, whose texts are all s.
func sample(s string) Report {
	return Report{Title: s, Command: s, Config: s, Sections: []Section{
		{Title: s, Blocks: []Block{
			Text{Text: s + "\n\n" + s},
			Numbers{Numbers: []Number{{Label: s, Value: s, Unit: s, Note: s}, {Label: s, Value: 0.25}}},
			Table{Caption: s, Columns: []Column{{Name: s, Unit: s, Doc: s}, {Name: s}, {Name: s}}, Rows: [][]any{
				{s, Interval{0.5, 0.4, 0.6, 20}, 3}, {s, Interval{Value: 0.7, N: 1}, nil},
			}},
		}},
		{Title: s, Blocks: []Block{
			Line{Title: s, XLabel: s, YLabel: s, Series: []Series{
				{Name: s, X: []float64{1, 2, 3}, Y: []float64{1, 4, 9}, Low: []float64{0, 3, 8}, High: []float64{2, 5, 10}},
				{Name: s, X: []float64{1, 3}, Y: []float64{2, 2}},
			}},
			Bar{Title: s, XLabel: s, YLabel: s, Labels: []string{s, s}, Values: []float64{1, -2}, Low: []float64{0.5, -3}, High: []float64{1.5, -1}},
			Histogram{Title: s, XLabel: s, Values: []float64{1, 1, 2, 5}, Bins: 4},
		}},
	}}
}

func render(t testing.TB, r Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Render(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// doc is what a parser finds in a page.
type doc struct {
	elements map[string]int
	attrs    map[string]int
	texts    map[string]int    // trimmed text -> count
	script   map[string]string // script by type
	titles   map[string]int    // values of title, aria-label and data-v
}

func parse(t testing.TB, page string) doc {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	out := doc{map[string]int{}, map[string]int{}, map[string]int{}, map[string]string{}, map[string]int{}}
	scriptType, depth := "", 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			if depth != 0 {
				t.Errorf("%d elements are not closed", depth)
			}
			return out
		}
		if err != nil {
			t.Fatalf("the page does not parse: %v", err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			depth++
			out.elements[tok.Name.Local]++
			scriptType = ""
			for _, a := range tok.Attr {
				out.attrs[a.Name.Local]++
				switch a.Name.Local {
				case "type":
					scriptType = a.Value
				case "title", "aria-label", "data-v":
					out.titles[a.Value]++
				}
			}
			if tok.Name.Local == "script" && scriptType == "" {
				scriptType = "js"
			}
		case xml.EndElement:
			depth--
			scriptType = ""
		case xml.CharData:
			if scriptType != "" {
				out.script[scriptType] += string(tok)
			} else if s := strings.TrimSpace(string(tok)); s != "" {
				out.texts[s]++
			}
		}
	}
}

func TestPage(t *testing.T) {
	page := render(t, sample("plain words"))
	d := parse(t, page)
	for name, want := range map[string]int{"html": 1, "h1": 1, "h2": 2, "section": 2, "table": 1, "tr": 3, "td": 6, "th": 3, "figure": 3, "svg": 3, "polyline": 2, "polygon": 1, "rect": 2 + 4, "dl": 1, "script": 2} {
		if got := d.elements[name]; got != want {
			t.Errorf("%d <%s>, want %d", got, name, want)
		}
	}
	for _, want := range []string{"[0.4000, 0.6000], n = 20", "n = 1", "0.2500"} {
		if d.texts[want] == 0 {
			t.Errorf("the page does not show %q", want)
		}
	}
	var data struct {
		Title    string
		Sections []struct {
			Blocks []map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(d.script["application/json"]), &data); err != nil {
		t.Fatal(err)
	}
	var h Histogram
	if err := json.Unmarshal(data.Sections[1].Blocks[2]["histogram"], &h); err != nil || !reflect.DeepEqual(h.Values, []float64{1, 1, 2, 5}) {
		t.Errorf("data of the histogram: %+v, %v", h, err)
	}
	if again := render(t, sample("plain words")); again != page {
		t.Error("equal reports give different bytes")
	}
}

func TestHostileText(t *testing.T) {
	plain := parse(t, render(t, sample("plain words")))
	for _, s := range []string{
		`</script><script>alert(1)</script>`,
		`"><img src=x onerror=alert(1)>`,
		`'><svg/onload=alert(1)>`,
		`<!-- --> <![CDATA[ ]]> </style></title></textarea>`,
		`{{.Config}} ${x} ` + "`y`",
		`&lt;b&gt; & &amp; &#x3c;`,
		"line\u2028sep\u2029 日本 \u202e",
		`javascript:alert(1)`,
	} {
		d := parse(t, render(t, sample(s)))
		if !reflect.DeepEqual(d.elements, plain.elements) || !reflect.DeepEqual(d.attrs, plain.attrs) {
			t.Errorf("%q changes the structure: %v %v", s, d.elements, d.attrs)
		}
		if got, want := d.texts[s], plain.texts["plain words"]; got == 0 || got > want {
			t.Errorf("%q is shown %d times, plain text %d times", s, got, want)
		}
		if d.titles[s] != plain.titles["plain words"] {
			t.Errorf("%q: %d attributes, want %d", s, d.titles[s], plain.titles["plain words"])
		}
		raw := map[string]any{}
		if err := json.Unmarshal([]byte(d.script["application/json"]), &raw); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if raw["title"] != s || raw["config"] != s {
			t.Errorf("%q became %q in the data", s, raw["title"])
		}
		if d.script["js"] != plain.script["js"] {
			t.Errorf("%q changes the script", s)
		}
	}
}

func TestNoOutsideReferences(t *testing.T) {
	page := render(t, sample("plain words"))
	d := parse(t, page)
	for _, a := range []string{"src", "href", "srcset", "action", "data", "poster", "xlink:href", "background"} {
		if d.attrs[a] != 0 {
			t.Errorf("the page has an attribute %s", a)
		}
	}
	for _, e := range []string{"link", "img", "iframe", "object", "embed", "base", "form"} {
		if d.elements[e] != 0 {
			t.Errorf("the page has an element %s", e)
		}
	}
	for _, s := range []string{"http:", "https:", "url(", "@import", "fetch(", "XMLHttpRequest", "import("} {
		if strings.Contains(page, s) {
			t.Errorf("the page contains %s", s)
		}
	}
	if !strings.Contains(page, "default-src &#39;none&#39;") && !strings.Contains(page, "default-src 'none'") {
		t.Error("the page has no content security policy")
	}
}

func TestRefuses(t *testing.T) {
	nan := math.NaN()
	for name, tc := range map[string]struct {
		b    Block
		want string
	}{
		"short row":     {Table{Caption: "t", Columns: []Column{{Name: "a"}}, Rows: [][]any{{1, 2}}}, "row 1 has 2 cells"},
		"NaN cell":      {Table{Caption: "t", Columns: []Column{{Name: "a"}}, Rows: [][]any{{nan}}}, `column "a"`},
		"odd cell":      {Table{Caption: "t", Columns: []Column{{Name: "a"}}, Rows: [][]any{{[]int{1}}}}, "[]int"},
		"interval":      {Numbers{[]Number{{Label: "x", Value: Interval{1, 2, 0, 5}}}}, "upside down"},
		"no label":      {Line{Title: "t", XLabel: "x", Series: []Series{{X: []float64{1}, Y: []float64{1}}}}, "labels"},
		"lengths":       {Line{Title: "t", XLabel: "x", YLabel: "y", Series: []Series{{X: []float64{1}, Y: nil}}}, "1 x and 0 y"},
		"band":          {Line{Title: "t", XLabel: "x", YLabel: "y", Series: []Series{{X: []float64{1}, Y: []float64{1}, Low: []float64{1}}}}, "lower"},
		"nothing":       {Line{Title: "t", XLabel: "x", YLabel: "y"}, "nothing"},
		"infinite":      {Line{Title: "t", XLabel: "x", YLabel: "y", Series: []Series{{X: []float64{1}, Y: []float64{math.Inf(1)}}}}, "not finite"},
		"log of zero":   {Line{Title: "t", XLabel: "x", YLabel: "y", LogY: true, Series: []Series{{X: []float64{1}, Y: []float64{0}}}}, "logarithmic"},
		"bars":          {Bar{Title: "t", XLabel: "x", YLabel: "y", Labels: []string{"a"}}, "0 values"},
		"empty counts":  {Histogram{Title: "t", XLabel: "x"}, "nothing to count"},
		"NaN count":     {Histogram{Title: "t", XLabel: "x", Values: []float64{nan}}, "not finite"},
		"too far apart": {Histogram{Title: "t", XLabel: "x", Values: []float64{-1e308, 1e308}}, "too far"},
	} {
		err := Report{Title: "r", Sections: []Section{{Title: "s", Blocks: []Block{tc.b}}}}.Render(io.Discard)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "section 1 (s), block 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAxis(t *testing.T) {
	for _, tc := range []struct {
		values    []float64
		log, zero bool
		want      []float64
	}{
		{[]float64{0, 10}, false, false, []float64{0, 2, 4, 6, 8, 10}},
		{[]float64{3, 7}, false, true, []float64{0, 2, 4, 6, 8}},
		{[]float64{-0.3, 0.9}, false, false, []float64{-0.5, 0, 0.5, 1}},
		{[]float64{0.01, 50}, true, false, []float64{0.01, 0.1, 1, 10, 100}},
		{[]float64{5}, false, false, []float64{4.4, 4.6, 4.8, 5, 5.2, 5.4, 5.6}},
	} {
		a, err := newAxis(tc.values, tc.log, tc.zero, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		ok := len(a.ticks) == len(tc.want)
		for i := 0; ok && i < len(a.ticks); i++ {
			ok = math.Abs(a.ticks[i]-tc.want[i]) < 1e-9
		}
		if !ok {
			t.Errorf("%v: ticks %v, want %v", tc.values, a.ticks, tc.want)
		}
		if first, last := a.at(a.ticks[0]), a.at(a.ticks[len(a.ticks)-1]); math.Abs(first) > 1e-9 || math.Abs(last-100) > 1e-9 {
			t.Errorf("%v: ends at %v and %v", tc.values, first, last)
		}
	}
	// Ranges that defeat naive tick loops.
	for _, v := range [][]float64{{1e18, 1e18 + 1024}, {0, 5e-324}, {1e300, 1.0000001e300}, {-1e-300, 1e-300}} {
		a, err := newAxis(v, false, false, 0, 1)
		if err != nil || len(a.ticks) < 2 || len(a.ticks) > 20 {
			t.Errorf("%v: %d ticks, %v", v, len(a.ticks), err)
		}
	}
}

func TestCount(t *testing.T) {
	edges, counts, err := Histogram{Values: []float64{0, 1, 1.5, 2, 4}, Bins: 4}.count()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(edges, []float64{0, 1, 2, 3, 4}) || !reflect.DeepEqual(counts, []float64{1, 2, 1, 1}) {
		t.Errorf("edges %v, counts %v", edges, counts)
	}
	_, counts, err = Histogram{Values: []float64{7, 7, 7, 7, 7, 7, 7, 7, 7}}.count()
	if err != nil || len(counts) != 3 || counts[1] != 9 {
		t.Errorf("equal values: %v, %v", counts, err)
	}
}

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 3: "3", -12: "-12", 0.25: "0.2500", 123.456: "123.5", 98765.4: "98765", 1.5e-7: "1.500e-07", 2.5e9: "2.500e+09", 0.00123456: "0.001235"} {
		if got := short(x); got != want {
			t.Errorf("short(%v) = %s, want %s", x, got, want)
		}
	}
}

func TestSortKeys(t *testing.T) {
	h, err := Table{Columns: []Column{{Name: "v"}, {Name: "mixed"}}, Rows: [][]any{{Interval{1.0 / 3, 0, 1, 9}, "a"}, {nil, 2}}}.html()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`data-v="0.3333333333333333"`, `<td class="n" data-v=""></td>`, `data-sort="number" class="n" title="">v<`, `data-sort="text" title="">mixed<`} {
		if !strings.Contains(string(h), want) {
			t.Errorf("the table lacks %s:\n%s", want, h)
		}
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.html")
	r := sample("x")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	r.Sections[0].Blocks = append(r.Sections[0].Blocks, Histogram{})
	if err := r.Write(path); err == nil {
		t.Fatal("a bad block is accepted")
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != render(t, sample("x")) {
		t.Errorf("a failed write has spoilt the old report: %v", err)
	}
}

// ExampleReport_Render shows the shape of a report.
func ExampleReport_Render() {
	r := Report{Title: "demo", Command: "loupe demo", Sections: []Section{{Title: "Result", Blocks: []Block{
		Numbers{Numbers: []Number{{Label: "FVU", Value: Interval{0.21, 0.2, 0.22, 3}, Note: "mean ablation: 1"}}},
	}}}}
	var b bytes.Buffer
	if err := r.Render(&b); err != nil {
		fmt.Println(err)
	}
	fmt.Println(strings.Contains(b.String(), "<dt>FVU</dt>"))
	// Output: true
}
