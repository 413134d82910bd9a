package integration

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/controllers/customaction"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

// tags returns the tags of the action type "work", except for those of its owner.
func (w *world) tags(g Gomega) map[string]string {
	found, err := w.Pipelines.ListTagsForResource(w.Ctx, &sdk.ListTagsForResourceInput{ResourceArn: aws.String(workARN)})
	g.Expect(err).NotTo(HaveOccurred())
	tags := map[string]string{}
	for _, tag := range found.Tags {
		tags[*tag.Key] = *tag.Value
	}
	for _, of := range []string{v1alpha1.TagCluster, v1alpha1.TagNamespace, v1alpha1.TagName} {
		g.Expect(tags).To(HaveKey(of))
		delete(tags, of)
	}
	return tags
}

const workARN = "arn:aws:codepipeline:us-east-1:111122223333:actiontype:Custom/Test/work/1"

// change updates the CustomAction "work".
func (w *world) change(change func(*v1alpha1.CustomAction)) {
	w.T.Helper()
	w.changeNamed("work", change)
}

func (w *world) changeNamed(name string, change func(*v1alpha1.CustomAction)) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		action := &v1alpha1.CustomAction{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: name}, action)).To(Succeed())
		change(action)
		g.Expect(w.Kube.Update(w.Ctx, action)).To(Succeed())
	})
}

func tagged(pairs ...string) func(*v1alpha1.CustomAction) {
	return func(action *v1alpha1.CustomAction) {
		action.Spec.ActionType.Tags = nil
		for i := 0; i < len(pairs); i += 2 {
			action.Spec.ActionType.Tags = append(action.Spec.ActionType.Tags, v1alpha1.Tag{Key: pairs[i], Value: pairs[i+1]})
		}
	}
}

func TestTagsAreKeptInStep(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(tagged("team", "web", "cost", "1")))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.tags(w)).To(Equal(map[string]string{"team": "web", "cost": "1"}))
	_, err := w.Pipelines.TagResource(w.Ctx, &sdk.TagResourceInput{ResourceArn: aws.String(workARN), Tags: []types.Tag{
		{Key: aws.String("audit"), Value: aws.String("theirs")},
	}})
	w.Expect(err).NotTo(HaveOccurred())

	w.change(tagged("team", "mobile", "stage", "test"))
	w.Await(func(g Gomega) {
		g.Expect(w.tags(g)).To(Equal(map[string]string{"team": "mobile", "stage": "test", "audit": "theirs"}), "that of others stays")
	})
	w.change(tagged())
	w.Await(func(g Gomega) { g.Expect(w.tags(g)).To(Equal(map[string]string{"audit": "theirs"})) })
	w.Await(func(g Gomega) {
		action := &v1alpha1.CustomAction{}
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, action)).To(Succeed())
		g.Expect(action.Status.TagKeys).To(BeEmpty())
		g.Expect(action.Status.ActionTypeARN).To(Equal(workARN))
	})
}

// TestDriftIsFixed removes a tag, and then the whole action type, of an object that is not polled
// for.
func TestDriftIsFixed(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(tagged("team", "web"), func(a *v1alpha1.CustomAction) { a.Spec.Suspend = true }))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	w.Expect(w.tags(w)).To(HaveKey("team"))
	_, err := w.Pipelines.UntagResource(w.Ctx, &sdk.UntagResourceInput{ResourceArn: aws.String(workARN), TagKeys: []string{"team"}})
	w.Expect(err).NotTo(HaveOccurred())
	look := func() { // any event triggers the check, once it is due
		w.Clock.Step(customaction.DriftInterval)
		w.change(func(a *v1alpha1.CustomAction) {
			a.Labels = map[string]string{"looked": strconv.Itoa(int(w.Clock.Now().Unix()))}
		})
	}
	look()
	w.Await(func(g Gomega) { g.Expect(w.tags(g)).To(HaveKey("team")) })
	_, err = w.Pipelines.DeleteCustomActionType(w.Ctx, &sdk.DeleteCustomActionTypeInput{
		Category: types.ActionCategoryTest, Provider: aws.String("work"), Version: aws.String("1"),
	})
	w.Expect(err).NotTo(HaveOccurred())
	look()
	w.Await(func(g Gomega) { g.Expect(w.Calls("CreateCustomActionType")).To(Equal(2)) })
}

