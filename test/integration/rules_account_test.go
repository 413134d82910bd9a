package integration

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// accountSample is valid and has every field with a rule.
const accountSample = `
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CodePipelineAccount
metadata:
  name: sample
spec:
  roleARN: arn:aws:iam::111122223333:role/pipelines
  regions: [us-east-1, eu-west-1]
  failureLog: NoSecrets
  grants:
  - namespaces: {names: [team-web, team-api]}
    actionTypes:
    - {category: Test, provider: "web-*", queryValues: [eu-1, "us-*"]}
    mayRegister: true
    allowReferencesIn: [Image, SubPath]
  - namespaces: {selector: {matchLabels: {team: web}}}
`

func accounts() ruledKind {
	return ruledKind{
		plural: "codepipelineaccounts", sample: accountSample,
		foreign: []string{"grants.items.properties.namespaces.properties.selector"},
		cases:   accountCases(),
	}
}

const (
	namespaces = "grants.0.namespaces"
	names      = namespaces + ".names"
	granted    = "grants.0.actionTypes.0"
	values     = granted + ".queryValues"
	references = "grants.0.allowReferencesIn"
)

// several returns a list of different elements, each with a number.
func several(count int, element string) []any {
	list := make([]any, count)
	for i := range list {
		list[i] = fmt.Sprintf(element, i)
	}
	return list
}

// repeated returns a list of equal elements.
func repeated(count int, element any) []any {
	list := make([]any, count)
	for i := range list {
		list[i] = element
	}
	return list
}

// fewest and mostItems return the cases for the bounds of a list.
func fewest(field string, limit int, list func(count int) []any) ruleCase {
	return ruleCase{
		covers: constraint(field, "minItems"),
		passes: []edit{set(field, list(limit))},
		fails:  []edit{set(field, list(limit-1))},
		says:   fmt.Sprintf("%s: should have at least %d items", inMessage(field), limit),
	}
}

func mostItems(field string, limit int, list func(count int) []any) ruleCase {
	return ruleCase{
		covers: constraint(field, "maxItems"),
		passes: []edit{set(field, list(limit))},
		fails:  []edit{set(field, list(limit+1))},
		says:   fmt.Sprintf("%s: Too many: %d: must have at most %d items", inMessage(field), limit+1, limit),
	}
}

// noDuplicates returns the case for a list with unique elements.
func noDuplicates(field, a, b string) ruleCase {
	return ruleCase{
		covers: constraint(field, "x-kubernetes-list-type"),
		passes: []edit{set(field, []any{a, b})},
		fails:  []edit{set(field, []any{a, b, a})},
		says:   fmt.Sprintf("%s[2]: Duplicate value: %q", inMessage(field), a),
	}
}

func accountCases() []ruleCase {
	regions := func(count int) []any { return several(count, "eu-central-%d") }
	grants := func(count int) []any {
		return repeated(count, map[string]any{"namespaces": map[string]any{"names": []any{"team-web"}}})
	}
	return append(grantCases(),
		roleRule(), longest("roleARN", "arn:aws:iam::111122223333:role/", 1024),
		fewest("regions", 1, regions), mostItems("regions", 50, regions), noDuplicates("regions", "us-east-1", "eu-central-1"),
		regionRule("regions.0"), lengthAtLeast("regions.0", 4), lengthAtMost("regions.0", 30),
		mostItems("grants", 100, grants),
		ruleCase{
			covers: "spec.failureLog enum",
			passes: []edit{set("failureLog", "Always"), set("failureLog", "NoSecrets"), set("failureLog", "Never"), set("failureLog", nil)},
			fails:  []edit{set("failureLog", "Sometimes"), set("failureLog", "")},
			says:   `spec.failureLog: supported values: "Always", "NoSecrets", "Never"`,
		},
	)
}

// roleRule returns the case for ARNs of roles: IAM's API reference, CreateRole, Path and RoleName.
func roleRule() ruleCase {
	role := func(arn string) edit { return set("roleARN", arn) }
	const ours = "arn:aws:iam::111122223333:"
	return ruleCase{
		covers: "spec.roleARN rule: must be the ARN of an IAM role",
		passes: []edit{
			set("roleARN", nil), role(ours + "role/pipelines"), role(ours + "role/teams/web/A_1+=,.@-"), role(ours + "role/a:b*!/web"),
			role("arn:aws-cn:iam::111122223333:role/a"), role("arn:aws-us-gov:iam::111122223333:role/a"),
		},
		fails: []edit{
			role(""), role("pipelines"), role(ours + "user/pipelines"), role(ours + "role/"), role(ours + "role/teams/"), role(ours + "role/*"),
			role(ours + "role/pipe lines"), role(ours + "role/pipelines\n"), role(" " + ours + "role/pipelines"), role(ours + "role/größe"),
			role("arn:aws:iam::1111:role/pipelines"), role("arn:aws:iam:::role/pipelines"), role("arn:azure:iam::111122223333:role/pipelines"),
			role("arn:aws:sts::111122223333:assumed-role/pipelines/session"),
		},
		says: "spec.roleARN: must be the ARN of an IAM role, such as arn:aws:iam::111122223333:role/pipelines: " +
			"copy it from the role in IAM, or leave roleARN out for the operator to call as itself",
	}
}

