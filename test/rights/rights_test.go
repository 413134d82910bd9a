package rights

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// began is the start of a test run.
var began = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// event returns a line of an audit log, about a request of the operator one second after began.
func event(verb, object, decision string, changes ...string) string {
	line := fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","stage":"ResponseComplete","requestURI":"/uri","verb":%q,`+
		`"user":{"username":"system:serviceaccount:pipelinejob-system:pipelinejob-operator","groups":["system:authenticated"]},`+
		`"userAgent":"manager/v0.0.0 (linux/amd64) kubernetes/$Format/leader-election","objectRef":%s,"responseStatus":{"code":200},`+
		`"requestReceivedTimestamp":"2026-11-28T12:00:01.000000Z","annotations":{"authorization.k8s.io/decision":%q}}`, verb, object, decision)
	return strings.NewReplacer(changes...).Replace(line) + "\n"
}

const pods, podLogs = `{"resource":"pods","namespace":"team","apiVersion":"v1"}`, `{"resource":"pods","subresource":"log","namespace":"team","name":"p"}`

func TestRequests(t *testing.T) {
	list := Request{Right{"", "pods", "list"}, "/uri", false}
	for name, c := range map[string]struct {
		log  string
		want []Request
		err  string
	}{
		"a resource":      {event("list", pods, "allow"), []Request{list}, ""},
		"a subresource":   {event("get", podLogs, "allow"), []Request{{Right{"", "pods/log", "get"}, "/uri", false}}, ""},
		"a group":         {event("create", `{"resource":"jobs","apiGroup":"batch"}`, "allow"), []Request{{Right{"batch", "jobs", "create"}, "/uri", false}}, ""},
		"a refused one":   {event("list", pods, "forbid", `"code":200`, `"code":403`), []Request{{list.Right, "/uri", true}}, ""},
		"admission's no":  {event("list", pods, "allow", `"code":200`, `"code":403`), []Request{list}, ""},
		"no resource":     {event("get", `null`, "allow"), nil, ""},
		"another user":    {event("list", pods, "allow", "pipelinejob-system:pipelinejob-operator", "team:default"), nil, ""},
		"another program": {event("list", pods, "forbid", "manager/", "kubectl/"), nil, ""},
		"before the run":  {event("list", pods, "allow", "12:00:01", "11:59:59"), nil, ""},
		"two":             {event("list", pods, "allow") + event("list", pods, "allow"), []Request{list, list}, ""},
		"a line cut off":  {event("list", pods, "allow") + `{"kind":"Ev`, []Request{list}, ""},
		"no JSON":         {event("list", pods, "allow") + "audit\n", nil, "line 2 of the audit log"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			found, err := Requests(strings.NewReader(c.log), began)
			if c.err != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.err)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(Equal(c.want))
		})
	}
}

func TestCompare(t *testing.T) {
	list, create := Right{"", "pods", "list"}, Right{"batch", "jobs", "create"}
	watch, watchOther := Right{"", "pods", "watch"}, Right{"batch", "jobs", "watch"}
	logs, finalizers := Right{"", "pods/log", "get"}, Right{"codepipeline.pipelinejob.dev", "customactions/finalizers", "update"}
	used := func(right Right) Request { return Request{right, "/uri", false} }
	refused := func(right Right) Request { return Request{right, "/uri", true} }
	for name, c := range map[string]struct {
		granted  []Right
		requests []Request
		lines    []string
	}{
		"all is used":             {[]Right{list, create}, []Request{used(create), used(list), used(list)}, nil},
		"one is not":              {[]Right{list, create}, []Request{used(list)}, []string{"granted, but not used: create jobs.batch"}},
		"a verb is not":           {[]Right{list, {"", "pods", "get"}}, []Request{used(list)}, []string{"granted, but not used: get pods"}},
		"a subresource is not":    {[]Right{list, logs}, []Request{used(list)}, []string{"granted, but not used: get pods/log"}},
		"a group is not":          {[]Right{{"", "events", "create"}}, []Request{used(Right{"events.k8s.io", "events", "create"})}, []string{"granted, but not used: create events"}},
		"a list for a watch":      {[]Right{list, watch}, []Request{used(watch)}, nil},
		"a watch needs a watch":   {[]Right{list, watch}, []Request{used(list)}, []string{"granted, but not used: watch pods"}},
		"a watch of another":      {[]Right{list, watchOther}, []Request{used(watchOther)}, []string{"granted, but not used: list pods"}},
		"a watch that is refused": {[]Right{list}, []Request{refused(watch)}, []string{"granted, but not used: list pods", "used, but refused: watch pods (/uri)"}},
		"finalizers are exempt":   {[]Right{finalizers}, nil, nil},
		"one is missing":          {[]Right{list}, []Request{used(list), refused(create)}, []string{"used, but refused: create jobs.batch (/uri)"}},
		"one is refused here":     {[]Right{list}, []Request{used(list), refused(list)}, []string{"used, but refused: list pods (/uri)"}},
		"a refusal is no use":     {[]Right{list}, []Request{refused(list)}, []string{"granted, but not used: list pods", "used, but refused: list pods (/uri)"}},
		"what others grant is ok": {[]Right{list}, []Request{used(list), used(Right{"authorization.k8s.io", "selfsubjectaccessreviews", "create"})}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Compare(c.granted, c.requests).Lines()).To(Equal(c.lines))
		})
	}
}

func TestGranted(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []Right
		err  string
	}{
		"rules of both kinds, each once": {`
kind: ClusterRole
metadata: {name: a}
rules:
- {apiGroups: [""], resources: [pods, pods/log], verbs: [get]}
---
kind: Role
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, list]}
---
kind: RoleBinding
`, []Right{{"", "pods", "get"}, {"", "pods", "list"}, {"", "pods/log", "get"}}, ""},
		"everything": {`
kind: ClusterRole
metadata: {name: a}
rules:
- {apiGroups: [""], resources: [pods], verbs: ["*"]}
`, nil, "ClusterRole a: the rule"},
		"paths": {`
kind: ClusterRole
metadata: {name: a}
rules:
- {nonResourceURLs: [/metrics], verbs: [get]}
`, nil, "about no resource"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			file := filepath.Join(t.TempDir(), "role.yaml")
			g.Expect(os.WriteFile(file, []byte(c.text), 0o600)).To(Succeed())
			found, err := Granted(file)
			if c.err != "" {
				g.Expect(err).To(MatchError(And(ContainSubstring(file), ContainSubstring(c.err))))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(Equal(c.want))
		})
	}
}
