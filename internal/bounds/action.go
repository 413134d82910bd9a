package bounds

import (
	"encoding/json"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// annotationTooLarge marks CustomActions in the cache whose job template was dropped. Its value is
// the reason. It is never written to the API server.
const annotationTooLarge = "codepipeline.pipelinejob.dev/too-large"

// TrimAction reduces a CustomAction to what the operator reads from its cache. If the spec exceeds
// limits.ActionSpec, or takes more memory than Object, it drops everything that pods are made of,
// and TooLarge returns the reason. It drops a status larger than Object: a user has written it, and
// the operator replaces it.
func TrimAction(action *v1alpha1.CustomAction) {
	known := action.Annotations[annotationTooLarge]
	TrimMeta(action, v1alpha1.FinalizerCustomAction)
	if Memory(&action.Status) > Object {
		action.Status = v1alpha1.CustomActionStatus{}
	}
	why := problemOf(&action.Spec)
	if why == "" && len(action.Spec.JobTemplate.Spec.Template.Spec.Containers) == 0 {
		why = known // it was trimmed before: the API server accepts no template without containers
	}
	if why == "" {
		return
	}
	action.Spec.JobTemplate, action.Spec.Runner, action.Spec.Workspace = batchv1.JobTemplateSpec{}, nil, nil
	if action.Annotations == nil {
		action.Annotations = map[string]string{}
	}
	action.Annotations[annotationTooLarge] = why[:min(len(why), keptAnnotation)]
}

// TooLarge reports whether a CustomAction in a cache is too large to take jobs, with the reason and
// what to do.
func TooLarge(action *v1alpha1.CustomAction) (why string, is bool) {
	why, is = action.Annotations[annotationTooLarge]
	return why, is
}

// problemOf returns why a spec is too large, or an empty string.
func problemOf(spec *v1alpha1.CustomActionSpec) string {
	const wayOut = "the operator keeps it in memory. Put scripts and files into an image, or into a ConfigMap that the template mounts"
	content, err := json.Marshal(spec)
	switch {
	case err != nil:
		return fmt.Sprintf("the size of spec is not known: %v", err)
	case len(content) > limits.ActionSpec:
		return fmt.Sprintf("spec has %s bytes of JSON, and may have %s at most, because %s", grouped(len(content)), grouped(limits.ActionSpec), wayOut)
	}
	if size := Memory(spec); size > Object {
		return fmt.Sprintf("spec takes %s bytes of memory, and may take %s at most, because %s; have fewer containers, variables and volumes",
			grouped(size), grouped(Object), wayOut)
	}
	return ""
}

// grouped writes a number with a comma between thousands.
func grouped(number int) string {
	if number < 1000 {
		return fmt.Sprint(number)
	}
	return fmt.Sprintf("%s,%03d", grouped(number/1000), number%1000)
}