func grantCases() []ruleCase {
	byName := map[string]any{"names": []any{"team-web"}}
	labelled := map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"team": "web"}}}
	both := map[string]any{"names": byName["names"], "selector": labelled["selector"]}
	one := func(name string) edit { return set(names+".0", name) }
	return []ruleCase{
		{
			covers: constraint(namespaces, "rule: set either names or selector"),
			passes: []edit{set(namespaces, byName), set(namespaces, labelled), set(namespaces, map[string]any{"selector": map[string]any{}})},
			fails:  []edit{set(namespaces, map[string]any{}), set(namespaces, both)},
			says:   inMessage(namespaces) + ": set either names or selector: use two grants for both",
		},
		fewest(names, 1, teams), mostItems(names, 500, teams), noDuplicates(names, "team-web", "team-api"),
		lengthAtMost(names+".0", 63),
		{
			covers: constraint(names+".0", "rule: must be the name of one namespace"),
			passes: []edit{one("a"), one("0-9a-z"), mostNames},
			fails: []edit{
				one(""), one("team-*"), one("*"), one("Team"), one("team_web"), one("-team"), one("team-"), one("team web"), one("team.web"), one("team/web"),
				one("team\n"), one("tëam"),
			},
			says: inMessage(names+".0") + ": must be the name of one namespace, such as team-web: lower-case letters, digits and, not at its ends, hyphens. " +
				"There are no patterns: to grant many, use selector",
		},
		mostItems("grants.0.actionTypes", 50, func(count int) []any { return repeated(count, map[string]any{"provider": "web"}) }),
		{
			covers: constraint(granted+".category", "enum"),
			passes: []edit{
				set(granted+".category", "Source"), set(granted+".category", "Build"), set(granted+".category", "Deploy"),
				set(granted+".category", "Test"), set(granted+".category", "Invoke"), set(granted+".category", "Approval"),
				set(granted+".category", "Compute"), set(granted+".category", nil),
			},
			fails: []edit{set(granted+".category", "test"), set(granted+".category", ""), set(granted+".category", "*")},
			says:  inMessage(granted+".category") + `: supported values: "Source", "Build", "Deploy", "Test", "Invoke", "Approval", "Compute"`,
		},
		lengthAtMost(granted+".provider", 35),
		{
			covers: constraint(granted+".provider", "rule: provider may have letters"),
			passes: []edit{set(granted+".provider", "AZaz09_-*"), set(granted+".provider", "*"), set(granted+".provider", nil)},
			fails: []edit{
				set(granted+".provider", ""), set(granted+".provider", "web ?"), set(granted+".provider", "web-?"), set(granted+".provider", "[a-z]"),
				set(granted+".provider", `web\*`), set(granted+".provider", "web/*"), set(granted+".provider", "web\n"), set(granted+".provider", "ä"),
			},
			says: inMessage(granted+".provider") + ": provider may have letters, digits, underscores, hyphens and * only, such as team-a-*: leave it out for any provider",
		},
		mostItems(values, 20, func(count int) []any { return several(count, "web-%d") }), noDuplicates(values, "web", "api"),
		lengthAtMost(values+".0", 50), lengthAtLeast(values+".0", 1),
		{
			covers: constraint(values+".0", "rule: queryValues may have letters"),
			passes: []edit{set(values+".0", "AZaz09_-*"), set(values+".0", "*"), set(values, nil)},
			fails:  []edit{set(values+".0", "web ?"), set(values+".0", "[a-z]"), set(values+".0", `web\*`), set(values+".0", "web\n"), set(values+".0", "ä")},
			says:   inMessage(values+".0") + ": queryValues may have letters, digits, underscores, hyphens and * only, such as web-*",
		},
		noDuplicates(references, "Image", "SubPath"),
		{
			covers: constraint(references, "maxItems"),
			passes: []edit{set(references, places()), set(references, nil)},
			fails:  []edit{set(references, append(places(), "Image"))}, // there are only 10 places
			says:   inMessage(references) + ": Too many: 11: must have at most 10 items",
		},
		{
			covers: constraint(references+".0", "enum"),
			passes: []edit{set(references, places())},
			fails:  []edit{set(references+".0", "image"), set(references+".0", ""), set(references+".0", "*"), set(references+".0", "HostPath")},
			says:   inMessage(references+".0") + `: supported values: "` + strings.Join(placeNames, `", "`) + `"`,
		},
	}
}

// placeNames are all places for references that a grant can add.
var placeNames = []string{
	"Image", "NodeSelector", "Tolerations", "PriorityClassName", "ServiceAccountName", "WorkingDir", "SubPath", "ConfigMapName", "SecretName", "ClaimName",
}

func places() (list []any) {
	for _, name := range placeNames {
		list = append(list, name)
	}
	return list
}

func teams(count int) []any { return several(count, "team-%d") }

// mostNames uses the largest allowed number of names, because the API server bounds the cost of
// rules.
func mostNames(spec any) any {
	long := make([]any, 500)
	for i := range long {
		long[i] = fmt.Sprintf("%s-%03d", of(59), i)
	}
	return set("grants", repeated(30, map[string]any{"namespaces": map[string]any{"names": long}}))(spec) // with more, the request is too large
}

// TestAccountRules creates CodePipelineAccounts at and over every limit.
func TestAccountRules(t *testing.T) {
	newWorld(t).holdRules(accounts(), func(Gomega, *unstructured.Unstructured) {})
}
