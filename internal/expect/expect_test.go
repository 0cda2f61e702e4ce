package expect

import (
	"math"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	lines, err := parse([]byte(`
- {metric: fvu, op: "<=", value: 0.2, from: a}
- {metric: fvu, use: high, op: "<=", value: 0.2, from: a}
- {metric: cosine, use: low, op: ">=", value: 0.9, from: a}
- {metric: cosine, op: ">=", value: 0.95, from: a}
- {metric: count, use: low, op: ">=", value: 1, from: a}
- {metric: absent, op: ">=", value: 1, from: a}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := Judge(lines, map[string]Metric{
		"fvu": {0.2, 0.19, 0.21}, "cosine": {0.95, 0.9, 0.99}, "count": {3, math.NaN(), math.NaN()},
	})
	want := []Verdict{Reproduced, Missed, Reproduced, Reproduced, NotApplicable, NotApplicable}
	for i, j := range got {
		if j.Verdict != want[i] {
			t.Errorf("line %d (%s %s): %s, want %s", i+1, j.Metric, j.Use, j.Verdict, want[i])
		}
		if (j.Got == nil) != (j.Verdict == NotApplicable) || (j.Why == "") != (j.Got != nil) {
			t.Errorf("line %d: got %v, why %q", i+1, j.Got, j.Why)
		}
	}
	for _, j := range Refuse(lines, "other settings") {
		if j.Verdict != NotApplicable || j.Why != "other settings" || j.Got != nil {
			t.Errorf("refused line: %+v", j)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":       {"", "no expectations"},
		"unknown key": {`[{metric: a, op: ">=", value: 1, from: b, bar: 2}]`, "bar"},
		"no metric":   {`[{op: ">=", value: 1, from: b}]`, "no metric"},
		"operator":    {`[{metric: a, op: "==", value: 1, from: b}]`, "use <= or >="},
		"part":        {`[{metric: a, op: ">=", use: mean, value: 1, from: b}]`, "value, low or high"},
		"no source":   {`[{metric: a, op: ">=", value: 1}]`, "where the expectation comes from"},
		"nan":         {`[{metric: a, op: ">=", value: .nan, from: b}]`, "NaN"},
		"not a list":  {`metric: a`, "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
