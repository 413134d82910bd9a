//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// world has all participants of a test.
type world struct {
	t    *testing.T
	seed uint64
	jobs int

	records  *records
	control  *controlPlane
	proxy    *proxy
	cloud    *cloud
	managers *managers
	kubelet  *kubelet
	recorder *recorder
	kube     client.Client

	// disrupted counts the completed disruptions.
	disrupted atomic.Int64
	// gate is true when the last jobs, which wait for each other, may end.
	gate atomic.Bool
}

const (
	namespace = "pipelines"
	// slots is the maximum number of jobs in flight per action.
	slots = 25
	// keepFor is how long settled PipelineJobs are kept, in seconds, so that the test sees each of
	// them.
	keepFor = 60
)

// newWorld starts everything except the operators. All of it is stopped when the test ends.
func newWorld(ctx context.Context, t *testing.T, seed uint64, jobs int) (*world, error) {
	assets, program := os.Getenv("KUBEBUILDER_ASSETS"), os.Getenv("MANAGER")
	if assets == "" || program == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS or MANAGER is not set: run 'make chaos'")
	}
	for _, needed := range []string{filepath.Join(assets, "etcd"), filepath.Join(assets, "kube-apiserver"), filepath.Join(assets, "kube-controller-manager"), program} {
		if _, err := os.Stat(needed); err != nil {
			return nil, fmt.Errorf("%w: run 'make chaos', which builds it", err)
		}
	}
	dir, err := os.MkdirTemp("", "chaos-")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir) // a temporary folder
	})
	w := &world{t: t, seed: seed, jobs: jobs, records: newRecords()}
	if w.control, err = newControlPlane(dir, assets); err != nil {
		return nil, err
	}
	t.Cleanup(w.control.stop)
	if err := w.control.start(ctx); err != nil {
		return nil, err
	}
	if err := w.prepare(ctx); err != nil {
		return nil, err
	}
	if w.proxy, err = startProxy(w.control.config(), newDice(seed, diceOfProxy)); err != nil {
		return nil, err
	}
	t.Cleanup(w.proxy.stop)
	if w.cloud, err = startCloud(ctx, seed, jobs, w.records); err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = w.cloud.server.Close() })
	if w.managers, err = newManagers(dir, program, w.proxy.url(), w.cloud.server.URL(), w.records); err != nil {
		return nil, err
	}
	t.Cleanup(w.managers.stop)
	return w, w.watch(t.Context()) // even after the jobs
}

// prepare creates the objects that exist before the operators start.
func (w *world) prepare(ctx context.Context) error {
	_, err := envtest.InstallCRDs(w.control.config(), envtest.CRDInstallOptions{
		Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, ErrorIfPathMissing: true,
	})
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	if w.kube, err = client.New(w.control.config(), client.Options{Scheme: scheme}); err != nil {
		return err
	}
	for _, name := range []string{namespace, leaseNamespace} {
		if err := w.kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
	}
	if err := w.kube.Create(ctx, harness.NewAccount(namespace)); err != nil {
		return err
	}
	for _, k := range kinds {
		if err := w.kube.Create(ctx, w.action(k)); err != nil {
			return err
		}
	}
	return nil
}

// watch starts the watchers of objects.
func (w *world) watch(ctx context.Context) error {
	objects, err := cache.New(w.control.config(), cache.Options{Scheme: w.kube.Scheme(), DefaultTransform: cache.TransformStripManagedFields()})
	if err != nil {
		return err
	}
	if w.recorder, err = startRecorder(ctx, objects, w.records); err != nil {
		return err
	}
	if w.kubelet, err = startKubelet(ctx, w.kube, objects, w.records, w.plan, w.gate.Load); err != nil {
		return err
	}
	w.t.Cleanup(w.kubelet.stop)
	go func() { _ = objects.Start(ctx) }() // until the test ends
	if !objects.WaitForCacheSync(ctx) {
		return errors.New("the cache did not fill")
	}
	return nil
}

// action returns the CustomAction of a kind.
func (w *world) action(k kind) *v1alpha1.CustomAction {
	action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: string(k), Namespace: namespace}}
	action.Spec.AccountRef.Name = namespace
	action.Spec.ActionType = v1alpha1.ActionType{
		Category: "Test", Provider: string(k), Version: "1", ConfigurationProperties: []v1alpha1.ConfigurationProperty{{Name: "Target"}},
	}
	switch k {
	case secret:
		action.Spec.ActionType.ConfigurationProperties = append(action.Spec.ActionType.ConfigurationProperties, v1alpha1.ConfigurationProperty{Name: "Token", Secret: true})
		action.Spec.ActionType.InputArtifactDetails.MaximumCount = 1
	case progressing:
		action.Spec.Progress = &v1alpha1.Progress{Interval: metav1.Duration{Duration: 10 * time.Second}}
	case plain:
	}
	action.Spec.Polling = v1alpha1.Polling{Interval: metav1.Duration{Duration: time.Second}, MaxConcurrentJobs: slots}
	action.Spec.TTLSecondsAfterFinished = ptr.To[int32](keepFor)
	action.Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{{Name: stepName, Image: "work:1"}}
	return action
}

