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

// The operator has no permission to read Secrets, nor one to patch them: the answer to a
// patch, even an empty one, is the whole object. That a Secret is the job's is known without
// reading it:
//
//   - its name has the UID of the PipelineJob (naming.SecretName);
//   - once its own UID is known, the API server is told to write no other: a replacement
//     whose metadata.uid differs is refused with a conflict, and so is a deletion with that
//     precondition.

// uidOfSecret is the UID of the job's Secret; empty if the answer to its creation is not
// recorded.
func uidOfSecret(job *v1alpha1.PipelineJob) types.UID {
	if job.Status.Protocol.Secret == nil {
		return ""
	}
	return job.Status.Protocol.Secret.UID
}

// errSecretGone: the Secret whose UID is known is not there.
var errSecretGone = errors.New("the Secret is gone")

// writeSecret replaces the Secret whose UID is known as a whole. If its UID is not known, it
// is created, or replaced if an earlier try has created it. If the one that is known is gone,
// the error is errSecretGone: that must be recorded before another is created, whose UID would
// be taken for someone else's if its creation was not recorded.
func (r *Reconciler) writeSecret(ctx context.Context, job *v1alpha1.PipelineJob, secret *corev1.Secret) error {
	if secret.UID = uidOfSecret(job); secret.UID != "" {
		err := r.Update(ctx, secret)
		switch {
		case isOfAnother(err):
			return fmt.Errorf("another Secret, which the operator did not create, has taken its place: delete it (%s)", err.Error())
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

// forgetSecret records that the Secret whose UID is known is gone: the next step creates one.
func (r *Reconciler) forgetSecret(ctx context.Context, job *v1alpha1.PipelineJob) error {
	return r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		status.Protocol.Secret = &v1alpha1.SecretState{JobID: status.Protocol.Secret.JobID}
	})
}

// isOfAnother reports whether a write was refused because the object by this name has
// another UID. An admission webhook may answer with the same code.
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
		err = nil // the job's is gone
	}
	if err := r.notDeleted(job, "Secret "+secret.Name, err); err != nil {
		return err
	}
	return r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) { status.Protocol.Secret = nil })
}
