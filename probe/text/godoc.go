package text

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"path"
	"strings"
)

// declarations returns one document for each documented package clause and package-level declaration of a Go file.
// name is the file's path below src.
func declarations(name string, code []byte) ([]Doc, error) {
	if generated(code) {
		return nil, nil
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, code, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse: %w; the Go installation is damaged", err)
	}
	var out []Doc
	add := func(group *ast.CommentGroup, kind, symbol string) {
		if group == nil {
			return
		}
		s := plainComment(group.Text())
		if len(strings.Fields(s)) < 3 || isLicence(s) {
			return
		}
		out = append(out, Doc{
			Source: fmt.Sprintf("%s:%d", name, set.Position(group.Pos()).Line),
			Text:   s,
			Group:  path.Dir(name),
			Labels: map[string]string{"kind": kind, "name": symbol, "package": path.Dir(name)},
		})
	}
	add(file.Doc, "package", file.Name.Name)
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			kind := "func"
			if d.Recv != nil {
				kind = "method"
			}
			add(d.Doc, kind, d.Name.Name)
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			add(d.Doc, d.Tok.String(), specName(d.Specs))
			for _, spec := range d.Specs {
				add(specDoc(spec), d.Tok.String(), specName([]ast.Spec{spec}))
			}
		}
	}
	return out, nil
}

// specDoc is the comment before one specification of a parenthesised declaration.
func specDoc(spec ast.Spec) *ast.CommentGroup {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		return s.Doc
	case *ast.ValueSpec:
		return s.Doc
	}
	return nil
}

// specName is the first name that the specifications declare.
func specName(specs []ast.Spec) string {
	for _, spec := range specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			return s.Name.Name
		case *ast.ValueSpec:
			return s.Names[0].Name
		}
	}
	return ""
}

// generated tells whether the lines before the package clause say that a program wrote the file.
func generated(code []byte) bool {
	for line := range bytes.Lines(code) {
		line = bytes.TrimSpace(line)
		if bytes.HasPrefix(line, []byte("// Code generated ")) && bytes.HasSuffix(line, []byte(" DO NOT EDIT.")) {
			return true
		}
		if bytes.HasPrefix(line, []byte("package ")) {
			return false
		}
	}
	return false
}

func isLicence(s string) bool {
	return strings.HasPrefix(s, "Copyright ") || strings.Contains(s, "governed by a BSD-style")
}

// plainComment turns a doc comment into plain text: a line for each paragraph, heading and list item, without mark-up
// and code blocks.
func plainComment(s string) string {
	var lines []string
	var blocks func([]comment.Block)
	blocks = func(list []comment.Block) {
		for _, b := range list {
			switch b := b.(type) {
			case *comment.Paragraph:
				lines = append(lines, inline(b.Text))
			case *comment.Heading:
				lines = append(lines, inline(b.Text))
			case *comment.List:
				for _, item := range b.Items {
					blocks(item.Content)
				}
			}
		}
	}
	parser := comment.Parser{LookupSym: func(_, _ string) bool { return true }} // [Name] is a link: drop its brackets
	blocks(parser.Parse(s).Content)
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// inline is the visible text of a line of mark-up, its white space reduced to single spaces.
func inline(list []comment.Text) string {
	var b strings.Builder
	var walk func([]comment.Text)
	walk = func(list []comment.Text) {
		for _, t := range list {
			switch t := t.(type) {
			case comment.Plain:
				b.WriteString(string(t))
			case comment.Italic:
				b.WriteString(string(t))
			case *comment.Link:
				walk(t.Text)
			case *comment.DocLink:
				walk(t.Text)
			}
		}
	}
	walk(list)
	return strings.Join(strings.Fields(b.String()), " ")
}
