package codepipeline

import (
	"errors"
	"testing"

	"github.com/aws/smithy-go"
	. "github.com/onsi/gomega"
)

func TestIsThrottle(t *testing.T) {
	answer := func(code string) error {
		return Classify("TagResource", &smithy.GenericAPIError{Code: code})
	}
	cases := map[string]struct {
		err  error
		want bool
	}{
		"throttled":                    {answer("ThrottlingException"), true},
		"throttled, as S3 says it":     {answer("SlowDown"), true},
		"another change is under way":  {answer("ConcurrentModificationException"), false},
		"refused":                      {answer("ValidationException"), false},
		"not sent":                     {&NotSentError{Kind: Throttled, Err: errors.New("our own limit")}, false},
		"no error":                     {nil, false},
		"a code that nobody has heard": {answer("WhateverException"), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(IsThrottle(c.err)).To(Equal(c.want))
		})
	}
}

// TestRoleIsNotAssumedWithoutAnExternalID: a trust policy could not tell who assumes the role.
func TestRoleIsNotAssumedWithoutAnExternalID(t *testing.T) {
	g := NewWithT(t)
	client, err := NewClients(ClientsOptions{}).For(t.Context(), Identity{Region: "us-east-1", RoleARN: someRole})
	g.Expect(client).To(BeNil())
	g.Expect(err).To(MatchError("the role " + someRole + " is assumed only with an external ID, CLUSTER-ID/NAMESPACE, and the operator has no cluster ID: " +
		"set its flag --cluster-id, and require the external ID in the role's trust policy"))
	g.Expect(KindOf(err)).To(Equal(AccessDenied))
}
