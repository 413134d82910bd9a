package codepipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// otherThanSessionName matches characters that STS does not allow in session names.
var otherThanSessionName = regexp.MustCompile(`[^\w+=,.@-]`)

// sessionHash is the number of hexadecimal digits of the hash at the end of a shortened session
// name: 80 bits.
const sessionHash = 20

// SessionName returns the session name with which a role is assumed for a CustomAction:
// NAMESPACE.ACTION, so that CloudTrail shows the tenant. action is empty if a call is not for a
// single action. Names with more than limits.SessionName characters, or with characters that STS
// does not allow, are cut and end in + and a hash, so that names are unique. Kubernetes names have
// no +, and namespaces no dot: names that do are hashed too.
func SessionName(namespace, action string) string {
	whole := namespace + "." + action
	clean := otherThanSessionName.ReplaceAllString(whole, "-")
	if clean == whole && len(whole) <= limits.SessionName && !strings.Contains(whole, "+") && !strings.Contains(namespace, ".") {
		return whole
	}
	sum := sha256.Sum256([]byte(namespace + "\x00" + action))
	return clean[:min(len(clean), limits.SessionName-sessionHash-1)] + "+" + hex.EncodeToString(sum[:])[:sessionHash]
}

// An operation is a CodePipeline operation that a Client calls.
type operation struct {
	name string
	// registers is true if only identities that may register action types need it.
	registers bool
}

// operations are all operations in service. CreateCustomActionType with tags also needs the
// permission for TagResource.
var operations = []operation{
	{name: "AcknowledgeJob"},
	{name: "GetJobDetails"},
	{name: "ListActionExecutions"},
	{name: "ListActionTypes"},
	{name: "PutJobFailureResult"},
	{name: "PutJobSuccessResult"},
	{name: "ListTagsForResource"},
	{name: "PollForJobs"},
	{name: "CreateCustomActionType", registers: true},
	{name: "DeleteCustomActionType", registers: true},
	{name: "TagResource", registers: true},
	{name: "UntagResource", registers: true},
}

// policy is an IAM policy.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect           string
	Action, Resource []string
}

// SessionPolicy returns the inline session policy for an assumed role, as JSON of at most
// limits.SessionPolicy characters. It allows exactly the calls of a Client, and registration only
// with MayRegister. A session may do what both this policy and the role's policies allow.
func (i Identity) SessionPolicy() string {
	allowed := statement{"Allow", nil, []string{"*"}}
	for _, o := range operations {
		if !o.registers || i.MayRegister {
			allowed.Action = append(allowed.Action, "codepipeline:"+o.name)
		}
	}
	content, _ := json.Marshal(policy{"2012-10-17", []statement{allowed}}) // strings can always be encoded
	return string(content)
}
