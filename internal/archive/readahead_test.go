package archive

import (
	"context"
	"io"
	"testing"

	. "github.com/onsi/gomega"
)

func TestACancelledReadIsNotTheEnd(t *testing.T) {
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := io.ReadAll(newReadAhead(ctx, inMemory("content"), 7))
	g.Expect(err).To(MatchError(context.Canceled))
}
