// Package jinja renders the part of the Jinja template language that chat templates use.
//
// # Overview
//
// Parse reads a template, Render fills it in. The dialect is the one that Hugging Face transformers gives to chat templates: blocks
// are trimmed and left-stripped, values cannot be changed in place, {% break %}, {% continue %} and {% generation %} exist, tojson
// writes plain JSON, and raise_exception and strftime_now are functions. Values print as Python prints them.
//
// Templates come from strangers. A template sees nothing but the variables that it is given: there is no include, import or
// extends, no file, no clock but the one in Options, no attribute that starts with an underscore. Source length, nesting, steps,
// the sizes of strings and lists, and output are bounded, and what goes beyond is an error. What this package does not know (a
// statement, filter or test) is an error when the template is parsed.
//
// # References
//
//   - The language: jinja.palletsprojects.com, version 3.1.
//   - The chat dialect: github.com/huggingface/transformers, src/transformers/utils/chat_template_utils.py.
package jinja
