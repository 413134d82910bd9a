package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// ruleSample is valid and has every field with a rule. Tests edit it as YAML, like users, because
// typed objects leave out empty fields.
const ruleSample = `
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CustomAction
metadata:
  name: sample
spec:
  actionType:
    category: Test
    provider: sample
    version: "1"
    settings:
      thirdPartyConfigurationUrl: https://ci.example.com/register
      entityUrlTemplate: https://ci.example.com/{Config:Target}
      executionUrlTemplate: https://ci.example.com/runs/{ExternalExecutionId}
      revisionUrlTemplate: https://ci.example.com/{Config:Target}/edit
    configurationProperties:
    - {name: Target, required: true, key: true, secret: false, queryable: false, description: What to test, type: String}
    - {name: Token, required: true, key: false, secret: true}
    - {name: Note, required: false, key: false, secret: false}
    inputArtifactDetails: {minimumCount: 0, maximumCount: 1}
    outputArtifactDetails: {minimumCount: 0, maximumCount: 1}
    tags:
    - {key: team, value: web}
  registration: Managed
  deletionPolicy: Retain
  accountRef: {name: default}
  region: us-east-1
  polling:
    interval: 10s
    maxConcurrentJobs: 10
  artifacts:
    links: Keep
    unpack: Auto
    inputs:
    - {name: image, unpack: Never}
  runner:
    ca: {name: aws-ca, key: ca.crt}
  timeout: 1h
  gracePeriods: {imagePull: 5m, scheduling: 1h, start: 5m, node: 5m}
  progress:
    interval: 30s
  ttlSecondsAfterFinished: 60
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - {name: work, image: "work:1"}
`

// edit changes the spec of an object.
type edit func(spec any) any

// set sets fields of the spec, such as "actionType.tags.0.key". Nil removes a field.
func set(pathsAndValues ...any) edit {
	return func(spec any) any {
		for i := 0; i < len(pathsAndValues); i += 2 {
			spec = put(spec, strings.Split(pathsAndValues[i].(string), "."), pathsAndValues[i+1])
		}
		return spec
	}
}

func put(node any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if list, ok := node.([]any); ok {
		at, err := strconv.Atoi(path[0])
		if err != nil {
			panic(err)
		}
		list[at] = put(list[at], path[1:], value)
		return list
	}
	fields, ok := node.(map[string]any)
	if !ok {
		fields = map[string]any{} // absent so far
	}
	fields[path[0]] = put(fields[path[0]], path[1:], value)
	if fields[path[0]] == nil {
		delete(fields, path[0])
	}
	return fields
}

// edited returns the sample of a CustomAction with another name and with edits.
func (w *world) edited(name string, edits ...edit) *unstructured.Unstructured {
	w.T.Helper()
	return w.editedSample(ruleSample, name, edits...)
}

func (w *world) editedSample(sample, name string, edits ...edit) *unstructured.Unstructured {
	w.T.Helper()
	object := &unstructured.Unstructured{}
	w.Expect(yaml.Unmarshal([]byte(sample), &object.Object)).To(Succeed())
	object.SetNamespace(w.Namespace)
	object.SetName(name)
	for _, change := range edits {
		object.Object["spec"] = change(object.Object["spec"])
	}
	// Edits may use any Go type. Convert them to JSON types.
	text, err := json.Marshal(object.Object)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(object.UnmarshalJSON(text)).To(Succeed())
	return object
}

// ruledKind is a kind whose CRD is compared with tables.
type ruledKind struct {
	plural string
	// sample is valid and has every field with a rule.
	sample string
	// foreign are Kubernetes' own schemas in its spec.
	foreign []string
	// cases cover all rules for the creation of an object, and updates those for changes.
	cases   []ruleCase
	updates []updateCase
}

func customActions() ruledKind {
	return ruledKind{
		plural: "customactions",
		sample: ruleSample,
		foreign: []string{
			"jobTemplate", "workspace.properties.volumeClaimTemplate.properties", "workspace.properties.volumeClaimTemplate.required",
			"runner.properties.env.items", "runner.properties.envFrom.items", "runner.properties.resources",
		},
		cases:   ruleCases(),
		updates: updateCases(),
	}
}

// ruledKinds returns all kinds that users write.
func ruledKinds() []ruledKind { return []ruledKind{customActions(), accounts()} }

// ruleCase has edits that pass at the limits of a constraint, edits that fail beyond them, and the
// expected messages, in the form of refusals.
type ruleCase struct {
	covers        string // the constraint, as constraintsOf names it
	passes, fails []edit
	says          string
}

const (
	first     = "actionType.configurationProperties.0."
	queryable = first + "queryable"
	site      = "https://ci.example.com/"
)

func of(characters int) string { return strings.Repeat("a", characters) }

// ruleCases returns the cases for all rules for the creation of a CustomAction.
func ruleCases() []ruleCase {
	return slices.Concat(actionTypeCases(), foreignCases(), settingsCases(), propertyCases(), tagCases(), pollingCases(), workspaceCases(), artifactCases(), runnerCases(), otherCases())
}

