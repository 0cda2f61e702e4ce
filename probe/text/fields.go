package text

import (
	"fmt"
	"strings"

	"loupe/internal/config"
)

// fields lists the fields that a record must have: text first, then labels, then group and split where configured.
func (c CorpusConfig) fields() []string {
	names := append([]string{c.TextField}, c.LabelFields...)
	if c.GroupField != "" {
		names = append(names, c.GroupField)
	}
	if c.SplitField != "" {
		names = append(names, c.SplitField)
	}
	return names
}

// doc makes a document of the values of c.fields(), in that order.
func (c CorpusConfig) doc(values []string, where, name string) Doc {
	d := Doc{Source: where, Group: name, Text: values[0]}
	values = values[1:]
	if len(c.LabelFields) > 0 {
		d.Labels = make(map[string]string, len(c.LabelFields))
		for i, label := range c.LabelFields {
			d.Labels[label] = values[i]
		}
		values = values[len(c.LabelFields):]
	}
	if c.GroupField != "" {
		d.Group, values = values[0], values[1:]
	}
	if c.SplitField != "" {
		d.Split = values[0]
	}
	return d
}

// missing is the error for a field that is not among those that where has.
func missing(where, what, want string, have []string) error {
	if near, ok := config.Nearest(want, have); ok {
		return fmt.Errorf("text: %s: no %s %q; did you mean %q?", where, what, want, near)
	}
	const most = 20
	list := strings.Join(have, ", ")
	if len(have) > most {
		list = strings.Join(have[:most], ", ") + ", ..."
	}
	return fmt.Errorf("text: %s: no %s %q; it has: %s; set text_field, label_fields, group_field or split_field", where, what, want, list)
}
