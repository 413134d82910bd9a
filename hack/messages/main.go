// Command messages collects the texts that users of this project's programs see: errors, events,
// conditions, help of flags and metrics, and output.
//
// Usage: messages ROOT FILE. ROOT is the root of the module. Each line that it writes to FILE is
// a Go file, a tab and a text in that Go file. FILE is linted, and is in the repository so that
// reviews show changes of messages.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// roots are the folders whose programs and packages talk to users.
var roots = []string{"api", "cmd", "controllers", "emulator", "hack", "internal"}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: messages ROOT FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "messages:", err)
		os.Exit(1)
	}
}

func run(root, file string) error {
	lines, err := collect(root)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// collect returns a sorted line for each text of each file of the roots.
func collect(root string) ([]string, error) {
	var lines []string
	for _, folder := range roots {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			for _, text := range texts(file) {
				lines = append(lines, filepath.ToSlash(name)+"\t"+text)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("collect the texts of %s: %w", folder, err)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// texts returns the string literals of a file that are prose, unordered and with duplicates. It
// looks at the text and not at the called function, because there are many ways from a text to an
// error, an event or a condition.
//
// It does not find single words, texts of other modules, or parts that are inserted at run time:
// these remain a verb such as "%s", or … in a concatenation. It also finds texts that nobody reads,
// such as scripts.
func texts(file *ast.File) []string {
	var found []string
	add := func(text string) {
		if text = strings.Join(strings.Fields(text), " "); prose.MatchString(text) {
			found = append(found, text)
		}
	}
	var visit func(ast.Node) bool
	visit = func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.ImportSpec, *ast.Field: // paths and struct tags
			return false
		case *ast.BasicLit:
			add(value(n))
		case *ast.BinaryExpr:
			if n.Op != token.ADD {
				return true
			}
			text, others := sum(n)
			add(text)
			for _, other := range others {
				ast.Inspect(other, visit)
			}
			return false
		}
		return true
	}
	ast.Inspect(file, visit)
	return found
}

// prose matches at least two words: letters on both sides of white space.
var prose = regexp.MustCompile(`\pL.*\s.*\pL`)

// sum returns the text of a concatenation, with … for each operand that is not a literal, and those
// operands.
func sum(e ast.Expr) (string, []ast.Expr) {
	switch n := e.(type) {
	case *ast.ParenExpr:
		return sum(n.X)
	case *ast.BinaryExpr:
		if n.Op == token.ADD {
			left, leftOthers := sum(n.X)
			right, rightOthers := sum(n.Y)
			return left + right, append(leftOthers, rightOthers...)
		}
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			return value(n), nil
		}
	}
	return "…", []ast.Expr{e}
}

// value returns the text of a string literal, or an empty string for other literals.
func value(literal *ast.BasicLit) string {
	if literal.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil { // the parser has already accepted it
		panic(err)
	}
	return text
}
