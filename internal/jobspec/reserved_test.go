package jobspec

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

func TestNothingIsMountedOverTheSharedVolume(t *testing.T) {
	for place, refused := range map[string]bool{
		"/codepipeline": true, "//codepipeline/": true, "/x/../codepipeline/bin": true,
		"codepipeline": true, "codepipeline/result": true, "./codepipeline": true, "../codepipeline": true,
		"/": true, "//": true, ".": true, "/x/..": true,
		"/codepipelines": false, "/work": false, "work/codepipeline": false,
	} {
		t.Run(place, func(t *testing.T) {
			unit := step("unit")
			unit.VolumeMounts = []corev1.VolumeMount{{Name: "mine", MountPath: place}}
			action := sampleAction(unit)
			action.Spec.JobTemplate.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "mine"}}
			err := Validate(action, nil)
			if refused {
				NewWithT(t).Expect(err).To(MatchError(ContainSubstring("containers[0].volumeMounts[0].mountPath: must not be ")))
			} else {
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
			}
		})
	}
}

func TestNoVolumeReadsTheSecretOfTheJob(t *testing.T) {
	job := sampleJob()
	name := naming.SecretName(job)
	local := &corev1.LocalObjectReference{Name: name}
	for field, volume := range map[string]corev1.VolumeSource{
		"secret.secretName":             {Secret: &corev1.SecretVolumeSource{SecretName: name}},
		"azureFile.secretName":          {AzureFile: &corev1.AzureFileVolumeSource{SecretName: name}},
		"csi.nodePublishSecretRef.name": {CSI: &corev1.CSIVolumeSource{NodePublishSecretRef: local}},
		"flexVolume.secretRef.name":     {FlexVolume: &corev1.FlexVolumeSource{SecretRef: local}},
		"cephfs.secretRef.name":         {CephFS: &corev1.CephFSVolumeSource{SecretRef: local}},
		"rbd.secretRef.name":            {RBD: &corev1.RBDVolumeSource{SecretRef: local}},
		"iscsi.secretRef.name":          {ISCSI: &corev1.ISCSIVolumeSource{SecretRef: local}},
		"scaleIO.secretRef.name":        {ScaleIO: &corev1.ScaleIOVolumeSource{SecretRef: local}},
		"storageos.secretRef.name":      {StorageOS: &corev1.StorageOSVolumeSource{SecretRef: local}},
		"projected.sources[0].secret.name": {Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{Secret: &corev1.SecretProjection{LocalObjectReference: *local}},
		}}},
	} {
		t.Run(field, func(t *testing.T) {
			action := sampleAction(step("unit"))
			action.Spec.JobTemplate.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "mine", VolumeSource: volume}}
			_, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring("volumes[0]." + field + ": must not be the Secret of a PipelineJob")))
		})
	}
}