func actionTypeCases() []ruleCase {
	cases := []ruleCase{
		{
			covers: "spec.actionType.category enum",
			passes: []edit{
				set("actionType.category", "Source"), set("actionType.category", "Build"), set("actionType.category", "Deploy"),
				set("actionType.category", "Test"), set("actionType.category", "Invoke"), set("actionType.category", "Approval"),
				set("actionType.category", "Compute"),
			},
			fails: []edit{set("actionType.category", "test"), set("actionType.category", "")},
			says:  `spec.actionType.category: supported values: "Source", "Build", "Deploy", "Test", "Invoke", "Approval", "Compute"`,
		},
		lengthAtMost("actionType.provider", 35), lengthAtLeast("actionType.provider", 1),
		nameRule("actionType.provider", "provider may have letters, digits, underscores and hyphens only, such as PipelineJob-Build"),
		lengthAtMost("actionType.version", 9), lengthAtLeast("actionType.version", 1),
		nameRule("actionType.version", "version may have letters, digits, underscores and hyphens only, 1 to 9 of them: write 1 or 1-0-0 for 1.0.0"),
		required("actionType.category", "set it to the kind of stage that the action is for, such as Build or Test"),
		required("actionType.provider", "set it to the name under which pipelines know the action, such as PipelineJob-Build"),
		required("actionType.version", `set it to the version of the definition, such as "1"`),
		required("actionType.inputArtifactDetails", "set it to how many input artifacts an action takes, such as {minimumCount: 0, maximumCount: 1}"),
		required("actionType.outputArtifactDetails", "set it to how many output artifacts an action gives, such as {minimumCount: 0, maximumCount: 1}"),
	}
	for _, side := range []string{"actionType.inputArtifactDetails", "actionType.outputArtifactDetails"} {
		fewest, most := side+".minimumCount", side+".maximumCount"
		cases = append(cases,
			atMost(most, 5), atLeast(most, 0), atMost(fewest, 5, most, 5), atLeast(fewest, 0),
			ruleCase{
				covers: constraint(fewest, "rule: minimumCount must not be over maximumCount"),
				passes: []edit{set(fewest, 2, most, 2)},
				fails:  []edit{set(fewest, 2, most, 1)},
				says:   inMessage(fewest) + ": minimumCount must not be over maximumCount: lower it, or raise maximumCount",
			},
		)
	}
	return cases
}

// atMost returns the case for the maximum of a number, with other fields that it needs.
func atMost(field string, limit int, others ...any) ruleCase {
	return ruleCase{
		covers: constraint(field, "maximum"),
		passes: []edit{and(set(others...), set(field, limit))},
		fails:  []edit{and(set(others...), set(field, limit+1))},
		says:   fmt.Sprintf("%s: should be less than or equal to %d", inMessage(field), limit),
	}
}

// atLeast returns the case for the minimum of a number.
func atLeast(field string, limit int) ruleCase {
	return ruleCase{
		covers: constraint(field, "minimum"),
		passes: []edit{set(field, limit)},
		fails:  []edit{set(field, limit-1)},
		says:   fmt.Sprintf("%s: should be greater than or equal to %d", inMessage(field), limit),
	}
}

// atMostByRule returns the case for a maximum that is a rule, because of its message.
func atMostByRule(field string, limit int, message string) ruleCase {
	return ruleCase{
		covers: constraint(field, "rule: "+start(message)),
		passes: []edit{set(field, limit)},
		fails:  []edit{set(field, limit+1), set(field, math.MaxInt32)},
		says:   inMessage(field) + ": " + message,
	}
}

// lengthAtMost returns the case for a maxLength of a field without a pattern.
func lengthAtMost(field string, limit int) ruleCase {
	return longest(field, "", limit)
}

// longest returns the case for a maxLength of a field whose value begins with a prefix.
func longest(field, prefix string, limit int) ruleCase {
	return ruleCase{
		covers: constraint(field, "maxLength"),
		passes: []edit{set(field, prefix+of(limit-len(prefix)))},
		fails:  []edit{set(field, prefix+of(limit+1-len(prefix)))},
		says:   fmt.Sprintf("%s: Too long: may not be more than %d bytes", inMessage(field), limit),
	}
}

// lengthAtLeast returns the case for a minLength.
func lengthAtLeast(field string, limit int) ruleCase {
	return ruleCase{
		covers: constraint(field, "minLength"),
		passes: []edit{set(field, of(limit))},
		fails:  []edit{set(field, of(limit-1))},
		says:   fmt.Sprintf("%s: should be at least %d chars long", inMessage(field), limit),
	}
}

// nameRule returns the case for the pattern of names in CodePipeline's model, with the operator's
// message.
func nameRule(field, message string) ruleCase {
	return ruleCase{
		covers: constraint(field, "rule: "+start(message)),
		passes: []edit{set(field, "AZaz09_-")},
		fails:  []edit{set(field, "a b"), set(field, "1.0.0"), set(field, "ä"), set(field, "a\n")},
		says:   inMessage(field) + ": " + message,
	}
}

// required returns the case for a field that a rule requires: see ForeignKeys.
func required(field, message string) ruleCase {
	return ruleCase{
		covers: constraint(field, "rule: "+start(message)),
		passes: []edit{and()},
		fails:  []edit{set(field, nil)},
		says:   inMessage(field) + ": Required value: " + message,
	}
}

var element = regexp.MustCompile(`\.([0-9]+)`)

// constraint returns the name of a constraint on a field in the form of set.
func constraint(field, of string) string {
	return "spec." + element.ReplaceAllString(field, "[]") + " " + of
}

// inMessage returns the name in messages of a field in the form of set.
func inMessage(field string) string {
	return "spec." + element.ReplaceAllString(field, "[$1]")
}

