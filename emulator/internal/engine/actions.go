package engine

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"
)

// actionRun is one execution of an action.
type actionRun struct {
	declared  ActionDeclaration
	execution *execution
	stage     string

	id       string
	status   string // empty if not started
	started  time.Time
	updated  time.Time
	resolved map[string]string
	inputs   []Artifact
	outputs  []Artifact

	summary    string
	externalID string
	percent    *int
	failure    *FailureDetails
	variables  map[string]string
	revision   *CurrentRevision
	// approval is the token of a waiting manual approval.
	approval string
	// job is the newest job of a custom action.
	job *job
	// deadline is when the action times out, after limit. waits is its index in the engine's
	// deadlines.
	deadline time.Time
	limit    time.Duration
	waits    int
}

func newActionRun(x *execution, stage string, declared ActionDeclaration) *actionRun {
	return &actionRun{declared: declared, execution: x, stage: stage, waits: notWaiting}
}

// startAction starts an action according to its type.
func (e *Engine) startAction(a *actionRun) {
	a.id, a.status, a.started, a.updated = newID(), inProgress, e.now(), e.now()
	a.inputs, a.outputs = []Artifact{}, []Artifact{} // jobs have empty lists instead of null
	for _, input := range a.declared.InputArtifacts {
		a.inputs = append(a.inputs, a.execution.artifacts[input.Name])
	}
	for _, output := range a.declared.OutputArtifacts {
		a.outputs = append(a.outputs, e.place(a, output.Name))
	}
	e.notify(a)
	resolved, err := a.resolve()
	if err != nil {
		a.fail(e, "ConfigurationError", err.Error())
		return
	}
	a.resolved = resolved
	if err := e.checkResolved(a); err != nil {
		a.fail(e, "ConfigurationError", err.Error())
		return
	}
	id := a.declared.ActionTypeID
	switch {
	case id.Owner == "Custom":
		a.job = e.newJob(a, "", time.Time{})
		e.await(a, e.options.ActionTimeout)
	case id == s3SourceType.ID:
		e.runS3Source(a)
	case id == approvalType.ID:
		a.approval = newID()
		e.await(a, a.approvalTimeout())
	default:
		a.fail(e, "ConfigurationError", fmt.Sprintf("The emulator does not run actions of type %s", id))
	}
}

// keyLetters are the letters of the random suffix of an artifact's key.
const keyLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// place returns the location for an output artifact, in the service's form, such as
// my-pipeline/SourceArti/qbAjebs.
func (e *Engine) place(a *actionRun, name string) Artifact {
	var suffix [7]byte
	for i := range suffix {
		suffix[i] = keyLetters[rand.IntN(len(keyLetters))]
	}
	key := fmt.Sprintf("%.20s/%.10s/%s", a.execution.declared.Name, name, suffix[:])
	return Artifact{Name: name, Location: ArtifactLocation{Type: "S3", S3Location: S3Location{e.store(a.execution.declared).Location, key}}}
}

// runS3Source copies the source object into the artifact bucket.
func (e *Engine) runS3Source(a *actionRun) {
	bucket, key := a.resolved["S3Bucket"], a.resolved["S3ObjectKey"]
	if len(a.outputs) != 1 {
		a.fail(e, "ConfigurationError", "An S3 source action has one output artifact")
		return
	}
	to := a.outputs[0].Location.S3Location
	wanted := ""
	switch override := a.execution.overrides[a.declared.Name]; override.RevisionType {
	case "S3_OBJECT_KEY":
		key = override.RevisionValue
	case "S3_OBJECT_VERSION_ID":
		wanted = override.RevisionValue
	}
	etag, version, err := e.options.Objects.Copy(bucket, key, wanted, to.BucketName, to.ObjectKey)
	if err != nil {
		a.fail(e, "RevisionUnavailable", fmt.Sprintf("The S3 object s3://%s/%s can't be read: %v", bucket, key, err))
		return
	}
	version = cmp.Or(version, etag) // the service requires a bucket with versioning
	a.outputs[0].Revision = version
	a.revision = &CurrentRevision{Revision: version, ChangeIdentifier: version, Created: epoch(e.now()), RevisionSummary: "Amazon S3 version id: " + version}
	a.summary = a.revision.RevisionSummary
	a.variables = map[string]string{"BucketName": bucket, "ObjectKey": key, "ETag": etag, "VersionId": version}
	a.succeed(e)
}

var reference = regexp.MustCompile(`#\{([^}]*)\}`)

// resolve replaces #{namespace.variable} in the action's configuration.
func (a *actionRun) resolve() (map[string]string, error) {
	resolved := map[string]string{}
	for key, value := range a.declared.Configuration {
		var problem error
		resolved[key] = reference.ReplaceAllStringFunc(value, func(match string) string {
			found, err := a.execution.lookup(match[len("#{") : len(match)-1])
			if err != nil {
				problem = fmt.Errorf("the variable %s in the configuration property %s: %w", match, key, err)
			}
			return found
		})
		if problem != nil {
			return nil, problem
		}
	}
	return resolved, nil
}

func (x *execution) lookup(name string) (string, error) {
	namespace, key, _ := strings.Cut(name, ".")
	switch namespace {
	case "codepipeline":
		if key == "PipelineExecutionId" {
			return x.id, nil
		}
	case "variables":
		if value, ok := x.variables[key]; ok {
			return value, nil
		}
	default:
		for _, stage := range x.stages {
			for _, action := range stage.actions {
				if namespace != "" && action.declared.Namespace == namespace && action.status == succeeded {
					if value, ok := action.variables[key]; ok {
						return value, nil
					}
				}
			}
		}
	}
	return "", fmt.Errorf("no action before has given it a value")
}

// succeed ends an action as succeeded, if its output artifacts exist.
func (a *actionRun) succeed(e *Engine) {
	if missing := a.missingOutput(e); missing != nil && !e.options.AllowMissingOutputs {
		a.fail(e, "RevisionUnavailable", fmt.Sprintf("The output artifact %s was not uploaded to s3://%s", missing.Name, missing.Location.S3Location))
		return
	}
	for _, output := range a.outputs {
		a.execution.artifacts[output.Name] = output
	}
	a.end(e, succeeded)
}

// missingOutput returns the first output artifact without an object, or nil.
func (a *actionRun) missingOutput(e *Engine) *Artifact {
	for i, output := range a.outputs {
		place := output.Location.S3Location
		if !e.options.Objects.Exists(place.BucketName, place.ObjectKey) {
			return &a.outputs[i]
		}
	}
	return nil
}

func (a *actionRun) fail(e *Engine, kind, message string) {
	a.failure = &FailureDetails{Type: kind, Message: message}
	a.end(e, failed)
}

// end ends an action. Its job no longer accepts a result.
func (a *actionRun) end(e *Engine, status string) {
	a.status, a.updated = status, e.now()
	e.notify(a)
	e.release(a)
	e.touch(a.execution.pipeline)
	if a.job != nil && status != succeeded {
		e.closeJob(a.job, jobFailed)
	}
}
