package jobspec

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// everyPlace has all places that an account can grant.
var everyPlace = []v1alpha1.ReferencePlace{
	v1alpha1.ReferenceInImage, v1alpha1.ReferenceInNodeSelector, v1alpha1.ReferenceInTolerations, v1alpha1.ReferenceInPriorityClassName,
	v1alpha1.ReferenceInServiceAccountName, v1alpha1.ReferenceInWorkingDir, v1alpha1.ReferenceInSubPath, v1alpha1.ReferenceInConfigMapName,
	v1alpha1.ReferenceInSecretName, v1alpha1.ReferenceInClaimName,
}

// filled sets every possible string in a value to text.
func filled(value reflect.Value, text string) {
	switch value.Kind() {
	case reflect.String:
		value.SetString(text)
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		filled(value.Elem(), text)
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return // managedFields, which templates can't have
		}
		value.Set(reflect.MakeSlice(value.Type(), 1, 1))
		filled(value.Index(0), text)
	case reflect.Map:
		element := reflect.New(value.Type().Elem()).Elem()
		filled(element, text)
		value.Set(reflect.MakeMap(value.Type()))
		value.SetMapIndex(reflect.ValueOf("key").Convert(value.Type().Key()), element)
	case reflect.Struct:
		for i := range value.NumField() {
			if value.Type().Field(i).IsExported() {
				filled(value.Field(i), text)
			}
		}
	}
}

// fieldsTaking returns the fields of a template in which a text is allowed, out of all fields that
// Kubernetes has, with [] for indexes.
func fieldsTaking(g *WithT, text string, allowed []v1alpha1.ReferencePlace) (taking []string, all int) {
	template := batchv1.JobTemplateSpec{}
	filled(reflect.ValueOf(&template).Elem(), text)
	content, err := json.Marshal(template)
	g.Expect(err).NotTo(HaveOccurred())
	var tree any
	g.Expect(json.Unmarshal(content, &tree)).To(Succeed())
	check := referenceCheck{sampleAction(), allowed, nil}
	var visit func(node any, at path)
	visit = func(node any, at path) {
		switch node := node.(type) {
		case string:
			if node != text {
				return // a quantity
			}
			if all++; check.text(node, at, &variables{action: check.action}) == nil {
				taking = append(taking, strings.ReplaceAll(at[2:].String(), "[0]", "[]"))
			}
		case []any:
			for i := range node {
				visit(node[i], at.with("[0]"))
			}
		case map[string]any:
			for key := range node {
				visit(node[key], at.with(key))
			}
		}
	}
	visit(tree, path{"spec", "jobTemplate"})
	slices.Sort(taking)
	return taking, all
}

// TestReferencesAreAllowedInAListOfFields puts a reference into every field that Kubernetes has.
func TestReferencesAreAllowedInAListOfFields(t *testing.T) {
	open := []string{
		"metadata.annotations.key", "metadata.labels.key",
		"spec.template.metadata.annotations.key", "spec.template.metadata.labels.key",
		"spec.template.spec.containers[].args[]", "spec.template.spec.containers[].command[]", "spec.template.spec.containers[].env[].value",
		"spec.template.spec.initContainers[].args[]", "spec.template.spec.initContainers[].command[]", "spec.template.spec.initContainers[].env[].value",
	}
	for text, reference := range map[string]string{
		"a property": "$(config.Target)", "a label": "$(label:config.Target)", "a default": "$(config.Flavor|3)", "among text": "a $(pipeline.name) b",
		"an unknown property": "$(config.Nope)", "a variable of Kubernetes": "$(CODEPIPELINE_CONFIG_TARGET)",
	} {
		t.Run(text, func(t *testing.T) {
			g := NewWithT(t)
			taking, all := fieldsTaking(g, reference, nil)
			g.Expect(taking).To(Equal(open))
			g.Expect(all).To(BeNumerically(">", 300), "all fields were tried")
		})
	}
	for _, text := range []string{"$(aws.region)", "$(run.number)", "$(output.package)", "$(input.source)", "$$(config.Target)", "$(date)", "$(CODEPIPELINE_REGION)"} {
		t.Run(text, func(t *testing.T) {
			g := NewWithT(t)
			taking, all := fieldsTaking(g, text, nil)
			g.Expect(taking).To(HaveLen(all), "no pipeline controls it")
		})
	}
}