func settingsCases() []ruleCase {
	var cases []ruleCase
	for _, name := range []string{"thirdPartyConfigurationUrl", "entityUrlTemplate", "executionUrlTemplate", "revisionUrlTemplate"} {
		field := "actionType.settings." + name
		shortest := lengthAtLeast(field, 1)
		shortest.passes = []edit{set(field, "http://")} // one letter is not a URL
		cases = append(cases, longest(field, site, 2048), shortest, ruleCase{
			covers: constraint(field, "rule: "+name+" must begin with http:// or https://"),
			passes: []edit{
				set(field, "http://ci.example.com"), set(field, "https://ci.example.com"), set(field, site+"?a=%7B$(b)[c]"),
				set(field, "{Config:Target}/job"), set(field, "{Config:Target}"),
				set("registration", "External", field, "ci.example.com"), set("registration", "External", field, "{Any}://{Config:Note}}"),
			},
			fails: []edit{set(field, "ci.example.com"), set(field, "ftp://ci.example.com"), set(field, " https://ci.example.com"), set(field, "{Target}/job")},
			says:  inMessage(field) + ": " + name + " must begin with http:// or https://, or with {Config:NAME} of a property whose values do: users follow it as a link",
		})
	}
	return append(cases,
		templateCase("thirdPartyConfigurationUrl", "the only placeholder of thirdPartyConfigurationUrl is {Config:NAME}"),
		templateCase("entityUrlTemplate", "the only placeholder of entityUrlTemplate is {Config:NAME}"),
		templateCase("executionUrlTemplate", "the only placeholders of executionUrlTemplate are {ExternalExecutionId} and {Config:NAME}"),
		templateCase("revisionUrlTemplate", "the only placeholders of revisionUrlTemplate are {RevisionId} and {Config:NAME}"),
	)
}

// templateCase returns the case for URL templates.
func templateCase(name, rule string) ruleCase {
	field := "actionType.settings." + name
	c := ruleCase{
		covers: constraint(field, "rule: "+rule),
		passes: []edit{
			set(field, site+"{Config:Target}"),
			set(field, site+strings.Repeat("{Config:Target}", 100)),
			set("registration", "External", field, site+"{Config:Other}{Config:Token}"),
			set(first+"name", "My target", "actionType.settings", map[string]any{name: site + "{Config:My target}"}),
		},
		says: inMessage(field) + ": " + rule + ", where NAME is one of configurationProperties that is required and not secret. ",
	}
	for _, refused := range []string{
		"{Config:Token}", "{Config:Note}", "{Config:Other}", "{Config:target}", "{Config: Target}", "{Target}", "{}", "{revisionId}",
		"{Config:Target}{Config:Other}", "{{Config:Target}}", "{Config:Target", "Target}", "{externalExecutionId}",
	} {
		c.fails = append(c.fails, set(field, site+refused))
	}
	c.fails = append(c.fails, set("actionType.settings", map[string]any{name: site + "{Config:Target}"}, "actionType.configurationProperties", nil))
	// The largest values, because the API server bounds the cost of rules.
	most := make([]any, 10)
	for i := range most {
		most[i] = map[string]any{"name": strconv.Itoa(i), "required": true, "key": false, "secret": false}
	}
	c.passes = append(c.passes, set("actionType.configurationProperties", most,
		"actionType.settings", map[string]any{name: site + strings.Repeat("{Config:9}", (2048-len(site))/len("{Config:9}"))}))
	external := set(field, site+"{Config:Target}/{ExternalExecutionId}")
	if name == "executionUrlTemplate" {
		c.passes = append(c.passes, external)
	} else {
		c.fails = append(c.fails, external)
	}
	revision := set(field, site+"{RevisionId}/{Config:Target}")
	if name == "revisionUrlTemplate" {
		c.passes = append(c.passes, revision)
	} else {
		c.fails = append(c.fails, revision)
	}
	return c
}

func propertyCases() []ruleCase {
	properties := func(names ...string) edit {
		list := []any{}
		for _, name := range names {
			list = append(list, map[string]any{"name": name, "required": true, "key": false, "secret": false})
		}
		return set("actionType.configurationProperties", list, "actionType.settings", nil)
	}
	numbered := func(count int) edit {
		names := make([]string, count)
		for i := range names {
			names[i] = "p" + strconv.Itoa(i)
		}
		return properties(names...)
	}
	long := make([]string, 10)
	for i := range long {
		long[i] = of(49) + strconv.Itoa(i)
	}
	named := func(name string) edit { return set("actionType.settings", nil, first+"name", name) }
	queried := set("polling.queryParam", map[string]any{"Target": "a"})
	return []ruleCase{
		{
			covers: "spec.actionType.configurationProperties maxItems",
			passes: []edit{numbered(10), numbered(0), set("actionType.configurationProperties", nil, "actionType.settings", nil)},
			fails:  []edit{numbered(11)},
			says:   "spec.actionType.configurationProperties: Too many: 11: must have at most 10 items",
		},
		{
			covers: "spec.actionType.configurationProperties x-kubernetes-list-map-keys",
			passes: []edit{properties("A", "B")},
			fails:  []edit{properties("A", "A")},
			says:   `spec.actionType.configurationProperties[1]: Duplicate value: {"name":"A"}`,
		},
		{
			covers: "spec.actionType.configurationProperties rule: two names become the same environment variable",
			passes: []edit{properties("Build-ID", "BuildID"), properties(long...), properties("é", "éé"), properties(" ", "  ")},
			fails:  []edit{properties("Build-ID", "x", "build_id"), properties("a b", "a.b"), properties("é", "ü")},
			says: "spec.actionType.configurationProperties: two names become the same environment variable: " +
				"steps see a property as CODEPIPELINE_CONFIG_ and its name in upper case, with _ for all but letters and digits. Rename one",
		},
		{
			covers: "spec.actionType.configurationProperties rule: at most one property may be queryable",
			passes: []edit{and(set(queryable, true), queried)},
			fails: []edit{set(queryable, true, "actionType.configurationProperties.2.queryable", true,
				"actionType.configurationProperties.2.required", true)},
			says: "spec.actionType.configurationProperties: at most one property may be queryable: set queryable to false for the others",
		},
		{
			covers: "spec.actionType.configurationProperties[].required rule: a queryable property must be required",
			passes: []edit{and(set(queryable, true), queried)},
			fails:  []edit{and(set(queryable, true, first+"required", false), queried)},
			says:   "spec.actionType.configurationProperties[0].required: a queryable property must be required: set required to true, or queryable to false",
		},
		{
			covers: "spec.actionType.configurationProperties[].secret rule: a queryable property must not be secret",
			passes: []edit{and(set(queryable, true), queried)},
			fails:  []edit{and(set(queryable, true, first+"secret", true), queried)},
			says:   "spec.actionType.configurationProperties[0].secret: a queryable property must not be secret: set secret to false, or queryable to false",
		},
		{
			covers: "spec.actionType.configurationProperties[].name maxLength",
			passes: []edit{named(of(50)), named(strings.Repeat("ü", 50))},
			fails:  []edit{named(of(51))},
			says:   "spec.actionType.configurationProperties[0].name: Too long: may not be more than 50 bytes",
		},
		{
			covers: "spec.actionType.configurationProperties[].name minLength",
			passes: []edit{named("a")},
			fails:  []edit{named("")},
			says:   "spec.actionType.configurationProperties[0].name: should be at least 1 chars long",
		},
		lengthAtMost(first+"description", 160), lengthAtLeast(first+"description", 1),
		{
			covers: "spec.actionType.configurationProperties[].type enum",
			passes: []edit{set(first+"type", "String"), set(first+"type", "Number"), set(first+"type", "Boolean"), set(first+"type", nil)},
			fails:  []edit{set(first+"type", "string"), set(first+"type", "")},
			says:   `spec.actionType.configurationProperties[0].type: supported values: "String", "Number", "Boolean"`,
		},
	}
}

