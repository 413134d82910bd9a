package codepipeline

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestClientsAreBounded names far more roles than are in use.
func TestClientsAreBounded(t *testing.T) {
	g := NewWithT(t)
	c := NewClients(ClientsOptions{}, anyKey("http://127.0.0.1")...)
	identity := func(n int) Identity {
		return Identity{Region: "us-east-1", RoleARN: fmt.Sprintf("arn:aws:iam::%012d:role/r", n), ExternalID: "x"}
	}
	get := func(n int) *Client {
		client, err := c.For(t.Context(), identity(n))
		g.Expect(err).NotTo(HaveOccurred())
		return client
	}
	first := get(0)
	for n := range mostKept + 10 {
		get(n)
		g.Expect(get(0)).To(BeIdenticalTo(first), "it is in use")
	}
	g.Expect(len(c.kept)).To(Equal(mostKept))

	c.kept[identity(0)].used = time.Now().Add(idleLife)
	c.evict(time.Now().Add(idleLife + time.Minute))
	g.Expect(c.kept).To(HaveLen(1))
	g.Expect(get(0)).To(BeIdenticalTo(first))
}
