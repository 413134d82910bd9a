package codepipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

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
	// ofType is true if a policy can restrict the permission to an action type, according to the
	// service authorization reference. All other operations need any resource, or pipelines, whose
	// names are known only from future jobs.
	ofType bool
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
	{name: "ListTagsForResource", ofType: true},
	{name: "PollForJobs", ofType: true},
	{name: "CreateCustomActionType", ofType: true, registers: true},
	{name: "DeleteCustomActionType", ofType: true, registers: true},
	{name: "TagResource", ofType: true, registers: true},
	{name: "UntagResource", ofType: true, registers: true},
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
	anything, typed := statement{"Allow", nil, []string{"*"}}, statement{"Allow", nil, i.actionTypes()}
	for _, o := range operations {
		switch {
		case o.registers && !i.MayRegister:
		case o.ofType:
			typed.Action = append(typed.Action, "codepipeline:"+o.name)
		default:
			anything.Action = append(anything.Action, "codepipeline:"+o.name)
		}
	}
	content, _ := json.Marshal(policy{"2012-10-17", []statement{anything, typed}}) // strings can always be encoded
	return string(content)
}

// actionTypes returns the resources for ActionType. AWS documents the ARN of an action type in
// several forms: with actiontype and actionType, Custom and custom, without an account, and with a
// trailing slash. A policy with a form that the service does not use would allow nothing, so it has
// all of them.
func (i Identity) actionTypes() []string {
	role, err := arn.Parse(i.RoleARN)
	if err != nil || i.ActionType == (ActionTypeID{}) {
		return []string{"*"}
	}
	of := i.ActionType
	one := fmt.Sprintf("arn:%s:codepipeline:%s:*:action?ype:?ustom/%s/%s/%s", role.Partition, i.Region, of.Category, of.Provider, of.Version)
	return []string{one, one + "/"}
}
