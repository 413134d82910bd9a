package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/queues"
)

// permission is what a call requires, according to the service authorization reference.
type permission struct{ action, resource string }

// anyResource is the resource of permissions that can't be restricted to a resource.
const anyResource = "*"

// missing returns the refusal message for the first permission that the caller's session policy
// does not allow.
func missing(who caller, needed ...permission) (message string, is bool) {
	for _, p := range needed {
		if !who.Policy.Allows(p.action, p.resource) {
			return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no session policy allows the %s action",
				who.ARN, p.action, p.resource, p.action), true
		}
	}
	return "", false
}

// pipelineRequest has the members of CodePipeline requests that name a resource.
type pipelineRequest struct {
	ActionTypeID *engine.TypeID `json:"actionTypeId"`
	// Category, Provider and Version identify an action type.
	Category     string `json:"category"`
	Provider     string `json:"provider"`
	Version      any    `json:"version"` // a number for pipelines
	ResourceARN  string `json:"resourceArn"`
	PipelineName string `json:"pipelineName"`
	Name         string `json:"name"`
	Pipeline     struct {
		Name string `json:"name"`
	} `json:"pipeline"`
	Tags []json.RawMessage `json:"tags"`
}

// pipelinePermissions returns the permissions that a CodePipeline call requires. Parts of a
// pipeline count as the pipeline.
func pipelinePermissions(at regionID, operation string, body []byte) []permission {
	var request pipelineRequest
	_ = json.Unmarshal(body, &request) // an invalid request is refused later
	resource := request.resource(at)
	needed := []permission{{"codepipeline:" + operation, resource}}
	if strings.HasPrefix(operation, "Create") && len(request.Tags) > 0 {
		needed = append(needed, permission{"codepipeline:TagResource", resource})
	}
	return needed
}

func (r pipelineRequest) resource(at regionID) string {
	arn := func(name string) string {
		return fmt.Sprintf("arn:aws:codepipeline:%s:%s:%s", at.region, at.account, name)
	}
	for _, pipeline := range []string{r.PipelineName, r.Pipeline.Name, r.Name} {
		if pipeline != "" {
			return arn(pipeline)
		}
	}
	switch {
	case r.ResourceARN != "":
		return r.ResourceARN
	case r.ActionTypeID != nil:
		return arn(fmt.Sprintf("actiontype:%s/%s/%s/%s", r.ActionTypeID.Owner, r.ActionTypeID.Category, r.ActionTypeID.Provider, r.ActionTypeID.Version))
	case r.Category != "":
		return arn(fmt.Sprintf("actiontype:Custom/%s/%s/%v", r.Category, r.Provider, r.Version))
	default:
		return anyResource
	}
}

// objectActions has the permissions of S3's operations, by their names in the journal. All others
// require the permission with their own name.
var objectActions = map[string]string{
	"HeadObject": "GetObject", "ListObjects": "ListBucket", "CopyObject": "PutObject", "CreateMultipartUpload": "PutObject",
	"UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject",
}

// objectPermissions returns the permissions that an S3 request requires. It ignores the source of a
// copy.
func objectPermissions(operation string, r *http.Request) []permission {
	action := operation
	if known, is := objectActions[operation]; is {
		action = known
	}
	resource := anyResource
	if path := strings.Trim(r.URL.Path, "/"); path != "" {
		resource = "arn:aws:s3:::" + path
	}
	return []permission{{"s3:" + action, resource}}
}

// queuePermission returns the permission that an SQS call requires.
func queuePermission(who caller, action string, request sqsRequest) permission {
	name, ok := queueOf(request.QueueURL, who)
	if !ok {
		name = queues.Name{Account: who.Account, Region: who.region, Queue: request.QueueName}
	}
	return permission{"sqs:" + action, fmt.Sprintf("arn:aws:sqs:%s:%s:%s", name.Region, name.Account, name.Queue)}
}

// refusedByPolicy returns the error if the caller's session policy does not allow a permission.
// code is the service's error code.
func refusedByPolicy(who caller, code string, needed ...permission) *engine.Error {
	if message, is := missing(who, needed...); is {
		return &engine.Error{Code: code, Message: message}
	}
	return nil
}

// maxSessionPolicy is the longest session policy, in characters (AssumeRole, Policy).
const maxSessionPolicy = 2048

// sessionPolicy parses the session policy of a request. It returns nil if there is none.
func sessionPolicy(r *http.Request) (*identity.Policy, *engine.Error) {
	document := r.FormValue("Policy")
	switch {
	case r.FormValue("PolicyArns.member.1.arn") != "":
		return nil, &engine.Error{Code: "ValidationError", Message: "The emulator has no managed policies: give PolicyArns none, and the policy in Policy"}
	case document == "":
		return nil, nil
	case len([]rune(document)) > maxSessionPolicy:
		return nil, &engine.Error{Code: "ValidationError", Message: fmt.Sprintf(
			"1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to %d", maxSessionPolicy)}
	}
	policy, err := identity.ParsePolicy(document)
	if err != nil {
		return nil, &engine.Error{Code: "MalformedPolicyDocument", Message: "The policy is not in the valid JSON format: " + err.Error()}
	}
	return policy, nil
}