// TestGrantsAddFields: each place of a grant adds exactly the fields that it names.
func TestGrantsAddFields(t *testing.T) {
	g := NewWithT(t)
	const reference = "$(config.Target)"
	open, _ := fieldsTaking(g, reference, nil)
	added := map[v1alpha1.ReferencePlace][]string{}
	for place := range grantedPlaces {
		g.Expect(everyPlace).To(ContainElement(place))
		taking, _ := fieldsTaking(g, reference, []v1alpha1.ReferencePlace{place})
		added[place] = slices.DeleteFunc(taking, func(field string) bool { return slices.Contains(open, field) })
	}
	g.Expect(added).To(HaveLen(len(everyPlace)))
	const pod = "spec.template.spec."
	g.Expect(added).To(And(
		HaveKeyWithValue(v1alpha1.ReferenceInImage, []string{pod + "containers[].image", pod + "initContainers[].image"}),
		HaveKeyWithValue(v1alpha1.ReferenceInNodeSelector, []string{pod + "nodeSelector.key"}),
		HaveKeyWithValue(v1alpha1.ReferenceInTolerations, []string{pod + "tolerations[].key", pod + "tolerations[].value"}),
		HaveKeyWithValue(v1alpha1.ReferenceInPriorityClassName, []string{pod + "priorityClassName"}),
		HaveKeyWithValue(v1alpha1.ReferenceInServiceAccountName, []string{pod + "serviceAccountName"}),
		HaveKeyWithValue(v1alpha1.ReferenceInWorkingDir, []string{pod + "containers[].workingDir", pod + "initContainers[].workingDir"}),
		HaveKeyWithValue(v1alpha1.ReferenceInSubPath, HaveLen(4)),
		HaveKeyWithValue(v1alpha1.ReferenceInConfigMapName, HaveLen(6)),
		HaveKeyWithValue(v1alpha1.ReferenceInSecretName, HaveLen(6)),
		HaveKeyWithValue(v1alpha1.ReferenceInClaimName, []string{pod + "volumes[].persistentVolumeClaim.claimName"}),
	))
}

// TestEveryPlaceHasFields compares the places with the enum of the API.
func TestEveryPlaceHasFields(t *testing.T) {
	g := NewWithT(t)
	for _, place := range everyPlace {
		g.Expect(grantedPlaces[place]).NotTo(BeEmpty(), string(place))
		for _, one := range grantedPlaces[place] {
			for _, open := range openPlaces {
				g.Expect(one).NotTo(Equal(open), "a grant of %s adds nothing", place)
			}
		}
	}
}

