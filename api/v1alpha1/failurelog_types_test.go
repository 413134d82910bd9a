package v1alpha1

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestStricterFailureLog(t *testing.T) {
	for _, c := range []struct{ a, b, want FailureLog }{
		{"", "", FailureLogAlways},
		{"", FailureLogAlways, FailureLogAlways},
		{"", FailureLogNoSecrets, FailureLogNoSecrets},
		{"", FailureLogNever, FailureLogNever},
		{FailureLogAlways, FailureLogAlways, FailureLogAlways},
		{FailureLogAlways, FailureLogNoSecrets, FailureLogNoSecrets},
		{FailureLogAlways, FailureLogNever, FailureLogNever},
		{FailureLogNoSecrets, FailureLogNoSecrets, FailureLogNoSecrets},
		{FailureLogNoSecrets, FailureLogNever, FailureLogNever},
		{FailureLogNever, FailureLogNever, FailureLogNever},
		{"Sometimes", "", FailureLogNever},
		{"Sometimes", FailureLogNoSecrets, FailureLogNever},
	} {
		t.Run(string(c.a)+"/"+string(c.b), func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(StricterFailureLog(c.a, c.b)).To(Equal(c.want))
			g.Expect(StricterFailureLog(c.b, c.a)).To(Equal(c.want), "whichever comes first")
		})
	}
}