// and combines edits.
func and(edits ...edit) edit {
	return func(spec any) any {
		for _, change := range edits {
			spec = change(spec)
		}
		return spec
	}
}

func tagCases() []ruleCase {
	tags := func(keys ...string) edit {
		list := []any{}
		for _, key := range keys {
			list = append(list, map[string]any{"key": key, "value": ""})
		}
		return set("actionType.tags", list)
	}
	numbered := func(count int) edit {
		keys := make([]string, count)
		for i := range keys {
			keys[i] = strconv.Itoa(i)
		}
		return tags(keys...)
	}
	const key, value = "actionType.tags.0.key", "actionType.tags.0.value"
	const characters = `^[\p{L}\p{N}\p{Z}_.:/=+@-]*$`
	return []ruleCase{
		{
			covers: "spec.actionType.tags maxItems",
			passes: []edit{numbered(47), set("actionType.tags", nil)},
			fails:  []edit{numbered(48)},
			says:   "spec.actionType.tags: Too many: 48: must have at most 47 items",
		},
		{
			covers: "spec.actionType.tags x-kubernetes-list-map-keys",
			passes: []edit{tags("team", "Team")},
			fails:  []edit{tags("team", "team")},
			says:   `spec.actionType.tags[1]: Duplicate value: {"key":"team"}`,
		},
		lengthAtMost(key, 128), lengthAtLeast(key, 1), lengthAtMost(value, 256),
		{
			covers: constraint(key, "pattern"),
			passes: []edit{set(key, "Größe 1_.:/=+@-")},
			fails:  []edit{set(key, "a?"), set(key, "a\n"), set(key, "😀")},
			says:   inMessage(key) + ": should match '" + characters + "'",
		},
		{
			covers: constraint(value, "pattern"),
			passes: []edit{set(value, "Größe 1_.:/=+@-"), set(value, "")},
			fails:  []edit{set(value, "a?"), set(value, "a\n"), set(value, "😀")},
			says:   inMessage(value) + ": should match '" + characters + "'",
		},
		{
			covers: constraint(key, "rule: key must not begin with aws"),
			passes: []edit{set(key, "aws"), set(key, "my-aws:team"), set(value, "aws:x")},
			fails:  []edit{set(key, "aws:team"), set(key, "AWS:team"), set(key, "aWs:")},
			says:   inMessage(key) + `: key must not begin with aws: in any case, for such tags are AWS's own: choose another key`,
		},
		{
			covers: constraint(key, "rule: key must not begin with codepipeline.pipelinejob.dev/"),
			passes: []edit{set(key, "codepipeline.pipelinejob.dev"), set(key, "x.codepipeline.pipelinejob.dev/name")},
			fails:  []edit{set(key, "codepipeline.pipelinejob.dev/name"), set(key, "codepipeline.pipelinejob.dev/x")},
			says:   inMessage(key) + `: key must not begin with codepipeline.pipelinejob.dev/: such tags say which object the action type belongs to, and the operator sets them. Choose another key`,
		},
	}
}

