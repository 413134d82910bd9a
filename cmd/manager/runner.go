package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
)

// runnerFlags are the defaults for the wrapper containers. A CustomAction's spec.runner overrides
// them.
type runnerFlags struct {
	resources resources
	ca        caBundle
}

func (r *runnerFlags) bind(flags *flag.FlagSet) {
	flags.Var(&r.resources, "runner-resources",
		"Requests and limits of each wrapper container in jobs' pods, such as requests.cpu=50m,limits.memory=512Mi; "+
			"resources that you leave out are not set (default: different ones for each container).")
	flags.Var(&r.ca, "runner-ca",
		"ConfigMap, which must be in each namespace with a CustomAction, and its key with the certificates that the wrapper containers trust, "+
			"such as aws-ca/ca.crt (default: those of the image).")
}

// options returns the options for package jobspec, with the environment to pass on.
func (r *runnerFlags) options(env []corev1.EnvVar) jobspec.RunnerOptions {
	return jobspec.RunnerOptions{DefaultEnv: env, Resources: r.resources.set, CA: r.ca.set}
}

// resources is a flag with requests and limits.
type resources struct{ set *corev1.ResourceRequirements }

func (r *resources) String() string {
	if r.set == nil {
		return ""
	}
	return strings.Join(append(pairs("requests", r.set.Requests), pairs("limits", r.set.Limits)...), ",")
}

func pairs(kind string, list corev1.ResourceList) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		value := list[name]
		all = append(all, fmt.Sprintf("%s.%s=%s", kind, name, value.String()))
	}
	return all
}

// Set parses a list of KIND.RESOURCE=QUANTITY.
func (r *resources) Set(list string) error {
	parsed := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	kinds := map[string]corev1.ResourceList{"requests": parsed.Requests, "limits": parsed.Limits}
	for pair := range strings.SplitSeq(list, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		kind, name, _ := strings.Cut(key, ".")
		if kinds[kind] == nil || name == "" {
			return fmt.Errorf("%q must be requests.RESOURCE=QUANTITY or limits.RESOURCE=QUANTITY, such as limits.memory=512Mi", pair)
		}
		quantity, err := resource.ParseQuantity(value)
		if err != nil || quantity.Sign() < 0 {
			return fmt.Errorf("%q: %q must be a quantity, such as 500m or 512Mi", pair, value)
		}
		kinds[kind][corev1.ResourceName(name)] = quantity
	}
	for name, request := range parsed.Requests {
		if limit, limited := parsed.Limits[name]; limited && request.Cmp(limit) > 0 {
			return fmt.Errorf("requests.%s is %s: it must be at most limits.%s, %s", name, request.String(), name, limit.String())
		}
	}
	r.set = &parsed
	return nil
}

// caBundle is a flag with the name of a ConfigMap and a key.
type caBundle struct{ set *v1alpha1.CABundle }

func (c *caBundle) String() string {
	if c.set == nil {
		return ""
	}
	return c.set.Name + "/" + c.set.Key
}

// Set parses NAME or NAME/KEY.
func (c *caBundle) Set(text string) error {
	name, key, hasKey := strings.Cut(text, "/")
	if name == "" || hasKey && (key == "" || strings.Contains(key, "/")) {
		return fmt.Errorf("%q must be CONFIGMAP or CONFIGMAP/KEY, such as aws-ca/%s", text, v1alpha1.DefaultCAKey)
	}
	if !hasKey {
		key = v1alpha1.DefaultCAKey
	}
	c.set = &v1alpha1.CABundle{Name: name, Key: key}
	return nil
}

// passedOn are the environment variables that the operator passes on to the wrapper containers, so
// that they reach AWS in the same way.
var passedOn = []string{
	"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
	"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
	"AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
	"AWS_S3_USE_ARN_REGION", "AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS",
	"AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION",
}

// env returns the variables to pass on. It logs those that it can't pass on: a password would be in
// the spec of every Job, and a file exists only in the operator's container.
func (r *runnerFlags) env(log logr.Logger) ([]corev1.EnvVar, error) {
	var env []corev1.EnvVar
	for _, name := range passedOn {
		value := os.Getenv(name)
		switch {
		case value == "":
			continue
		case jobspec.HasCredentials(name, value):
			log.Info("A variable with a user name or password is not passed on to jobs' pods: set it from a Secret in spec.runner.env or envFrom of CustomActions", "variable", name)
		case strings.Contains(value, "$("):
			return nil, fmt.Errorf("%s is %q: Kubernetes did not replace a variable in it: check that the Service that it names exists", name, value)
		default:
			env = append(env, corev1.EnvVar{Name: name, Value: value})
		}
	}
	if os.Getenv("AWS_CA_BUNDLE") != "" && r.ca.set == nil {
		log.Info("AWS_CA_BUNDLE is a file of this container and is not passed on to jobs' pods: set --runner-ca, or spec.runner.ca of CustomActions")
	}
	return env, nil
}
