package integration

import "strconv"

// runnerCases returns the cases for the lists of spec.runner with Kubernetes' own elements.
func runnerCases() []ruleCase {
	variables := func(names ...string) edit {
		var env []any
		for _, name := range names {
			env = append(env, map[string]any{"name": name, "value": "x"})
		}
		return set("runner.env", env)
	}
	numberedVariables := func(count int) edit {
		var names []string
		for i := range count {
			names = append(names, "VARIABLE_"+strconv.Itoa(i))
		}
		return variables(names...)
	}
	sources := func(count int) edit {
		var from []any
		for i := range count {
			from = append(from, map[string]any{"configMapRef": map[string]any{"name": "proxy-" + strconv.Itoa(i)}})
		}
		return set("runner.envFrom", from)
	}
	return []ruleCase{
		{
			covers: "spec.runner.env maxItems",
			passes: []edit{numberedVariables(100), set("runner.env", nil)},
			fails:  []edit{numberedVariables(101)},
			says:   "spec.runner.env: Too many: 101: must have at most 100 items",
		},
		{
			covers: "spec.runner.env x-kubernetes-list-map-keys",
			passes: []edit{variables("HTTPS_PROXY", "https_proxy")},
			fails:  []edit{variables("HTTPS_PROXY", "HTTPS_PROXY")},
			says:   `spec.runner.env[1]: Duplicate value: {"name":"HTTPS_PROXY"}`,
		},
		{
			covers: "spec.runner.envFrom maxItems",
			passes: []edit{sources(100), set("runner.envFrom", nil)},
			fails:  []edit{sources(101)},
			says:   "spec.runner.envFrom: Too many: 101: must have at most 100 items",
		},
	}
}
