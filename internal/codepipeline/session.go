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

// otherThanSessionName matches what STS takes in no session name.
var otherThanSessionName = regexp.MustCompile(`[^\w+=,.@-]`)

// sessionHash is how many hexadecimal digits of a hash are at the end of a session name
// that is not the whole name: 80 bits.
const sessionHash = 20

// SessionName is the name of the session in which an assumed role is used for a
// CustomAction: NAMESPACE.ACTION, by which CloudTrail tells tenants apart. What is for no
// single action of a namespace has an empty action. A name of more than
// limits.SessionName characters, or with one that STS does not take, is cut and ends in +
// and a hash, so that no two have one name. Names of Kubernetes have no +, and those of
// namespaces no dot: what has is hashed, too.
func SessionName(namespace, action string) string {
	whole := namespace + "." + action
	clean := otherThanSessionName.ReplaceAllString(whole, "-")
	if clean == whole && len(whole) <= limits.SessionName && !strings.Contains(whole, "+") && !strings.Contains(namespace, ".") {
		return whole
	}
	sum := sha256.Sum256([]byte(namespace + "\x00" + action))
	return clean[:min(len(clean), limits.SessionName-sessionHash-1)] + "+" + hex.EncodeToString(sum[:])[:sessionHash]
}

// An operation is a call to CodePipeline that a Client makes.
type operation struct {
	name string
	// ofType: the service authorization reference lets a policy narrow the permission to
	// an action type. For all others it has to be for any resource, or for pipelines, whose
	// names are in the jobs that come.
	ofType bool
	// registers: it is for identities alone that may register action types.
	registers bool
}

// operations are all calls to CodePipeline that a Client makes: those of service.
// CreateCustomActionType needs the permission for TagResource, too, if it has tags.
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

// policy is one of IAM's.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect           string
	Action, Resource []string
}

// SessionPolicy is the inline policy of a session of an assumed role, in JSON and within
// limits.SessionPolicy: exactly the calls of a Client, and those that register action types
// only with MayRegister. The session has what both it and the role's own policies allow.
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
	content, _ := json.Marshal(policy{"2012-10-17", []statement{anything, typed}}) // strings can be written
	return string(content)
}

// actionTypes are the resources that ActionType stands for. AWS's own documents write the
// ARN of an action type in several ways: with actiontype and actionType, Custom and custom,
// without an account, and with a slash at its end. A policy with one of them that the
// service does not mean would allow nothing.
func (i Identity) actionTypes() []string {
	role, err := arn.Parse(i.RoleARN)
	if err != nil || i.ActionType == (ActionTypeID{}) {
		return []string{"*"}
	}
	of := i.ActionType
	one := fmt.Sprintf("arn:%s:codepipeline:%s:*:action?ype:?ustom/%s/%s/%s", role.Partition, i.Region, of.Category, of.Provider, of.Version)
	return []string{one, one + "/"}
}
