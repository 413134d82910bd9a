package jobspec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

const (
	caVolume = podcontract.CAVolume
	caDir    = "/var/run/codepipeline-ca"
	caFile   = "ca.crt"
	envCA    = "AWS_CA_BUNDLE"
)

// RunnerOptions configure the wrapper containers. A CustomAction's spec.runner takes precedence.
type RunnerOptions struct {
	// DefaultEnv are variables for the containers that transfer artifacts, such as proxies and the
	// SDK's endpoint overrides. They must not be secret, because they are passed as arguments.
	DefaultEnv []corev1.EnvVar
	// Resources are the resources of each wrapper container. Nil means the default of each
	// container.
	Resources *corev1.ResourceRequirements
	// CA has the certificates that the containers that transfer artifacts trust. Nil means those of
	// the image.
	CA *v1alpha1.CABundle

	env     []corev1.EnvVar
	envFrom []corev1.EnvFromSource
}

// with returns the options for an action with its own settings.
func (o RunnerOptions) with(own *v1alpha1.Runner) RunnerOptions {
	if own == nil {
		return o
	}
	if own.Resources != nil {
		o.Resources = own.Resources
	}
	if own.CA != nil {
		o.CA = own.CA
	} else if slices.ContainsFunc(own.Env, func(v corev1.EnvVar) bool { return v.Name == envCA }) {
		o.CA = nil
	}
	o.env, o.envFrom = own.Env, own.EnvFrom
	return o
}

// addTransferEnv sets the environment with which a container reaches AWS. It passes DefaultEnv as
// arguments, because variables in env would take precedence over envFrom.
func (o RunnerOptions) addTransferEnv(container *corev1.Container) {
	for _, variable := range o.DefaultEnv {
		container.Command = append(container.Command, "--default-env="+variable.Name+"="+escape(variable.Value))
	}
	container.Env, container.EnvFrom = slices.Clone(o.env), o.envFrom
	if o.CA == nil {
		return
	}
	container.Env = append(container.Env, corev1.EnvVar{Name: envCA, Value: caDir + "/" + caFile})
	container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: caVolume, MountPath: caDir, ReadOnly: true})
}

// caVolumes returns the volume that addTransferEnv mounts.
func (o RunnerOptions) caVolumes() []corev1.Volume {
	if o.CA == nil {
		return nil
	}
	return []corev1.Volume{{Name: caVolume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: o.CA.Name},
		Items:                []corev1.KeyToPath{{Key: cmp.Or(o.CA.Key, v1alpha1.DefaultCAKey), Path: caFile}},
		DefaultMode:          ptr.To[int32](0o444),
	}}}}
}

// transferResources and progressResources limit CPU and memory, because a quota on limits requires
// that for every container. They don't limit ephemeral-storage: the kubelet would count what steps
// write, which the workspace's size limit bounds.
var (
	transferResources = resources("10m", "64Mi", "1", "256Mi")
	progressResources = resources("5m", "16Mi", "100m", "64Mi")
)

// logStorage is for the log of a wrapper container, which is all that it has on the node's disk
// besides volumes. It is requested so that the scheduler and quotas count it.
var logStorage = resource.MustParse("16Mi")

func resources(cpu, memory, cpuLimit, memoryLimit string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory), corev1.ResourceEphemeralStorage: logStorage.DeepCopy(),
		},
		Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpuLimit), corev1.ResourceMemory: resource.MustParse(memoryLimit)},
	}
}

// resourcesOr returns the resources of a wrapper container. It lowers the defaults to the limits of
// the pod, if the pod has any, because Kubernetes refuses containers with higher ones.
func (o RunnerOptions) resourcesOr(defaults corev1.ResourceRequirements, pod *corev1.ResourceRequirements) corev1.ResourceRequirements {
	if o.Resources != nil {
		return *o.Resources.DeepCopy()
	}
	chosen := *defaults.DeepCopy()
	if pod == nil {
		return chosen
	}
	for _, list := range []corev1.ResourceList{chosen.Requests, chosen.Limits} {
		for name, value := range list {
			if most, set := pod.Limits[name]; set && most.Cmp(value) < 0 {
				list[name] = most
			}
		}
	}
	return chosen
}

// reservedEnv are variables of AWS SDKs that spec.runner.env must not set, with the reason: the
// containers use the job's credentials and region.
var reservedEnv = map[string]string{
	"AWS_ACCESS_KEY_ID":                      ownCredentials,
	"AWS_SECRET_ACCESS_KEY":                  ownCredentials,
	"AWS_SESSION_TOKEN":                      ownCredentials,
	"AWS_PROFILE":                            ownCredentials,
	"AWS_DEFAULT_PROFILE":                    ownCredentials,
	"AWS_CONFIG_FILE":                        ownCredentials,
	"AWS_SHARED_CREDENTIALS_FILE":            ownCredentials,
	"AWS_ROLE_ARN":                           ownCredentials,
	"AWS_ROLE_SESSION_NAME":                  ownCredentials,
	"AWS_WEB_IDENTITY_TOKEN_FILE":            ownCredentials,
	"AWS_CONTAINER_CREDENTIALS_FULL_URI":     ownCredentials,
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": ownCredentials,
	"AWS_CONTAINER_AUTHORIZATION_TOKEN":      ownCredentials,
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": ownCredentials,
	"AWS_REGION":                             ownRegion,
	"AWS_DEFAULT_REGION":                     ownRegion,
}

const (
	ownCredentials = "must be absent: artifacts are transferred with the credentials that CodePipeline gives for each job"
	ownRegion      = "must be absent: the region is that of the CodePipelineAccount, or spec.region"
)

// checkRunner refuses variables that would break the wrapper containers or disclose a secret.
func checkRunner(runner *v1alpha1.Runner) error {
	if runner == nil {
		return nil
	}
	var p problems
	for i, variable := range runner.Env {
		rule := brokenRule(variable, runner)
		p.refuse(rule != "", fmt.Sprintf("spec.runner.env[%d] (%s)", i, variable.Name), rule)
	}
	return p.join()
}

// brokenRule returns the rule that a variable of spec.runner.env breaks, or an empty string.
func brokenRule(variable corev1.EnvVar, runner *v1alpha1.Runner) string {
	switch {
	case variable.Name == envCA && runner.CA != nil:
		return "must be absent if spec.runner.ca is set"
	case HasCredentials(variable.Name, variable.Value):
		return "must not hold a user name or password, which every reader of the object would see: put the whole value into a Secret, and set valueFrom.secretKeyRef"
	default:
		return reservedEnv[variable.Name]
	}
}

// withURLs are variables whose values are URLs.
var withURLs = []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}

// HasCredentials reports whether the value of an environment variable is a URL, such as a
// proxy's, with a user name or password, with or without a scheme:
// http://user:password@proxy:3128 or user:password@proxy:3128.
func HasCredentials(name, value string) bool {
	isURL := slices.Contains(withURLs, strings.ToUpper(name)) || strings.HasPrefix(name, "AWS_ENDPOINT_URL")
	return isURL && strings.Contains(value, "@")
}
