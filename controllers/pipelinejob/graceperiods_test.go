package pipelinejob

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
)

func TestGracePeriodsOfACustomAction(t *testing.T) {
	of := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	all := diagnosis.DefaultGracePeriods
	all.Image, all.Schedule, all.Start, all.Node, all.Quota = time.Second, 2*time.Hour, 3*time.Minute, 4*time.Minute, 5*time.Minute
	one := diagnosis.DefaultGracePeriods
	one.Schedule = time.Hour
	for name, c := range map[string]struct {
		spec v1alpha1.CustomActionSpec
		want diagnosis.GracePeriods
	}{
		"the defaults": {v1alpha1.CustomActionSpec{}, diagnosis.DefaultGracePeriods},
		"one":          {v1alpha1.CustomActionSpec{GracePeriods: &v1alpha1.GracePeriods{Scheduling: of(time.Hour)}}, one},
		"all": {v1alpha1.CustomActionSpec{Timeout: of(5 * time.Minute), GracePeriods: &v1alpha1.GracePeriods{
			ImagePull: of(time.Second), Scheduling: of(2 * time.Hour), Start: of(3 * time.Minute), Node: of(4 * time.Minute),
		}}, all},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(gracePeriodsOf(&v1alpha1.CustomAction{Spec: c.spec}, DefaultActionTimeout)).To(Equal(c.want))
		})
	}
	NewWithT(t).Expect(gracePeriodsOf(nil, DefaultActionTimeout)).To(Equal(diagnosis.DefaultGracePeriods), "the CustomAction is gone")
}
