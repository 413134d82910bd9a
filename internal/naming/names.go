// Package naming computes the names and labels of PipelineJobs and of the objects that belong to
// them: Kubernetes Jobs and Secrets. A name depends only on recorded data, so that a repeated step
// finds the object that the first attempt created.
package naming

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// uuid matches CodePipeline's IDs and Kubernetes' UIDs.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// maxActionInName leaves room, in the 63 characters of a pod's labels, for an
// execution ID (36), a run number (up to 99,999) and the hyphens.
const maxActionInName = 20

// JobName returns the name of the Kubernetes Job of a run.
func JobName(job *v1alpha1.PipelineJob, run int32) string {
	return fmt.Sprintf("%s-%d", job.Name, run)
}

// ExternalExecutionID returns the external execution ID of a run if no step sets one:
// NAMESPACE.JOB. The first dot ends the namespace, which can't have one. Neither name has
// characters that must be escaped in a URL.
func ExternalExecutionID(namespace, jobName string) string { return namespace + "." + jobName }

// PipelineJobName returns the name of the PipelineJob for an action execution. It depends only on
// its arguments, so that a job that is polled twice, or handed out again to continue, finds its own
// object.
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

// secretConfigPrefix is the prefix of keys for secret properties in the job's Secret.
const secretConfigPrefix = "config."

// secretKey matches a valid key of a Secret (core/v1 Secret, data).
var secretKey = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)

// secretPrefix is the prefix of the names of PipelineJobs' Secrets. The UID follows it.
const secretPrefix = "pipelinejob-"

// SecretName returns the name of the job's Secret. The operator can't read Secrets, so the name
// alone must identify a Secret as the job's. It has the UID of the PipelineJob, which the API
// server chooses: nobody can create a PipelineJob for the name of an existing Secret.
func SecretName(job *v1alpha1.PipelineJob) string { return secretPrefix + string(job.UID) }

// IsSecretName reports whether a name is that of a PipelineJob's Secret.
func IsSecretName(name string) bool {
	id, found := strings.CutPrefix(name, secretPrefix)
	return found && uuid.MatchString(id)
}

// SecretConfigKey returns the key of a secret property in the job's Secret. Property names may have
// characters that are not allowed in keys.
func SecretConfigKey(property string) string {
	if secretKey.MatchString(property) {
		return secretConfigPrefix + property
	}
	return secretConfigPrefix + digest(property)
}

// digest returns a short, stable replacement for a name that can't be used itself.
func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:18])
}