func pollingCases() []ruleCase {
	const param = "polling.queryParam"
	polled := func(value string) edit { return set(queryable, true, param, map[string]any{"Target": value}) }
	return []ruleCase{
		{
			covers: "spec.polling.queryParam rule: queryParam must hold the queryable one of actionType.configurationProperties",
			passes: []edit{polled("eu-1")},
			fails: []edit{
				set(queryable, true),
				set(queryable, true, "polling", nil),
				set(queryable, true, param, map[string]any{}),
				set(queryable, true, param, map[string]any{"Note": "eu-1"}),
				set(queryable, true, param, map[string]any{"target": "eu-1"}),
			},
			says: "spec.polling.queryParam: queryParam must hold the queryable one of actionType.configurationProperties, " +
				"with the value to poll for: CodePipeline takes no poll without it. Set it, or set queryable to false",
		},
		{
			covers: "spec.polling.queryParam rule: queryParam must be absent",
			passes: []edit{set("polling", nil), set(param, map[string]any{})},
			fails: []edit{
				set(param, map[string]any{"Target": "eu-1"}),
				set(param, map[string]any{"Target": "eu-1"}, queryable, nil),
				set(param, map[string]any{"Target": "eu-1"}, "actionType.configurationProperties", nil, "actionType.settings", nil),
			},
			says: "spec.polling.queryParam: queryParam must be absent: no property of actionType.configurationProperties is queryable, " +
				"and CodePipeline then refuses a poll with it. Remove it, or make its property queryable",
		},
		{
			covers: "spec.polling.queryParam maxProperties",
			passes: []edit{polled("eu-1")},
			fails:  []edit{set(queryable, true, param, map[string]any{"Target": "eu-1", "Note": "x"})},
			says:   "spec.polling.queryParam: Too many: 2: must have at most 1 item",
		},
		{
			covers: "spec.polling.queryParam{} maxLength",
			passes: []edit{polled(of(50))},
			fails:  []edit{polled(of(51))},
			says:   "spec.polling.queryParam.Target: Too long: may not be more than 50 bytes",
		},
		{
			covers: "spec.polling.queryParam{} minLength",
			passes: []edit{polled("a")},
			fails:  []edit{polled("")},
			says:   "spec.polling.queryParam.Target: should be at least 1 chars long",
		},
		{
			covers: "spec.polling.queryParam{} pattern",
			passes: []edit{polled("azAZ09_-")},
			fails:  []edit{polled("a b"), polled("a.b"), polled("ä")},
			says:   "spec.polling.queryParam.Target: should match '^[a-zA-Z0-9_-]+$'",
		},
		duration("polling.interval", "1s", "1h", "must be from 1s to 1h, such as 30s or 5m"),
		atMost("polling.maxConcurrentJobs", 1000), atLeast("polling.maxConcurrentJobs", 1),
	}
}

// duration returns the case for the bounds of a duration.
func duration(field, least, most, message string) ruleCase {
	shortest, err := time.ParseDuration(least)
	if err != nil {
		panic(err)
	}
	return ruleCase{
		covers: constraint(field, "rule: "+start(message)),
		passes: []edit{set(field, least), set(field, most)},
		fails:  []edit{set(field, (shortest - time.Millisecond).String()), set(field, most+"1ms"), set(field, "-"+most), set(field, "0s")},
		says:   inMessage(field) + ": " + message,
	}
}

