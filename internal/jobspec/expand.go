package jobspec

import "strings"

// scanVariables splits a text at its variables like the kubelet does in command, args and values of
// env (k8s.io/kubernetes, third_party/forked/golang/expansion). It calls literal for each literal
// part, with $ for $$, and variable with the NAME of each $(NAME). It stops if one of them returns
// false.
func scanVariables(text string, literal, variable func(string) bool) {
	for text != "" {
		before, rest, found := strings.Cut(text, "$")
		if !literal(before) || !found {
			return
		}
		name, after, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")")
		var goesOn bool
		switch {
		case strings.HasPrefix(rest, "$"):
			goesOn, text = literal("$"), rest[len("$"):]
		case strings.HasPrefix(rest, "(") && closed:
			goesOn, text = variable(name), after
		default:
			goesOn, text = literal("$"), rest
		}
		if !goesOn {
			return
		}
	}
}

// expandedLength bounds what expand returns, in bytes: variables may refer to each other, so that a
// small template grows exponentially.
const expandedLength = 512

// expand replaces the variables with known values in a text, and cuts the result to expandedLength.
// It does not expand the values again.
func expand(text string, known map[string]string) string {
	var expanded strings.Builder
	add := func(part string) bool {
		expanded.WriteString(part[:min(len(part), expandedLength-expanded.Len())])
		return expanded.Len() < expandedLength
	}
	scanVariables(text, add, func(name string) bool {
		if value, ok := known[name]; ok {
			return add(value)
		}
		return add("$(" + name + ")")
	})
	return expanded.String()
}