func TestTagsThatCantBeSetDontStopPolling(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "TagResource", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.change(tagged("team", "web"))
	w.Await(func(g Gomega) {
		g.Expect(w.events(g, "work")).To(ContainElement(And(
			HaveField("Type", corev1.EventTypeWarning), HaveField("Reason", v1alpha1.ReasonTagsOutOfSync),
			HaveField("Note", ContainSubstring("codepipeline:TagResource")),
		)))
	})
}

// allowRoles sets the operator's --allowed-roles.
func (w *world) allowRoles(patterns ...string) {
	w.adjust = append(w.adjust, func(o *operator.Options) { o.AllowedRoles = patterns })
}

// events returns the events about an object.
func (w *world) events(g Gomega, name string) []eventsv1.Event {
	var list eventsv1.EventList
	g.Expect(w.Kube.List(w.Ctx, &list, client.InNamespace(w.Namespace))).To(Succeed())
	var about []eventsv1.Event
	for _, event := range list.Items {
		if event.Regarding.Name == name {
			about = append(about, event)
		}
	}
	return about
}

func TestRegistrationThatFails(t *testing.T) {
	created := func(w *world, provider string, inputs int32) {
		_, err := w.Pipelines.CreateCustomActionType(w.Ctx, &sdk.CreateCustomActionTypeInput{
			Category: types.ActionCategoryTest, Provider: &provider, Version: aws.String("1"),
			InputArtifactDetails: &types.ArtifactDetails{MaximumCount: inputs}, OutputArtifactDetails: &types.ArtifactDetails{},
		})
		w.Expect(err).NotTo(HaveOccurred())
	}
	withRole := func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.RoleARN = "arn:aws:iam::444455556666:role/ci"
	}
	cases := map[string]struct {
		before func(*world)
		change func(*v1alpha1.CodePipelineAccount)
		reason string
		says   string
	}{
		"a version that was deleted": {
			before: func(w *world) {
				created(w, "work", 5)
				_, err := w.Pipelines.DeleteCustomActionType(w.Ctx, &sdk.DeleteCustomActionTypeInput{
					Category: types.ActionCategoryTest, Provider: aws.String("work"), Version: aws.String("1"),
				})
				w.Expect(err).NotTo(HaveOccurred())
			},
			reason: v1alpha1.ReasonVersionRetired, says: "use the next version, or the definition that it had",
		},
		"the limit of the account": {
			before: func(w *world) {
				for i := range 50 {
					created(w, fmt.Sprintf("other-%d", i), 0)
				}
			},
			reason: v1alpha1.ReasonLimitExceeded, says: "delete unused action types, or request a quota increase",
		},
		"a missing permission": {
			before: func(w *world) {
				w.Expect(w.AWS.Inject(emulator.Fault{Operation: "CreateCustomActionType", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
			},
			reason: v1alpha1.ReasonAccessDenied, says: "codepipeline:CreateCustomActionType",
		},
		"a role that can't be assumed": {
			change: withRole,
			reason: v1alpha1.ReasonAccountNotReady, says: `assume the role arn:aws:iam::444455556666:role/ci with the external ID "here/pipelinejob-system`,
		},
		"a role that may not be assumed": {
			before: func(w *world) { w.allowRoles("arn:aws:iam::111122223333:role/*") },
			change: withRole,
			reason: v1alpha1.ReasonAccountNotReady, says: "its flag --allowed-roles has arn:aws:iam::111122223333:role/*",
		},
		"AWS is down": {
			before: func(w *world) {
				w.Expect(w.AWS.Inject(emulator.Fault{Operation: "CreateCustomActionType", Kind: emulator.ServerError, Probability: 1})).To(Succeed())
			},
			reason: v1alpha1.ReasonAWSUnavailable, says: "InternalFailure",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *emulator.Options) { o.Roles = map[string]string{} })
			if c.before != nil {
				c.before(w)
			}
			if c.change != nil {
				w.changeAccount(c.change)
			}
			w.operate()
			w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
			message := w.ready(metav1.ConditionFalse, c.reason)
			w.Expect(message).To(ContainSubstring(c.says))
			w.Expect(message).NotTo(MatchRegexp("operation error|response error|RequestID|HostID"), "the SDK's words")
			w.Expect(w.Calls("PollForJobs")).To(BeZero())
			w.Expect(w.AWS.Journal("AssumeRole")).NotTo(ContainElement(HaveField("Request", ContainSubstring(`"ExternalId":"/`))))
			w.Await(func(g Gomega) {
				g.Expect(w.events(g, "work")).To(ContainElement(And(HaveField("Type", corev1.EventTypeWarning), HaveField("Reason", c.reason))))
			})
		})
	}
}

