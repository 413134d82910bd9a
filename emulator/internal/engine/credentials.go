package engine

import (
	"crypto/rand"
	"strings"
	"time"
)

// SessionCredentials are the temporary AWS credentials of a job.
type SessionCredentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
}

// JobData is the data of a job for its worker.
type JobData struct {
	ActionTypeID        TypeID              `json:"actionTypeId"`
	ActionConfiguration ActionConfiguration `json:"actionConfiguration"`
	PipelineContext     PipelineContext     `json:"pipelineContext"`
	InputArtifacts      []Artifact          `json:"inputArtifacts"`
	OutputArtifacts     []Artifact          `json:"outputArtifacts"`
	ArtifactCredentials SessionCredentials  `json:"artifactCredentials"`
	ContinuationToken   string              `json:"continuationToken,omitempty"`
	EncryptionKey       *EncryptionKey      `json:"encryptionKey,omitempty"`
}

// ActionConfiguration has the resolved configuration of an action.
type ActionConfiguration struct {
	Configuration map[string]string `json:"configuration"`
}

// PipelineContext is the place of a job in its pipeline.
type PipelineContext struct {
	PipelineName        string        `json:"pipelineName"`
	PipelineARN         string        `json:"pipelineArn"`
	PipelineExecutionID string        `json:"pipelineExecutionId"`
	Stage               StageContext  `json:"stage"`
	Action              ActionContext `json:"action"`
}

// StageContext names the stage of a job.
type StageContext struct {
	Name string `json:"name"`
}

// ActionContext names the action of a job and the action execution.
type ActionContext struct {
	Name              string `json:"name"`
	ActionExecutionID string `json:"actionExecutionId"`
}

// dataOf returns the data of a job, with new credentials.
func (e *Engine) dataOf(j *job) JobData {
	a := j.action
	return JobData{
		ActionTypeID:        a.declared.ActionTypeID,
		ActionConfiguration: ActionConfiguration{a.resolved},
		PipelineContext: PipelineContext{
			PipelineName:        a.execution.declared.Name,
			PipelineARN:         e.pipelineARN(a.execution.declared.Name),
			PipelineExecutionID: a.execution.id,
			Stage:               StageContext{a.stage},
			Action:              ActionContext{a.declared.Name, a.id},
		},
		InputArtifacts:      a.inputs,
		OutputArtifacts:     a.outputs,
		ArtifactCredentials: e.grant(j),
		ContinuationToken:   j.token,
		EncryptionKey:       e.store(a.execution.declared).EncryptionKey,
	}
}

// Grant is what a job's artifact credentials allow.
type Grant struct {
	Expires time.Time
	// Read and Write are objects in the form bucket/key.
	Read, Write map[string]bool
	// KeyID is the KMS key that uploads must name. If it is empty, they must not name one.
	KeyID string
	// SecretAccessKey signs requests. Each request must have SessionToken.
	SecretAccessKey, SessionToken string
}

// jobKeyPrefix is the prefix of jobs' access keys. It distinguishes forgotten ones from those of
// ordinary callers.
const jobKeyPrefix = "ASIAJOB"

// grant creates credentials for a job's artifacts.
func (e *Engine) grant(j *job) SessionCredentials {
	made := SessionCredentials{
		AccessKeyID:     jobKeyPrefix + rand.Text()[:13],
		SecretAccessKey: rand.Text() + rand.Text()[:14],
		SessionToken:    rand.Text() + rand.Text(),
	}
	grant := &Grant{Expires: e.now().Add(e.options.CredentialsTTL), Read: map[string]bool{}, Write: map[string]bool{}, SecretAccessKey: made.SecretAccessKey, SessionToken: made.SessionToken}
	for _, input := range j.action.inputs {
		grant.Read[input.Location.S3Location.String()] = true
	}
	for _, output := range j.action.outputs {
		grant.Write[output.Location.S3Location.String()] = true
	}
	if key := e.store(j.action.execution.declared).EncryptionKey; key != nil {
		grant.KeyID = key.ID
	}
	e.credentials[made.AccessKeyID] = grant
	e.issued = append(e.issued, made.AccessKeyID)
	return made
}

// String returns bucket/key.
func (l S3Location) String() string { return l.BucketName + "/" + l.ObjectKey }

// GrantOf returns what a job's access key allows. ok is false if the key is not a job's, or has
// expired and been forgotten. Like those of any session, the credentials are valid until they
// expire, even after the job has ended.
func (e *Engine) GrantOf(accessKeyID string) (grant Grant, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known, ok := e.credentials[accessKeyID]; ok {
		return *known, true
	}
	return Grant{}, false
}

// IsJobKey reports whether an access key is, or was, a job's.
func IsJobKey(accessKeyID string) bool { return strings.HasPrefix(accessKeyID, jobKeyPrefix) }
