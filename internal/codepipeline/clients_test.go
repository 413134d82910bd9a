package codepipeline

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestAccountsShareARateLimit(t *testing.T) {
	g := NewWithT(t)
	clients := NewClients()
	limiter := func(region, role, externalID string) any {
		client, err := clients.For(t.Context(), Identity{Region: region, RoleARN: role, ExternalID: externalID})
		g.Expect(err).NotTo(HaveOccurred())
		return client.limiter
	}
	const one, two, other = "arn:aws:iam::111122223333:role/one", "arn:aws:iam::111122223333:role/two", "arn:aws:iam::444455556666:role/one"
	first := limiter("us-east-1", one, "cluster/a")
	g.Expect(limiter("us-east-1", one, "cluster/b")).To(BeIdenticalTo(first), "another namespace")
	g.Expect(limiter("us-east-1", two, "cluster/a")).To(BeIdenticalTo(first), "another role of the account")
	g.Expect(limiter("us-east-1", other, "cluster/a")).NotTo(BeIdenticalTo(first))
	g.Expect(limiter("eu-west-1", one, "cluster/a")).NotTo(BeIdenticalTo(first))
	g.Expect(limiter("us-east-1", "", "")).NotTo(BeIdenticalTo(first), "the operator's own account")
}