// plan returns the plan of a job. Jobs after the last one wait for each other.
func (w *world) plan(number int) plan {
	if number >= w.jobs {
		return plan{kind: w.lastKind(number), deed: nothing, runs: []run{{ends: succeeds, waits: true}}}
	}
	return planOf(w.seed, number)
}

// lastKinds are the kinds whose slots are checked at the end.
var lastKinds = []kind{plain, secret}

func (w *world) lastKind(number int) kind { return lastKinds[(number-w.jobs)%len(lastKinds)] }

// registered waits until the action types exist.
func (w *world) registered(ctx context.Context) error {
	return until(ctx, 200*time.Millisecond, "wait for the registration of the action types", func() bool {
		var list v1alpha1.CustomActionList
		if w.kube.List(ctx, &list) != nil {
			return false
		}
		return !slices.ContainsFunc(list.Items, func(a v1alpha1.CustomAction) bool {
			return !meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionRegistered)
		})
	})
}

// chaos runs all jobs, with faults and disruptions, until each has ended.
func (w *world) chaos(ctx context.Context) error {
	if err := w.cloud.startFaults(); err != nil {
		return err
	}
	w.managers.start()
	if err := w.registered(ctx); err != nil {
		return err
	}
	if err := w.cloud.create(ctx); err != nil {
		return err
	}
	during, over := context.WithCancel(ctx)
	defer over()
	go w.cloud.keepReading(during)
	go w.cloud.keepLooking(during)
	suspended := make(chan error, 1)
	go func() { suspended <- w.suspend(during) }()

	working, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	go func() { failed(w.disruptAll(working)) }()
	err := w.feed(working)
	if err == nil {
		err = w.ended(working)
	}
	over()
	return errors.Join(err, <-suspended)
}

// disruptAll returns an error if a disruption fails. Otherwise, it waits until ctx ends.
func (w *world) disruptAll(ctx context.Context) error {
	if err := w.disrupt(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// ended waits until all started executions have ended and all disruptions are over.
func (w *world) ended(ctx context.Context) error {
	all := int64(len(disruptionsOf(w.seed, w.jobs)))
	return until(ctx, time.Second, "wait for the end of the jobs", func() bool {
		open, err := w.cloud.look(ctx)
		return err == nil && open == 0 && w.disrupted.Load() == all
	})
}

// calm ends the faults.
func (w *world) calm() {
	w.proxy.calm.Store(true)
	w.cloud.calm()
	w.records.happened("all is calm")
}

// clean waits until no objects are left.
func (w *world) clean(ctx context.Context) error {
	var left []string
	err := until(ctx, time.Second, "wait until nothing is left behind", func() (clean bool) {
		found, err := w.leftovers(ctx)
		if err != nil {
			return false
		}
		left = found
		return len(left) == 0
	})
	if err != nil {
		return fmt.Errorf("left behind: %s: %w", strings.Join(left, "\n"), err)
	}
	return nil
}

// fill fills all slots with jobs that wait for each other, which can only end if no slot was lost.
func (w *world) fill(ctx context.Context) error {
	last := slots * len(lastKinds)
	for i := range last {
		if err := w.cloud.start(ctx, w.jobs+i, w.lastKind(w.jobs+i)); err != nil {
			return err
		}
	}
	running := 0
	err := until(ctx, 200*time.Millisecond, "wait until all slots are filled", func() bool {
		running = 0
		for i := range last {
			if executions, _ := w.records.of(w.jobs + i); len(executions) > 0 {
				running++
			}
		}
		return running == last
	})
	if err != nil {
		return fmt.Errorf("a slot is lost: %d of %d jobs run: %w", running, last, err)
	}
	w.gate.Store(true)
	return w.ended(ctx)
}

// judge checks all jobs against the model, and returns the stories of those that break it.
func (w *world) judge(ctx context.Context) (broken []string, sum figures, err error) {
	w.cloud.readJournal()
	calls := w.cloud.ofJob(w.records.number)
	for number := range w.jobs + slots*len(lastKinds) {
		v, err := w.cloud.verdict(ctx, number)
		if err != nil {
			if started, _ := w.cloud.progress(); number >= started {
				break // the test ended before it was started
			}
			return nil, sum, err
		}
		f := facts{number: number, plan: w.plan(number), verdict: v, objects: w.recorder.of(number)}
		f.executions, f.deeds = w.records.of(number)
		sum.add(f)
		if found := f.violations(); len(found) > 0 {
			broken = append(broken, fmt.Sprintf("job %d (%s): %s\n CodePipeline: %+v\n%s", number, f.plan, strings.Join(found, "; "), v, w.records.story(number, calls[number])))
		}
	}
	return broken, sum, nil
}
