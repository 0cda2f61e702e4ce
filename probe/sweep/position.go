package sweep

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"loupe/probe"
	"loupe/probe/store"
	"loupe/vectors"
)

// places returns the token rows that a position stands for in each of the documents. Documents without such a token, or
// whose span does not align with tokens, are in bad, with the reason.
func (s *source) places(p position, docs []int) (rows [][]int64, bad map[int]string, err error) {
	var from, to []string
	if p.spans() {
		if from, err = s.label("span_start"); err != nil {
			return nil, nil, err
		}
		if to, err = s.label("span_end"); err != nil {
			return nil, nil, err
		}
	}
	rows, bad = make([][]int64, len(docs)), map[int]string{}
	for i, doc := range docs {
		var why string
		if p.spans() {
			rows[i], why, err = s.span(p, doc, from[doc], to[doc])
			if err != nil {
				return nil, nil, err
			}
		} else {
			rows[i], why = s.tokens(p, doc)
		}
		if why != "" {
			bad[doc] = why
		}
	}
	return rows, bad, nil
}

// tokens returns a document's rows at a position that needs no span.
func (s *source) tokens(p position, doc int) (rows []int64, why string) {
	all := s.rows[doc]
	if p.kind == "cls" {
		if len(all) == 0 {
			return nil, "it has no tokens"
		}
		return all[:1], ""
	}
	var plain []int64
	for _, r := range all {
		if !s.special[r] {
			plain = append(plain, r)
		}
	}
	if p.kind == "mean" {
		if len(plain) == 0 {
			return nil, "it has no tokens but special ones"
		}
		return plain, ""
	}
	at := p.at
	if at < 0 {
		at += len(plain)
	}
	if at < 0 || at >= len(plain) {
		return nil, fmt.Sprintf("it has %d tokens that are not special", len(plain))
	}
	return plain[at : at+1], ""
}

// span returns a document's rows in its span [from, to) of code points. A token may reach over the span's ends only by
// white space and punctuation (a byte-level token starts with its space); a token that cuts a word does not align.
func (s *source) span(p position, doc int, from, to string) (rows []int64, why string, err error) {
	lo, errLo := strconv.Atoi(from)
	hi, errHi := strconv.Atoi(to)
	if errLo != nil || errHi != nil || lo < 0 || hi <= lo {
		return nil, fmt.Sprintf("its span is [%s, %s)", from, to), nil
	}
	text, _, err := s.docs.Text(doc)
	if err != nil {
		return nil, "", err
	}
	runes := []rune(text)
	for _, r := range s.rows[doc] {
		a, b := int(s.start[r]), int(s.end[r])
		if s.special[r] || a >= hi || b <= lo || a == b {
			continue
		}
		rows = append(rows, r)
		for _, over := range [][2]int{{a, lo}, {hi, b}} {
			if over[0] < over[1] && over[1] <= len(runes) && strings.ContainsFunc(string(runes[over[0]:over[1]]), isWord) {
				return nil, fmt.Sprintf("the token at [%d, %d) cuts its span [%d, %d)", a, b, lo, hi), nil
			}
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Sprintf("no token lies in its span [%d, %d); was it truncated?", lo, hi), nil
	}
	switch p.kind {
	case "span-first":
		rows = rows[:1]
	case "span-last":
		rows = rows[len(rows)-1:]
	}
	return rows, "", nil
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// misaligned is an error that lists texts without a usable position.
func (s *source) misaligned(p string, docs []int, bad map[int]string) error {
	var list []string
	for _, doc := range docs {
		if why, ok := bad[doc]; ok && len(list) < 5 {
			list = append(list, s.name(doc)+": "+why)
		}
	}
	return fmt.Errorf("probe: %d of %d texts have no position %s: %s. Set misaligned to drop to leave them out, or choose another position",
		len(bad), len(docs), p, strings.Join(list, "; "))
}

// gather reads the mean of each document's rows of a site, [docs, d].
func (s *source) gather(site store.Site, rows [][]int64) (probe.Rows, error) {
	d := site.Dim()
	out := probe.Rows{N: len(rows), D: d, Values: make([]float32, len(rows)*d)}
	const batch = 4096
	var index []int64
	var of []int
	values := make([]float32, 0)
	flush := func() error {
		if cap(values) < len(index)*d {
			values = make([]float32, len(index)*d)
		}
		values = values[:len(index)*d]
		if err := s.st.Gather(values, site.Name, index); err != nil {
			return err
		}
		for k, doc := range of {
			share := 1 / float32(len(rows[doc]))
			row := out.Values[doc*d : (doc+1)*d]
			for j, v := range values[k*d : (k+1)*d] {
				row[j] += share * v
			}
		}
		index, of = index[:0], of[:0]
		return nil
	}
	for doc, list := range rows {
		if len(list) == 0 {
			return out, fmt.Errorf("probe: a text has no row of site %s: %w", site.Name, vectors.ErrShape)
		}
		for _, r := range list {
			index, of = append(index, r), append(of, doc)
		}
		if len(index) >= batch {
			if err := flush(); err != nil {
				return out, err
			}
		}
	}
	return out, flush()
}

// sequences reads the rows of all documents of a token site.
func (s *source) sequences(site store.Site, rows [][]int64) (probe.Sequences, error) {
	out := probe.Sequences{Start: []int{0}}
	var index []int64
	for _, list := range rows {
		index = append(index, list...)
		out.Start = append(out.Start, len(index))
	}
	out.Rows = probe.Rows{N: len(index), D: site.Dim(), Values: make([]float32, len(index)*site.Dim())}
	return out, s.st.Gather(out.Values, site.Name, index)
}
