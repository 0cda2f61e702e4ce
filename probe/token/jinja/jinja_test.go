package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// ordered reads JSON and keeps the order of objects.
type ordered struct{ v any }

func (o *ordered) UnmarshalJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	v, err := readOrdered(dec)
	o.v = v
	return err
}

func readOrdered(dec *json.Decoder) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if i, err := t.Int64(); err == nil {
			return i, nil
		}
		return t.Float64()
	case json.Delim:
		if t == '[' {
			out := []any{}
			for dec.More() {
				v, err := readOrdered(dec)
				if err != nil {
					return nil, err
				}
				out = append(out, v)
			}
			_, err := dec.Token()
			return out, err
		}
		d := NewDict()
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := readOrdered(dec)
			if err != nil {
				return nil, err
			}
			d.Set(k.(string), v)
		}
		_, err := dec.Token()
		return d, err
	}
	return t, nil
}

// TestSnippets compares with Jinja 3.1 as transformers sets it up (token/testdata/make_chats.py).
func TestSnippets(t *testing.T) {
	raw, err := os.ReadFile("testdata/snippets.json")
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Now      time.Time
		Vars     map[string]ordered
		Snippets []struct {
			Template string
			Want     *string
			Error    string
		}
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	vars := map[string]any{}
	for k, v := range c.Vars {
		vars[k] = v.v
	}
	failures := 0
	for _, s := range c.Snippets {
		got, err := render(s.Template, vars, Options{Now: c.Now})
		switch {
		case s.Want == nil:
			failures++
			if err == nil {
				t.Errorf("%q: %q where Jinja has a %s", s.Template, got, s.Error)
			}
		case err != nil:
			t.Errorf("%q: %v", s.Template, err)
		case got != *s.Want:
			t.Errorf("%q\n got %q\nwant %q", s.Template, got, *s.Want)
		}
	}
	t.Logf("%d snippets, %d of them errors", len(c.Snippets), failures)
}

func render(source string, vars map[string]any, opt Options) (string, error) {
	tmpl, err := Parse(source)
	if err != nil {
		return "", err
	}
	return tmpl.Render(vars, opt)
}

// TestLimits runs templates that would take all time or memory.
func TestLimits(t *testing.T) {
	small := Limits{Steps: 200_000, Size: 1 << 20}
	for name, source := range map[string]string{
		"nested loops":   `{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}`,
		"long range":     `{{ range(1000000000) }}`,
		"doubling text":  `{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}`,
		"doubling list":  `{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}`,
		"shared lists":   `{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}`,
		"shared to json": `{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}`,
		"repetition":     `{{ 'x' * 1000000000000 }}`,
		"repeated list":  `{{ [1] * 1000000000000 }}`,
		"recursion":      `{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}`,
		"output":         `{% for a in range(1000) %}{{ 'x' * 10000 }}{% endfor %}`,
		"replacement":    `{% set s = 'x' * 100000 %}{{ s.replace('x', s) }}`,
		"joined":         `{% set s = 'x' * 100000 %}{{ range(1000) | join(s) }}`,
		"indentation":    `{% set s = '\n' * 100000 %}{{ s | indent(999, blank=true) }}`,
	} {
		start := time.Now()
		_, err := render(source, nil, Options{Limits: small})
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%s: error %v, want ErrLimit", name, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
	for name, source := range map[string]string{
		"brackets":  `{{ ` + strings.Repeat("(", 10000) + `1` + strings.Repeat(")", 10000) + ` }}`,
		"not":       `{{ ` + strings.Repeat("not ", 10000) + `1 }}`,
		"minus":     `{{ ` + strings.Repeat("-", 10000) + `1 }}`,
		"blocks":    strings.Repeat(`{% if 1 %}`, 10000),
		"otherwise": `{{ ` + strings.Repeat("1 if 0 else ", 10000) + `1 }}`,
		"too long":  strings.Repeat("x", maxSource+1),
	} {
		if _, err := Parse(source); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestErrors wants the line and the reason in the text of an error.
func TestErrors(t *testing.T) {
	for source, want := range map[string]string{
		"a\n\n{{ missing.x }}":                        "line 3: 'missing' is undefined",
		"{% if x %}\n{{ 1 + }}":                       "line 2",
		"{% include 'secrets' %}":                     "include",
		"{{ raise_exception('no') }}":                 ErrRaised.Error() + ": no",
		"{{ strftime_now('%Y') }}":                    "asks for the time",
		"{{ x | nosuch }}":                            `unknown filter "nosuch"`,
		"{{ x is nosuch }}":                           `unknown test "nosuch"`,
		"{% for x in [1] recursive %}":                "recursive",
		"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}": "at most 1 arguments, not 2",
	} {
		_, err := render(source, nil, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", source, err, want)
		}
	}
	if _, err := render("x", map[string]any{"f": func() {}}, Options{}); err == nil || !strings.Contains(err.Error(), "variable f") {
		t.Errorf("a function as a variable: %v", err)
	}
	if _, err := render("{{ raise_exception('no') }}", nil, Options{}); !errors.Is(err, ErrRaised) {
		t.Errorf("%v is not ErrRaised", err)
	}
}

// FuzzRender looks for panics and for templates that escape the limits.
func FuzzRender(f *testing.F) {
	raw, err := os.ReadFile("testdata/snippets.json")
	if err != nil {
		f.Fatal(err)
	}
	var c struct{ Snippets []struct{ Template string } }
	if err := json.Unmarshal(raw, &c); err != nil {
		f.Fatal(err)
	}
	for _, s := range c.Snippets {
		f.Add(s.Template)
	}
	vars := map[string]any{"l": []any{1, 2, 3}, "s": "Hello", "d": map[string]any{"a": 1, "b": []any{nil, true}}}
	f.Fuzz(func(t *testing.T, source string) {
		limits := Limits{Steps: 20_000, Size: 1 << 16}
		a, errA := render(source, vars, Options{Limits: limits})
		b, errB := render(source, vars, Options{Limits: limits})
		if a != b || fmt.Sprint(errA) != fmt.Sprint(errB) {
			t.Fatalf("two renderings differ: %q, %v and %q, %v", a, errA, b, errB)
		}
		if len(a) > limits.Size {
			t.Fatalf("%d bytes of output", len(a))
		}
	})
}

func ExampleTemplate_Render() {
	t, err := Parse("{% for m in messages %}\n<{{ m.role }}> {{ m.content | trim }}\n{% endfor %}")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := t.Render(map[string]any{"messages": []any{NewDict().Set("role", "user").Set("content", " Hello ")}}, Options{})
	fmt.Printf("%q %v\n", text, err)
	// Output: "<user> Hello\n" <nil>
}