// TestClusterIDIsThatOfTheCluster sets no cluster ID. The default differs between clusters.
func TestClusterIDIsThatOfTheCluster(t *testing.T) {
	w := newWorld(t)
	system := &corev1.Namespace{}
	w.Await(func(g Gomega) {
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: "kube-system"}, system)).To(Succeed())
	})
	w.adjust = append(w.adjust, func(o *operator.Options) { o.ClusterID = "" })
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.RoleARN = "arn:aws:iam::444455556666:role/ci"
	})
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.AWS.Journal("AssumeRole")).To(HaveEach(HaveField("Request", ContainSubstring(fmt.Sprintf(`"ExternalId":"%s/`, system.UID)))))
	w.Expect(w.AWS.Journal("AssumeRole")).To(ContainElement(HaveField("Request", ContainSubstring(fmt.Sprintf(`"ExternalId":"%s/%s"`, system.UID, w.Namespace)))))
}

func TestRoleIsAssumedForItsNamespace(t *testing.T) {
	const role = "arn:aws:iam::444455556666:role/ci"
	w := newWorld(t)
	w.allowRoles("arn:aws:iam::4444????6666:role/*")
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) { account.Spec.RoleARN = role })
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	action := &v1alpha1.CustomAction{}
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, action)).To(Succeed())
	w.Expect(action.Status.ActionTypeARN).To(Equal("arn:aws:codepipeline:us-east-1:444455556666:actiontype:Custom/Test/work/1"))
	assumed := w.AWS.Journal("AssumeRole")
	w.Expect(assumed).NotTo(BeEmpty())
	for _, call := range assumed {
		w.Expect(call.Request).To(Or(ContainSubstring(`"ExternalId":"here/%s"`, w.Namespace), ContainSubstring(`"ExternalId":"here/pipelinejob-system"`)))
	}
	w.Expect(assumed).To(ContainElement(HaveField("Request", ContainSubstring(`"ExternalId":"here/%s"`, w.Namespace))))
}

func TestTemplateThatTheAPIServerRefuses(t *testing.T) {
	cases := map[string]struct {
		change func(*corev1.PodSpec)
		says   string
	}{
		"a volume that is not there": {
			func(pod *corev1.PodSpec) {
				pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "cache", MountPath: "/cache"}}
			},
			`spec.jobTemplate.spec.template.spec.containers[0].volumeMounts[0].name: Not found: "cache"`,
		},
		"a limit below the request": {
			func(pod *corev1.PodSpec) {
				pod.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}
				pod.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
			},
			`spec.jobTemplate.spec.template.spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi`,
		},
		"no image": {
			func(pod *corev1.PodSpec) { pod.Containers[0].Image = "" },
			"spec.jobTemplate.spec.template.spec.containers[0].image: Required value",
		},
	}
	w := newWorld(t)
	w.operate()
	for name, c := range cases {
		t.Run(name, func(_ *testing.T) {
			action := w.Action(func(a *v1alpha1.CustomAction) {
				a.GenerateName, a.Name = "refused-", ""
				c.change(&a.Spec.JobTemplate.Spec.Template.Spec)
			})
			w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
			w.Expect(w.readyReason(action.Name, v1alpha1.ReasonInvalidJobTemplate)).To(ContainSubstring(c.says))
			w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
			w.Await(func(g Gomega) {
				g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action))).To(BeTrue())
			})
		})
	}
	w.Expect(w.Jobs(w)).To(BeEmpty(), "a dry run makes nothing")
}
