// Package naming gives the names and labels of PipelineJobs and of what belongs to
// them: Kubernetes Jobs and Secrets. A name is a function of what is recorded, so
// that a repeated step meets the object that the first one made.
package naming

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// uuid is the form of CodePipeline's IDs, and of Kubernetes' UIDs.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// maxActionInName leaves room, in the 63 characters of a pod's labels, for an
// execution ID (36), a run number (up to 99,999) and the hyphens.
const maxActionInName = 20

// JobName is the name of the Kubernetes Job of a run.
func JobName(job *v1alpha1.PipelineJob, run int32) string {
	return fmt.Sprintf("%s-%d", job.Name, run)
}

// ExternalExecutionID is the external execution ID of a run for which no step gave one:
// NAMESPACE.JOB. The first dot ends the namespace, which can't have one. Neither name has
// a character that has to be escaped in a URL.
func ExternalExecutionID(namespace, jobName string) string { return namespace + "." + jobName }

// PipelineJobName is the name of the PipelineJob for an action execution. It
// is a function of its arguments alone: a job that is polled twice, or that
// is handed out again to continue, meets its own object.
func PipelineJobName(action, actionExecutionID, jobID string) string {
	prefix := strings.ReplaceAll(action, ".", "-")
	if len(prefix) > maxActionInName {
		prefix = strings.TrimRight(prefix[:maxActionInName], "-")
	}
	id := actionExecutionID
	if id == "" {
		id = jobID
	}
	if !uuid.MatchString(id) {
		id = digest(id)
	}
	return prefix + "-" + id
}

// secretConfigPrefix starts the keys of secret properties in the job's Secret.
const secretConfigPrefix = "config."

// secretKey matches a valid key of a Secret (core/v1 Secret, data).
var secretKey = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)

// secretPrefix starts the names of Secrets of PipelineJobs. A UID follows it.
const secretPrefix = "pipelinejob-"

// SecretName is the name of the job's Secret. It has the PipelineJob's UID, which the API
// server chooses: the operator may not read Secrets, so the name has to tell that a Secret
// is the job's. Nobody can make a PipelineJob for the name of a Secret that exists already.
func SecretName(job *v1alpha1.PipelineJob) string { return secretPrefix + string(job.UID) }

// IsSecretName reports whether a name is that of the Secret of a PipelineJob.
func IsSecretName(name string) bool {
	id, found := strings.CutPrefix(name, secretPrefix)
	return found && uuid.MatchString(id)
}

// SecretConfigKey is the key of a secret property in the job's Secret. Names
// of properties may have characters that keys may not.
func SecretConfigKey(property string) string {
	if secretKey.MatchString(property) {
		return secretConfigPrefix + property
	}
	return secretConfigPrefix + digest(property)
}

// digest is a short, stable stand-in for a name that can't be used as it is.
func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:18])
}
