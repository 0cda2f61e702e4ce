package token

type chatTemplates map[string]string

const defaultTemplate = "default"

func (c *chatTemplates) add(name, source string) {
	if *c == nil {
		*c = chatTemplates{}
	}
	(*c)[name] = source
}

type chatTemplateJSON map[string]string
