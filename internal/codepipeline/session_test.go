package codepipeline

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// sessionNames matches valid session names: the pattern and lengths of RoleSessionName.
var sessionNames = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

func TestSessionName(t *testing.T) {
	long := strings.Repeat("n", 63)
	for name, c := range map[string]struct{ namespace, action, want string }{
		"short":                             {"team-a", "deploy", "team-a.deploy"},
		"an action with dots":               {"team-a", "deploy.example.com", "team-a.deploy.example.com"},
		"no action":                         {"team-a", "", "team-a."},
		"one letter":                        {"a", "", "a."},
		"just short enough":                 {strings.Repeat("n", 31), strings.Repeat("a", 32), strings.Repeat("n", 31) + "." + strings.Repeat("a", 32)},
		"one too long":                      {strings.Repeat("n", 32), strings.Repeat("a", 32), strings.Repeat("n", 32) + "." + strings.Repeat("a", 10) + "+"},
		"the longest":                       {long, strings.Repeat("a", 253), long[:43] + "+"},
		"characters that STS does not take": {"team a", "größe/x", "team-a.gr--e-x+"},
		"the sign of a hash":                {"team", "a+b", "team.a+b+"},
		"a dot in a namespace":              {"a.b", "c", "a.b.c+"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := SessionName(c.namespace, c.action)
			g.Expect(got).To(MatchRegexp(sessionNames.String()))
			if hash := strings.LastIndex(c.want, "+"); hash >= 0 {
				g.Expect(got[:strings.LastIndex(got, "+")]).To(Equal(c.want[:hash]))
				g.Expect(got[strings.LastIndex(got, "+")+1:]).To(MatchRegexp(`^[0-9a-f]{20}$`))
				return
			}
			g.Expect(got).To(Equal(c.want))
		})
	}
}

// TestSessionNamesAreTheirOwn uses pairs with the same beginning, the same end or the same
// concatenation.
func TestSessionNamesAreTheirOwn(t *testing.T) {
	g := NewWithT(t)
	long := strings.Repeat("x", 200)
	seen := map[string]string{}
	for _, namespace := range []string{"a", "a.b", "a-b", "a b", "x", long[:62] + "a", long[:62] + "b"} {
		for _, action := range []string{"", "b.c", "c", "b-c", "b/c", long + "a", long + "b", "a" + long, "b" + long} {
			name, pair := SessionName(namespace, action), namespace+"|"+action
			g.Expect(seen).NotTo(HaveKey(name), pair)
			seen[name] = pair
		}
	}
	cut := SessionName("a", long)
	g.Expect(SessionName("a", strings.TrimPrefix(cut, "a."))).NotTo(Equal(cut), "who names an action for another's session")
}

// TestSessionPolicyHasEachCall: a Client can only call the methods of service.
func TestSessionPolicyHasEachCall(t *testing.T) {
	g := NewWithT(t)
	var can, listed []string
	for method := range reflect.TypeFor[service]().Methods() {
		can = append(can, method.Name)
	}
	for _, o := range operations {
		listed = append(listed, o.name)
	}
	g.Expect(listed).To(ConsistOf(can))
}

// actionsOf returns the actions and resources of a policy, without the service's prefix.
func actionsOf(g *WithT, content string) (actions []string) {
	var of policy
	g.Expect(json.Unmarshal([]byte(content), &of)).To(Succeed())
	g.Expect(of.Version).To(Equal("2012-10-17"))
	for _, s := range of.Statement {
		g.Expect(s.Effect).To(Equal("Allow"))
		for _, action := range s.Action {
			actions = append(actions, strings.TrimPrefix(action, "codepipeline:"))
		}
		g.Expect(s.Resource).To(Equal([]string{"*"}))
	}
	return actions
}

func TestSessionPolicy(t *testing.T) {
	registering := []string{"CreateCustomActionType", "DeleteCustomActionType", "TagResource", "UntagResource"}
	working := []string{"AcknowledgeJob", "GetJobDetails", "ListActionExecutions", "ListActionTypes", "PutJobFailureResult", "PutJobSuccessResult",
		"ListTagsForResource", "PollForJobs"}
	for name, c := range map[string]struct {
		id      Identity
		actions []string
	}{
		"working":      {Identity{RoleARN: someRole}, working},
		"may register": {Identity{RoleARN: someRole, MayRegister: true}, slices.Concat(working, registering)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			content := c.id.SessionPolicy()
			g.Expect(len(content)).To(BeNumerically("<=", limits.SessionPolicy))
			g.Expect(actionsOf(g, content)).To(ConsistOf(c.actions))
		})
	}
}

