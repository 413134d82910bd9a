package diagnosis

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// WayOut returns what to do about a pod or Job that the API server refuses with message. It
// distinguishes the containers of the CustomAction from the wrapper containers, which users can't
// change in the template. pod is the spec that was sent.
func WayOut(message string, pod corev1.PodSpec) string {
	rule := denialOf(message)
	if rule.waits {
		return rule.wayOut
	}
	var wrappers, others []string
	for _, name := range refusedContainers(message, pod) {
		if podcontract.IsWrapper(name) {
			wrappers = append(wrappers, name)
		} else {
			others = append(others, strconv.Quote(name))
		}
	}
	switch {
	case len(wrappers) == 0:
		return rule.wayOut
	case len(others) == 0:
		return wrapperWayOut(wrappers, message)
	default:
		return fmt.Sprintf("%s. For %s: %s", wrapperWayOut(wrappers, message), strings.Join(others, ", "), lowerFirst(rule.wayOut))
	}
}

// ofResources matches messages about requests and limits.
var ofResources = regexp.MustCompile(`(?i)\b(cpu|memory|ephemeral-storage|resources?|requests?|limits?)\b`)

func wrapperWayOut(names []string, message string) string {
	way := "ask the cluster's administrators to change the rule, or the operator's administrators to change --runner-image"
	if ofResources.MatchString(strings.ReplaceAll(message, "denied the request", "")) {
		way = "correct them " + inRunner
	}
	return fmt.Sprintf("For the operator's own %s: %s", strings.Join(names, ", "), way)
}

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }

// NeedsTemplate reports whether Observe needs Evidence.Template, because the message about a
// refused pod names no containers, but fields or values of its spec.
func NeedsTemplate(e Evidence) bool {
	if e.Template != nil || slices.ContainsFunc(e.Pods, func(pod corev1.Pod) bool { return !terminal(pod) }) {
		return false
	}
	denied := e.denied()
	return denied != nil && (inRange.MatchString(denied.Message) || ratio.MatchString(denied.Message) || place.MatchString(denied.Message))
}

// template returns the spec of the run's pods, as far as it is known.
func (e Evidence) template() corev1.PodSpec {
	if e.Template != nil {
		return *e.Template
	}
	return e.Job.Spec.Template.Spec
}

// refusedContainers returns the names of the containers that a refusal is about, in order. It
// returns none if the message does not identify any.
func refusedContainers(message string, pod corev1.PodSpec) []string {
	if _, why, found := strings.Cut(message, " is forbidden: "); found {
		message = why // the name of the pod precedes it
	}
	// Parse once, not per container: users control the length of the message and the number of
	// containers.
	faults, places, listed := faultsIn(message), placesIn(message), listedIn(message)
	var names []string
	for _, kind := range []struct {
		name       string
		containers []corev1.Container
	}{{"initContainers", pod.InitContainers}, {"containers", pod.Containers}} {
		for i, container := range kind.containers {
			placed := places[fmt.Sprintf("%s/%d", kind.name, i)] || listed[container.Name]
			atFault := slices.ContainsFunc(faults, func(f fault) bool { return f.of(container) })
			if placed || atFault || mentions(message, container.Name) {
				names = append(names, container.Name)
			}
		}
	}
	for _, name := range podcontract.Wrappers {
		if strings.Contains(message, name) && !slices.Contains(names, name) {
			names = append(names, name) // the spec is unknown
		}
	}
	return names
}

// mentions reports whether a message names a container in quotes. A bare word, such as "cpu"
// or "build", may mean something else.
func mentions(message, name string) bool {
	if podcontract.IsWrapper(name) {
		return strings.Contains(message, name)
	}
	for _, quotes := range []string{`""`, `''`, "<>", "``"} {
		if strings.Contains(message, quotes[:1]+name+quotes[1:]) {
			return true
		}
	}
	return false
}

var (
	// quotaList: failed quota: team: must specify limits.cpu for: build,codepipeline-fetch; …
	quotaList = regexp.MustCompile(`must specify \S+ for: ([a-z0-9,-]+)`)
	// place matches /spec/template/spec/initContainers/0/resources and spec.containers[0].image.
	place = regexp.MustCompile(`\b(initContainers|containers)[/\[]([0-9]+)`)
	// inRange matches a LimitRange's "minimum cpu usage per Container is 50m, but request is 10m".
	inRange = regexp.MustCompile(`(?:minimum|maximum) (\S+) usage per Container is [^\s,\]]+(?:, but (request|limit) is ([^\s,\]]+)|\.  No (request|limit) is specified)`)
	// ratio matches "cpu max limit to request ratio per Container is 4, but provided ratio is
	// 100.000000".
	ratio = regexp.MustCompile(`([^\s\[]+) max limit to request ratio per Container is ([^\s,]+), but (?:provided ratio|no request|no limit)`)
)

// placesIn returns the fields of containers that a message names, as KIND/INDEX.
func placesIn(message string) map[string]bool {
	places := map[string]bool{}
	for _, found := range place.FindAllStringSubmatch(message, -1) {
		places[found[1]+"/"+found[2]] = true
	}
	return places
}

// listedIn returns the container names in the lists of quotas.
func listedIn(message string) map[string]bool {
	listed := map[string]bool{}
	for _, list := range quotaList.FindAllStringSubmatch(message, -1) {
		for name := range strings.SplitSeq(list[1], ",") {
			listed[name] = true
		}
	}
	return listed
}

// fault is a violation that a LimitRange reports without naming the container.
type fault struct {
	resource corev1.ResourceName
	// kind is request or limit, and value its value, or nil if it is not set. For a ratio, kind is
	// empty and value is the largest allowed ratio.
	kind  string
	value *resource.Quantity
}

func faultsIn(message string) []fault {
	var faults []fault
	for _, found := range inRange.FindAllStringSubmatch(message, -1) {
		faults = append(faults, fault{corev1.ResourceName(found[1]), found[2] + found[4], quantityOf(found[3])})
	}
	for _, found := range ratio.FindAllStringSubmatch(message, -1) {
		faults = append(faults, fault{corev1.ResourceName(found[1]), "", quantityOf(found[2])})
	}
	return faults
}

func quantityOf(text string) *resource.Quantity {
	value, err := resource.ParseQuantity(text)
	if err != nil {
		return nil
	}
	return &value
}

// of reports whether a container has the fault.
func (f fault) of(container corev1.Container) bool {
	limit, limited := container.Resources.Limits[f.resource]
	request, requested := container.Resources.Requests[f.resource]
	if limited && !requested {
		request, requested = limit, true // Kubernetes' default
	}
	switch f.kind {
	case "":
		return f.value != nil && requested && limited && limit.AsApproximateFloat64() > f.value.AsApproximateFloat64()*request.AsApproximateFloat64()
	case "limit":
		return limited == (f.value != nil) && (!limited || limit.Cmp(*f.value) == 0)
	default:
		return requested == (f.value != nil) && (!requested || request.Cmp(*f.value) == 0)
	}
}