func workspaceCases() []ruleCase {
	claim := map[string]any{"spec": map[string]any{"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "200Gi"}}}}
	workspace := func(of map[string]any) edit { return set("workspace", of) }
	return []ruleCase{
		{
			covers: "spec.workspace.medium enum",
			passes: []edit{workspace(map[string]any{"medium": "Memory", "sizeLimit": "1Gi"})},
			fails:  []edit{workspace(map[string]any{"medium": "memory", "sizeLimit": "1Gi"}), workspace(map[string]any{"medium": "HugePages", "sizeLimit": "1Gi"})},
			says:   `spec.workspace.medium: supported values: "Memory"`,
		},
		{
			covers: "spec.workspace.sizeLimit pattern",
			passes: []edit{workspace(map[string]any{"sizeLimit": "20Gi"}), workspace(map[string]any{"sizeLimit": 1 << 30})},
			fails:  []edit{workspace(map[string]any{"sizeLimit": "20 GB"}), workspace(map[string]any{"sizeLimit": "1e100"})},
			says:   `spec.workspace.sizeLimit: should match '^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$'`,
		},
		{
			covers: "spec.workspace.sizeLimit maxLength",
			passes: []edit{workspace(map[string]any{"sizeLimit": strings.Repeat("0", 29) + "1Gi"})},
			fails:  []edit{workspace(map[string]any{"sizeLimit": strings.Repeat("0", 30) + "1Gi"})},
			says:   "spec.workspace.sizeLimit: Too long: may not be more than 32 bytes",
		},
		{
			covers: "spec.workspace.sizeLimit rule: sizeLimit can't be set beside volumeClaimTemplate",
			passes: []edit{workspace(map[string]any{"volumeClaimTemplate": claim}), set("workspace", nil), workspace(map[string]any{})},
			fails:  []edit{workspace(map[string]any{"volumeClaimTemplate": claim, "sizeLimit": "20Gi"})},
			says: "spec.workspace.sizeLimit: sizeLimit can't be set beside volumeClaimTemplate: remove it, " +
				"and set spec.resources.requests.storage of the claim",
		},
		{
			covers: "spec.workspace.medium rule: medium can't be set beside volumeClaimTemplate",
			fails:  []edit{workspace(map[string]any{"volumeClaimTemplate": claim, "medium": "Memory"})},
			says:   "spec.workspace.medium: medium can't be set beside volumeClaimTemplate: remove one of the two",
		},
		{
			covers: "spec.workspace.sizeLimit rule: sizeLimit must be set with medium Memory",
			fails:  []edit{workspace(map[string]any{"medium": "Memory"})},
			says:   "spec.workspace.sizeLimit: sizeLimit must be set with medium Memory: without it the workspace could take all of the node's memory",
		},
	}
}

// regionRule returns the case for the code of a region.
func regionRule(field string) ruleCase {
	return ruleCase{
		covers: constraint(field, "rule: must be the code of an AWS region"),
		passes: []edit{set(field, "eu-central-1"), set(field, "us-gov-west-1")},
		fails: []edit{
			set(field, "EU-CENTRAL-1"), set(field, "eu_central_1"), set(field, "eu-central-1 "), set(field, "eu-*"),
			set(field, "eu.example.com/"), set(field, "eu-central-1\n"),
		},
		says: inMessage(field) + ": must be the code of an AWS region, such as eu-central-1: lower-case letters, digits and hyphens only",
	}
}

func otherCases() []ruleCase {
	return []ruleCase{
		lengthAtMost("region", 30), lengthAtLeast("region", 4),
		lengthAtMost("accountRef.name", 253), lengthAtLeast("accountRef.name", 1),
		lengthAtMost("runner.ca.name", 253), lengthAtLeast("runner.ca.name", 1),
		lengthAtMost("runner.ca.key", 253), lengthAtLeast("runner.ca.key", 1),
		regionRule("region"),
		{
			covers: "spec.registration enum",
			passes: []edit{set("registration", "Managed"), set("registration", "External"), set("registration", nil)},
			fails:  []edit{set("registration", "managed"), set("registration", "")},
			says:   `spec.registration: supported values: "Managed", "External"`,
		},
		{
			covers: "spec.deletionPolicy enum",
			passes: []edit{set("deletionPolicy", "Retain"), set("deletionPolicy", "Delete"), set("deletionPolicy", nil)},
			fails:  []edit{set("deletionPolicy", "Orphan"), set("deletionPolicy", "")},
			says:   `spec.deletionPolicy: supported values: "Retain", "Delete"`,
		},
		{
			covers: "spec.emptyOutputs enum",
			passes: []edit{set("emptyOutputs", "Fail"), set("emptyOutputs", "Warn"), set("emptyOutputs", "Allow"), set("emptyOutputs", nil)},
			fails:  []edit{set("emptyOutputs", "fail"), set("emptyOutputs", "Ignore"), set("emptyOutputs", "")},
			says:   `spec.emptyOutputs: supported values: "Fail", "Warn", "Allow"`,
		},
		{
			covers: "spec.failureLog enum",
			passes: []edit{set("failureLog", "Always"), set("failureLog", "NoSecrets"), set("failureLog", "Never"), set("failureLog", nil)},
			fails:  []edit{set("failureLog", "Sometimes"), set("failureLog", "")},
			says:   `spec.failureLog: supported values: "Always", "NoSecrets", "Never"`,
		},
		duration("timeout", "1s", "720h", "must be from 1s to 720h, such as 90s or 1h30m; CodePipeline gives up on a custom action after 24 hours, unless that quota was raised"),
		duration("gracePeriods.imagePull", "1s", "24h", "must be from 1s to 24h, such as 90s or 1h30m"),
		duration("gracePeriods.scheduling", "1s", "24h", "must be from 1s to 24h, such as 90s or 1h30m"),
		duration("gracePeriods.start", "1s", "24h", "must be from 1s to 24h, such as 90s or 1h30m"),
		duration("gracePeriods.node", "1s", "24h", "must be from 1s to 24h, such as 90s or 1h30m"),
		duration("progress.interval", "10s", "1h", "must be from 10s to 1h, such as 30s or 5m: each update costs calls to CodePipeline"),
		atLeast("ttlSecondsAfterFinished", 0),
		atMostByRule("ttlSecondsAfterFinished", 2592000,
			"must be at most 2592000, 30 days: each PipelineJob that is kept takes memory of the operator. Keep logs and results for longer elsewhere"),
	}
}

// TestRules creates CustomActions at and over every limit. CodePipeline must also accept the
// definitions that pass.
func TestRules(t *testing.T) {
	w := newWorld(t)
	registered := 0
	w.holdRules(customActions(), func(g Gomega, passed *unstructured.Unstructured) {
		registered++
		w.registers(g, passed, registered)
	})
}

// holdRules creates objects of a kind at and over every limit, and calls look for those that pass.
func (w *world) holdRules(kind ruledKind, look func(Gomega, *unstructured.Unstructured)) {
	for _, c := range kind.cases {
		w.T.Run(c.covers, func(t *testing.T) {
			g := NewWithT(t)
			for i, pass := range c.passes {
				object := w.editedSample(kind.sample, "made", pass)
				g.Expect(w.Kube.Create(w.Ctx, object, client.DryRunAll)).To(Succeed(), "passes[%d]", i)
				look(g, object)
			}
			for i, fail := range c.fails {
				err := w.Kube.Create(w.Ctx, w.editedSample(kind.sample, "made", fail), client.DryRunAll)
				g.Expect(refusals(err)).To(ContainElement(HavePrefix(c.says)), "fails[%d]", i)
			}
		})
	}
}

// registers creates the action type of an object, which has the form of the request, and deletes it
// again because of the quota.
func (w *world) registers(g Gomega, object *unstructured.Unstructured, number int) {
	defined, _, err := unstructured.NestedMap(object.Object, "spec", "actionType")
	g.Expect(err).NotTo(HaveOccurred())
	if defined["provider"] == "sample" {
		defined["provider"] = "sample-" + strconv.Itoa(number) // a deleted version can't change its definition
	}
	text, err := json.Marshal(defined)
	g.Expect(err).NotTo(HaveOccurred())
	var request sdk.CreateCustomActionTypeInput // its fields have the API's names, except for the case
	g.Expect(json.Unmarshal(text, &request)).To(Succeed())
	made, err := w.Pipelines.CreateCustomActionType(w.Ctx, &request)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(made.ActionType.ActionConfigurationProperties).To(HaveLen(len(request.ConfigurationProperties)))
	g.Expect(made.Tags).To(HaveLen(len(request.Tags)))
	_, err = w.Pipelines.DeleteCustomActionType(w.Ctx, &sdk.DeleteCustomActionTypeInput{
		Category: request.Category, Provider: request.Provider, Version: aws.String(*request.Version),
	})
	g.Expect(err).NotTo(HaveOccurred())
}

// TestVariableNamesDiffer compares the CEL rule on the names of properties with the function that
// computes the variables' names.
func TestVariableNamesDiffer(t *testing.T) {
	w := newWorld(t)
	names := []string{"build-id", "Build_ID", "BUILD ID", "buildid", "ı", "i", "ß", "SS", "K", "\u212a", "٣", "3", "_", "😀", "e\u0301", "é", "a\x00b", "a\nb"}
	for i, a := range names {
		for _, b := range names[i+1:] {
			made := w.edited("made", set("actionType.settings", nil, "actionType.configurationProperties", []any{
				map[string]any{"name": a, "required": false, "key": false, "secret": false},
				map[string]any{"name": b, "required": false, "key": false, "secret": true},
			}))
			err := w.Kube.Create(w.Ctx, made, client.DryRunAll)
			if podcontract.EnvConfig(a) == podcontract.EnvConfig(b) {
				w.Expect(refusals(err)).To(ContainElement(ContainSubstring("two names become the same environment variable")), "%q, %q", a, b)
			} else {
				w.Expect(err).NotTo(HaveOccurred(), "%q, %q", a, b)
			}
		}
	}
}

// refusals returns the API server's messages about an object, each with its field, but without the
// refused value.
func refusals(err error) []string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var said []string
	for _, cause := range status.Status().Details.Causes {
		message := refusedValue.ReplaceAllString(cause.Message, "")
		said = append(said, cause.Field+": "+strings.TrimPrefix(message, cause.Field+" in body "))
	}
	return said
}

var refusedValue = regexp.MustCompile(`^(Invalid|Unsupported) value: (("([^"\\]|\\.)*"|-?[0-9]+): )?`)

// immutable is the end of the message about each immutable field.
const immutable = " immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version"

// updateCase is a refused update of an object.
type updateCase struct {
	covers string
	of     string // "full" is the sample, "bare" has no optional fields in its actionType
	fails  []edit
	says   string
}

func updateCases() []updateCase {
	settings := "spec.actionType.settings: settings are" + immutable
	properties := "spec.actionType.configurationProperties: configurationProperties are" + immutable
	coversSettings := "spec.actionType.settings rule: settings are immutable"
	coversProperties := "spec.actionType.configurationProperties rule: configurationProperties are immutable"
	return []updateCase{
		{"spec.actionType.category rule: category is immutable", "full", []edit{set("actionType.category", "Build")},
			"spec.actionType.category: category is" + immutable},
		{"spec.actionType.provider rule: provider is immutable", "full", []edit{set("actionType.provider", "Sample")},
			"spec.actionType.provider: provider is" + immutable},
		{"spec.actionType.version rule: version is immutable", "full", []edit{set("actionType.version", "2")},
			"spec.actionType.version: version is" + immutable},
		{coversSettings, "full", []edit{
			set("actionType.settings", nil),
			set("actionType.settings", map[string]any{}),
			set("actionType.settings.entityUrlTemplate", nil),
			set("actionType.settings.revisionUrlTemplate", site),
		}, settings},
		{coversSettings, "bare", []edit{
			set("actionType.settings.entityUrlTemplate", site),
			set("actionType.settings", map[string]any{}),
		}, settings},
		{coversProperties, "full", []edit{
			set("actionType.settings", nil, "actionType.configurationProperties", nil),
			set("actionType.settings", nil, "actionType.configurationProperties", []any{}),
			set("actionType.configurationProperties.2.name", "Other"),
			set("actionType.configurationProperties.2.required", true),
			set("actionType.configurationProperties.2.secret", true),
			set("actionType.configurationProperties.2.key", true),
			set(first+"description", nil),
			set(first+"type", "Number"),
			set(queryable, true, "polling.queryParam", map[string]any{"Target": "a"}),
		}, properties},
		{coversProperties, "bare", []edit{
			set("actionType.configurationProperties", []any{map[string]any{"name": "a", "required": false, "key": false, "secret": false}}),
		}, properties},
		{"spec.actionType.inputArtifactDetails rule: inputArtifactDetails are immutable", "full", []edit{
			set("actionType.inputArtifactDetails.minimumCount", 1), set("actionType.inputArtifactDetails.maximumCount", 2),
		}, "spec.actionType.inputArtifactDetails: inputArtifactDetails are" + immutable},
		{"spec.actionType.outputArtifactDetails rule: outputArtifactDetails are immutable", "full", []edit{
			set("actionType.outputArtifactDetails.minimumCount", 1), set("actionType.outputArtifactDetails.maximumCount", 2),
		}, "spec.actionType.outputArtifactDetails: outputArtifactDetails are" + immutable},
	}
}

func TestActionTypeIsImmutableButForTags(t *testing.T) {
	w := newWorld(t)
	bare := set("actionType.settings", nil, "actionType.configurationProperties", nil, "actionType.tags", nil)
	live := map[string]edit{"full": and(), "bare": bare}
	for name, start := range live {
		w.Expect(w.Kube.Create(w.Ctx, w.edited(name, start))).To(Succeed())
	}
	update := func(name string, change edit) error {
		object := w.edited(name, live[name], change)
		found := object.DeepCopy()
		w.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(object), found)).To(Succeed())
		object.SetResourceVersion(found.GetResourceVersion())
		return w.Kube.Update(w.Ctx, object, client.DryRunAll)
	}
	for _, c := range updateCases() {
		t.Run(c.covers+", "+c.of, func(t *testing.T) {
			for i, fail := range c.fails {
				NewWithT(t).Expect(refusals(update(c.of, fail))).To(ContainElement(c.says), "fails[%d]", i)
			}
		})
	}
	reordered := func(spec any) any {
		properties, _, _ := unstructured.NestedSlice(spec.(map[string]any), "actionType", "configurationProperties")
		slices.Reverse(properties)
		return put(spec, []string{"actionType", "configurationProperties"}, properties)
	}
	for name, mutable := range map[string]edit{
		"nothing":        and(),
		"tags":           set("actionType.tags.0.value", "api"),
		"no tags":        set("actionType.tags", nil),
		"order":          reordered, // the list is a map, by name
		"registration":   set("registration", "External"),
		"deletionPolicy": set("deletionPolicy", "Delete"),
		"region":         set("region", "eu-central-1"),
		"polling":        set("polling", nil),
		"others":         set("suspend", true, "timeout", nil, "progress", nil, "ttlSecondsAfterFinished", nil),
	} {
		t.Run(name+" can change", func(t *testing.T) {
			NewWithT(t).Expect(update("full", mutable)).To(Succeed())
		})
	}
	// Typed clients leave out an empty list.
	w.Expect(update("bare", set("actionType.configurationProperties", []any{}))).To(Succeed())
	w.Expect(refusals(update("full", set("actionType", nil)))).To(ContainElement("spec.actionType: Required value"))
}