// TestReferencesInOtherFields uses templates with references where a pipeline's text would be more
// than data.
func TestReferencesInOtherFields(t *testing.T) {
	const template = "spec.jobTemplate.spec.template.spec."
	const rule = " must not be here: the pipeline controls its value, which is allowed in values of env, labels and annotations, and in elements of command and args: "
	for name, c := range map[string]struct {
		change func(*corev1.PodSpec)
		err    string // empty means allowed
	}{
		"an image": {func(p *corev1.PodSpec) { p.Containers[0].Image = "registry/$(config.Target)" },
			template + "containers[0].image: $(config.Target)" + rule + "write the value itself, or ask the managers of the CodePipelineAccount to add Image to allowReferencesIn of its grant"},
		"an image by region": {func(p *corev1.PodSpec) {
			p.Containers[0].Image = "$(aws.accountID).dkr.ecr.$(aws.region).amazonaws.com/build:1"
		}, ""},
		"an image of a sidecar": {func(p *corev1.PodSpec) {
			p.InitContainers = []corev1.Container{{Name: "db", Image: "$(label:stage.name)"}}
		}, "initContainers[0].image: $(label:stage.name)" + rule},
		"a host path":               {func(p *corev1.PodSpec) { p.Volumes = hostPath("/data/$(job.id)") }, "volumes[0].hostPath.path: $(job.id)" + rule + "write the value itself, which no account's grant can replace"},
		"a service account":         {func(p *corev1.PodSpec) { p.ServiceAccountName = "$(pipeline.name)" }, "serviceAccountName: $(pipeline.name)"},
		"the name of a container":   {func(p *corev1.PodSpec) { p.Containers[0].Name = "$(config.Target)" }, "containers[0].name: "},
		"the name of a variable":    {func(p *corev1.PodSpec) { p.Containers[0].Env = []corev1.EnvVar{{Name: "$(config.Target)", Value: "x"}} }, "containers[0].env[0].name: "},
		"a Secret's key":            {func(p *corev1.PodSpec) { p.Containers[0].Env = []corev1.EnvVar{ofSecret("x", "$(config.Target)")} }, "containers[0].env[0].valueFrom.secretKeyRef.key: "},
		"a working directory":       {func(p *corev1.PodSpec) { p.Containers[0].WorkingDir = "/src/$(config.Target)" }, "add WorkingDir to"},
		"that of an input artifact": {func(p *corev1.PodSpec) { p.Containers[0].WorkingDir = "$(input.source)" }, ""},
		"that of one that stays a file": {func(p *corev1.PodSpec) { p.Containers[0].WorkingDir = "$(input.jar)" },
			"containers[0].workingDir: $(input.jar)"},
		"a probe's command": {func(p *corev1.PodSpec) { p.InitContainers = probed("pg_isready", "-U", "$(config.Target)") },
			"initContainers[0].livenessProbe.exec.command[2]: $(config.Target)"},
		"a probe's command by a variable": {func(p *corev1.PodSpec) { p.InitContainers = probed("sh", "-c", "curl $(CODEPIPELINE_CONFIG_TARGET)") },
			"initContainers[0].livenessProbe.exec.command[2]: $(CODEPIPELINE_CONFIG_TARGET) must not be here: "},
		"a sub path by a variable": {func(p *corev1.PodSpec) {
			p.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "x", MountPath: "/x", SubPathExpr: "$(CODEPIPELINE_STAGE)"}}
		}, "containers[0].volumeMounts[0].subPathExpr: $(CODEPIPELINE_STAGE) must not be here: "},
		"a sub path by another variable": {func(p *corev1.PodSpec) {
			p.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "x", MountPath: "/x", SubPathExpr: "$(CODEPIPELINE_REGION)/$(OWN)"}}
		}, ""},
		"what is no reference": {func(p *corev1.PodSpec) { p.Containers[0].WorkingDir = "$$(config.Target)" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("work", "all"))
			action.Spec.Artifacts.Inputs = []v1alpha1.InputArtifact{{Name: "jar", Unpack: v1alpha1.UnpackNever}}
			c.change(pod(action))
			job := sampleJob()
			job.Spec.InputArtifacts = append(job.Spec.InputArtifacts, v1alpha1.Artifact{Name: "jar", S3Location: v1alpha1.S3Location{ObjectKey: "a/$(rm).jar"}})
			_, built := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			for _, err := range []error{Validate(action, nil), built} {
				if c.err == "" {
					g.Expect(err).NotTo(HaveOccurred())
					continue
				}
				g.Expect(err).To(MatchError(ContainSubstring(c.err)))
				g.Expect(errors.As(err, new(*FieldError))).To(BeTrue(), "it is final")
			}
		})
	}
}

// TestForgedAccountID uses a job with an invalid account ID, because references to it are allowed
// in scripts.
func TestForgedAccountID(t *testing.T) {
	g := NewWithT(t)
	action, job := sampleAction(step("work", "$(aws.accountID)")), sampleJob()
	job.Spec.AccountID = "1; rm -rf /"
	_, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
	g.Expect(err).To(MatchError(HaveSuffix("$(aws.accountID) can't be used: the job's account ID is not one of AWS")))
}

func hostPath(place string) []corev1.Volume {
	return []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: place}}}}
}

func ofSecret(name, key string) corev1.EnvVar {
	return corev1.EnvVar{Name: "X", ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key},
	}}
}

func probed(command ...string) []corev1.Container {
	always := corev1.ContainerRestartPolicyAlways
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: command}}}
	return []corev1.Container{{Name: "db", Image: "db:1", RestartPolicy: &always, LivenessProbe: probe}}
}
