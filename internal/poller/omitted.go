package poller

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// fitting returns the record, without its bulk if it is too large for the API server now, or
// would be with the status that is added later.
func fitting(record *v1alpha1.PipelineJob) *v1alpha1.PipelineJob {
	if size := jsonSize(record.Spec); size > limits.HandedOver {
		return withoutBulk(record, fmt.Errorf("the job has %d bytes, and a PipelineJob holds at most %d", size, limits.HandedOver))
	}
	return record
}

// withoutBulk returns the record of a job that the API server does not accept, without the
// members that can be large and with the reason why they are missing. The rest is enough to
// fail the action.
func withoutBulk(record *v1alpha1.PipelineJob, refusal error) *v1alpha1.PipelineJob {
	reduced := record.DeepCopy()
	largest := largestMember(&record.Spec)
	reduced.Spec.Configuration, reduced.Spec.SecretConfiguration = nil, nil
	reduced.Spec.InputArtifacts, reduced.Spec.OutputArtifacts, reduced.Spec.EncryptionKey = nil, nil, nil
	reduced.Spec.Omitted = fmt.Sprintf("the configuration, artifacts and encryption key (%s is the largest, with %d bytes): %s",
		largest.name, largest.size, limits.Cut(refusal.Error(), limits.OmittedReason))
	return reduced
}

// member is a part of a job, with its size in bytes of JSON.
type member struct {
	name string
	size int
}

// largestMember returns the largest member that withoutBulk leaves out. Of several, it is the
// first by name.
func largestMember(spec *v1alpha1.PipelineJobSpec) member {
	members := []member{
		{"the list of secret properties", jsonSize(spec.SecretConfiguration)},
		{"the encryption key", jsonSize(spec.EncryptionKey)},
	}
	for name, value := range spec.Configuration {
		members = append(members, member{"configuration." + limits.Cut(name, limits.PropertyName), jsonSize(value)})
	}
	for _, artifact := range slices.Concat(spec.InputArtifacts, spec.OutputArtifacts) {
		members = append(members, member{"artifact " + limits.Cut(artifact.Name, limits.ArtifactName), jsonSize(artifact)})
	}
	return slices.MaxFunc(members, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(b.name, a.name))
	})
}

func jsonSize(of any) int {
	data, err := json.Marshal(of)
	if err != nil { // can't happen: there are only strings
		return 0
	}
	return len(data)
}