// TestSamples creates the samples.
func TestSamples(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"build.yaml", "test.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", name))
		w.Expect(err).NotTo(HaveOccurred())
		sample := &unstructured.Unstructured{}
		w.Expect(yaml.UnmarshalStrict(text, &sample.Object)).To(Succeed())
		sample.SetNamespace(w.Namespace)
		w.Expect(w.Kube.Create(w.Ctx, sample, client.DryRunAll)).To(Succeed(), name)
	}
}

// TestRequiredFields removes each required field from the samples.
func TestRequiredFields(t *testing.T) {
	w := newWorld(t)
	for _, kind := range ruledKinds() {
		for _, field := range constraintsOf(t, kind).required {
			t.Run(kind.plural+" "+field, func(t *testing.T) {
				path := strings.ReplaceAll(strings.TrimPrefix(field, "spec."), "[]", ".0")
				err := w.Kube.Create(w.Ctx, w.editedSample(kind.sample, "made", set(path, nil)), client.DryRunAll)
				NewWithT(t).Expect(refusals(err)).To(ContainElement(inMessage(path) + ": Required value"))
			})
		}
	}
}

// TestEveryRuleHasACase compares the tables with the CRDs.
func TestEveryRuleHasACase(t *testing.T) {
	for _, kind := range ruledKinds() {
		t.Run(kind.plural, func(t *testing.T) {
			g := NewWithT(t)
			covered := map[string]bool{}
			for _, c := range kind.cases {
				covered[c.covers] = true
				g.Expect(c.fails).NotTo(BeEmpty(), "%s: what fails", c.covers)
			}
			for _, c := range kind.updates {
				covered[c.covers] = true
			}
			found := constraintsOf(t, kind).rules
			for _, rule := range found {
				g.Expect(covered).To(HaveKey(rule), "a constraint of the CRD that no table covers")
			}
			g.Expect(covered).To(HaveLen(len(found)), "constraints that the CRD does not have")
		})
	}
}

