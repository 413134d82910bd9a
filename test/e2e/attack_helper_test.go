//go:build e2e

package e2e

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// applyChanged is apply for an action with a changed pod.
func (s *suite) applyChanged(w work, change func(*corev1.PodSpec)) {
	s.t.Helper()
	var text bytes.Buffer
	s.Expect(workYAML.Execute(&text, w)).To(Succeed())
	action := &v1alpha1.CustomAction{}
	s.Expect(yaml.UnmarshalStrict(text.Bytes(), action)).To(Succeed())
	change(&action.Spec.JobTemplate.Spec.Template.Spec)
	manifest, err := yaml.Marshal(action)
	s.Expect(err).NotTo(HaveOccurred())
	out, err := s.tryKubectl(string(manifest), "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	s.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=1m", "cpaction/"+w.Name)
}

// swapHelper tries to replace the helper with another program in every possible way, and records
// the ways that work.
const swapHelper = `
cd /codepipeline
printf '#!/bin/sh\nenv > /codepipeline/stolen\n' > evil
chmod 755 evil
mkdir other && cp evil other/codepipeline
try() { if "$@"; then echo "$*" >> swapped; fi; }
try cp -f evil "$CODEPIPELINE"
try mv -f evil "$CODEPIPELINE"
try ln -sf /codepipeline/evil "$CODEPIPELINE"
try rm -f "$CODEPIPELINE"
try chmod 777 "$CODEPIPELINE"
try touch bin/more
try mv bin was
try mv -T other bin
try rmdir bin
try rm -rf bin
true`

// useHelper is a later step with a Secret that the first step does not have.
const useHelper = `
"$CODEPIPELINE" summary "signed in"
if [ -e /codepipeline/swapped ]; then cat /codepipeline/swapped; exit 1; fi
if [ -e /codepipeline/stolen ]; then echo "the Secret was read"; exit 1; fi`

// TestAttackTheHelperOfALaterStep: a step tries to run code in a later step, with its Secret, both
// as the user that owns the helper and as another one.
func TestAttackTheHelperOfALaterStep(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	const secret = "attack-helper"
	s.kubectl("-n", namespace, "delete", "secret", secret, "--ignore-not-found") // left by an earlier run
	s.kubectl("-n", namespace, "create", "secret", "generic", secret, "--from-literal=token=a-later-steps-own")
	attacks := []work{{Name: "attack-helper-owner", Script: swapHelper}, {Name: "attack-helper-other", Script: swapHelper}}
	for i, user := range []int64{65532, 1000} {
		s.applyChanged(attacks[i], func(pod *corev1.PodSpec) {
			victim := *pod.Containers[0].DeepCopy()
			victim.Name, victim.Args = "victim", []string{useHelper}
			victim.SecurityContext.RunAsUser = ptr.To[int64](2000)
			victim.Env = []corev1.EnvVar{{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{
				SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "token"},
			}}}
			pod.Containers[0].SecurityContext.RunAsUser = &user
			pod.Containers = append(pod.Containers, victim)
		})
	}
	execution := s.startWorks("attack-helper", attacks...)
	status := s.ended("attack-helper", execution)
	for _, attack := range attacks {
		shown := s.actionState(s, "attack-helper", attack.Name)
		s.Expect(shown.ErrorDetails).To(BeNil(), attack.Name)
		s.Expect(aws.ToString(shown.Summary)).To(Equal("signed in"), attack.Name)
	}
	s.Expect(status).To(Equal(types.PipelineExecutionStatusSucceeded))
}
