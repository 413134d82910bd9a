package pipelinejob

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// The operator has no permission to read Secrets. It has none to patch them either, because the
// answer to a patch, even an empty one, is the whole object. Without reading a Secret, it knows
// that it belongs to the job:
//
//   - its name contains the UID of the PipelineJob (naming.SecretName);
//   - once the UID of the Secret is known, every write names it: the API server refuses an update
//     with a different metadata.uid, or a deletion with that precondition, as a conflict.

// uidOfSecret returns the UID of the job's Secret. It is empty if the answer to its creation
// is not recorded.
func uidOfSecret(job *v1alpha1.PipelineJob) types.UID {
	if job.Status.Protocol.Secret == nil {
		return ""
	}
	return job.Status.Protocol.Secret.UID
}

// errSecretGone: the Secret with the recorded UID does not exist.
var errSecretGone = errors.New("the Secret is gone")

// writeSecret replaces the whole Secret with the recorded UID. If no UID is recorded, it
// creates the Secret, or replaces the one that an earlier try created.
//
// If the Secret with the recorded UID is gone, the error is errSecretGone. The caller must
// record that before another one is created: if its creation was then not recorded, its UID
// would look like that of someone else's Secret.
func (r *Reconciler) writeSecret(ctx context.Context, job *v1alpha1.PipelineJob, secret *corev1.Secret) error {
	if secret.UID = uidOfSecret(job); secret.UID != "" {
		err := r.Update(ctx, secret)
		switch {
		case isOfAnother(err):
			return fmt.Errorf("it was replaced with a Secret that the operator did not create: delete that Secret (%s)", err.Error())
		case apierrors.IsNotFound(err):
			return errSecretGone
		default:
			return err
		}
	}
	err := r.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		err = r.Update(ctx, secret)
	}
	return err
}

// forgetSecret records that the Secret with the recorded UID is gone. The next step creates
// another.
func (r *Reconciler) forgetSecret(ctx context.Context, job *v1alpha1.PipelineJob) error {
	return r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		status.Protocol.Secret = &v1alpha1.SecretState{JobID: status.Protocol.Secret.JobID}
	})
}

// isOfAnother reports whether a write was refused because the object of this name has another
// UID. An admission webhook may answer with the same status code.
func isOfAnother(err error) bool {
	return apierrors.IsConflict(err) && diagnosis.AnswerOf(err) == diagnosis.AnswerNone
}

// dropSecret deletes the Secret of a job that no longer needs it.
func (r *Reconciler) dropSecret(ctx context.Context, job *v1alpha1.PipelineJob) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: naming.SecretName(job)}}
	var only client.Preconditions
	if uid := uidOfSecret(job); uid != "" {
		only.UID = &uid
	}
	err := r.Delete(ctx, secret, only)
	if isOfAnother(err) {
		err = nil // the job's own Secret is gone
	}
	if err := r.notDeleted(job, "Secret "+secret.Name, err); err != nil {
		return err
	}
	return r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) { status.Protocol.Secret = nil })
}