// TestSessionSaysWhoItIsFor checks the call of AssumeRole.
func TestSessionSaysWhoItIsFor(t *testing.T) {
	for name, c := range map[string]struct {
		id      Identity
		session string
	}{
		"of an action": {Identity{SessionName: SessionName("team-a", "deploy"), MayRegister: true}, "team-a.deploy"},
		"of none":      {Identity{}, defaultSessionName},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server := emulator.StartT(t, emulator.Options{})
			c.id.Region, c.id.RoleARN, c.id.ExternalID = "us-east-1", someRole, "cluster/team-a"
			client, err := NewClients(ClientsOptions{}, anyKey(server.URL())...).For(t.Context(), c.id)
			g.Expect(err).NotTo(HaveOccurred())
			_, err = client.FindActionType(t.Context(), ActionTypeID{"Test", "p", "1"})
			g.Expect(err).NotTo(HaveOccurred())
			var request map[string]string
			g.Expect(json.Unmarshal(server.Journal("AssumeRole")[0].Request, &request)).To(Succeed())
			g.Expect(request).To(Equal(map[string]string{
				"RoleArn": someRole, "RoleSessionName": c.session, "ExternalId": "cluster/team-a", "Policy": c.id.SessionPolicy(),
			}))
			g.Expect(server.Journal("ListActionTypes")[0].Caller).To(HaveSuffix("assumed-role/worker/" + c.session))
		})
	}
}

// TestSessionPolicySuffices makes all calls in sessions with a policy. Calls that the policy leaves
// out are denied.
func TestSessionPolicySuffices(t *testing.T) {
	registering := []string{"CreateCustomActionType", "DeleteCustomActionType", "TagResource", "UntagResource"}
	for _, o := range operations {
		for name, c := range map[string]struct {
			id     Identity
			denied bool
		}{
			"working":     {Identity{}, slices.Contains(registering, o.name)},
			"registering": {Identity{MayRegister: true}, false},
		} {
			t.Run(fmt.Sprint(o.name, " ", name), func(t *testing.T) {
				g := NewWithT(t)
				server := emulator.StartT(t, emulator.Options{})
				c.id.Region, c.id.RoleARN, c.id.ExternalID = "us-east-1", "arn:aws:iam::111122223333:role/worker", "cluster/team-a"
				client, err := NewClients(ClientsOptions{}, anyKey(server.URL())...).For(t.Context(), c.id)
				g.Expect(err).NotTo(HaveOccurred())
				err = calls[o.name](t.Context(), client)
				g.Expect(server.Journal(o.name)).To(HaveLen(1), "%v", err)
				if c.denied {
					g.Expect(KindOf(err)).To(Equal(AccessDenied), "%v", err)
					g.Expect(err).To(MatchError(ContainSubstring("because no session policy allows the codepipeline:" + o.name + " action")))
					return
				}
				g.Expect(KindOf(err)).NotTo(Equal(AccessDenied), "%v", err)
			})
		}
	}
}

// TestTagsOfACreationNeedTheirPermission: creating an action type with tags also needs the
// permission for the tags.
func TestTagsOfACreationNeedTheirPermission(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	id := Identity{Region: "us-east-1", RoleARN: someRole, ExternalID: "x", MayRegister: true}
	client, err := NewClients(ClientsOptions{}, anyKey(server.URL())...).For(t.Context(), id)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(client.CreateActionType(t.Context(), ActionType{ID: ActionTypeID{"Test", "p", "1"}}, map[string]string{"a": "b"})).To(Succeed())
}

// TestOperatorsOwnCredentialsAreUsedAsTheyAre: without a role there is no session, and identities
// that differ only in fields without an effect share a client.
func TestOperatorsOwnCredentialsAreUsedAsTheyAre(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	clients := NewClients(ClientsOptions{}, anyKey(server.URL())...)
	client, err := clients.For(t.Context(), Identity{Region: "us-east-1", SessionName: "team-a.deploy"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(client.CreateActionType(t.Context(), ActionType{ID: ActionTypeID{"Test", "q", "1"}}, nil)).To(Succeed())
	g.Expect(server.Journal("AssumeRole")).To(BeEmpty())
	g.Expect(clients.For(t.Context(), Identity{Region: "us-east-1"})).To(BeIdenticalTo(client))
}