// constraints are the constraints on the spec in a CRD, without Kubernetes' own schemas. They are
// named by field and kind, such as "spec.actionType.tags[].key maxLength", and CEL rules by the
// start of their message. [] means the elements of a list, and {} the values of a map.
type constraints struct {
	rules    []string
	required []string
}

func constraintsOf(t *testing.T, kind ruledKind) constraints {
	t.Helper()
	g := NewWithT(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "codepipeline.pipelinejob.dev_"+kind.plural+".yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	var crd map[string]any
	g.Expect(yaml.Unmarshal(text, &crd)).To(Succeed())
	versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(versions).To(HaveLen(1))
	spec, _, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec")
	g.Expect(err).NotTo(HaveOccurred())
	for _, path := range kind.foreign {
		fields := append([]string{"properties"}, strings.Split(path, ".")...)
		_, there, err := unstructured.NestedFieldNoCopy(spec, fields...)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(there).To(BeTrue(), "%s is not in the CRD", path)
		unstructured.RemoveNestedField(spec, fields...)
	}
	var found constraints
	found.read(t, "spec", spec)
	slices.Sort(found.rules)
	g.Expect(found.rules).NotTo(BeEmpty())
	g.Expect(slices.Compact(slices.Clone(found.rules))).To(Equal(found.rules), "two rules have one name: give their messages other beginnings")
	return found
}

// read adds the constraints of a schema and its subschemas.
func (c *constraints) read(t *testing.T, path string, schema map[string]any) {
	t.Helper()
	for key, value := range schema {
		if schema["x-kubernetes-int-or-string"] == true && (key == "minimum" || key == "maximum") {
			continue // the range of Go's type
		}
		switch key {
		case "description", "type", "format", "default",
			"anyOf", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields": // of ForeignKeys
		case "properties":
			for name, property := range value.(map[string]any) {
				if property.(map[string]any)["description"] == nil {
					t.Errorf("%s.%s says nothing to kubectl explain", path, name)
				}
				c.read(t, path+"."+name, property.(map[string]any))
			}
		case "items":
			c.read(t, path+"[]", value.(map[string]any))
		case "additionalProperties":
			c.read(t, path+"{}", value.(map[string]any))
		case "required":
			for _, name := range value.([]any) {
				c.required = append(c.required, path+"."+name.(string))
			}
		case "x-kubernetes-validations":
			for _, rule := range value.([]any) {
				c.rules = append(c.rules, ruleName(path, rule.(map[string]any)))
			}
		case "x-kubernetes-list-type":
			if value == "set" {
				c.rules = append(c.rules, path+" "+key)
			}
		case "maxLength", "minLength", "pattern", "maximum", "minimum", "enum", "maxItems", "minItems", "maxProperties", "x-kubernetes-list-map-keys":
			c.rules = append(c.rules, path+" "+key)
		default:
			t.Errorf("%s has %s, which this test does not know", path, key)
		}
	}
}

var messageStart = regexp.MustCompile(`^.*?(: |, |$)`)

func ruleName(path string, rule map[string]any) string {
	field, _ := rule["fieldPath"].(string)
	message, _ := rule["message"].(string)
	return path + field + " rule: " + start(message)
}

// start returns a message up to the first colon or comma.
func start(message string) string {
	return strings.TrimRight(messageStart.FindString(message), ":, ")
}
