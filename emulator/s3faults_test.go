package emulator_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

func TestFaultsOfS3(t *testing.T) {
	cases := map[emulator.FaultKind]struct {
		code   string // of the response; empty if there is none, or no error
		fails  bool
		effect bool
	}{
		emulator.Throttle:         {"SlowDown", true, false},
		emulator.ServerError:      {"InternalError", true, false},
		emulator.AccessDenied:     {"AccessDenied", true, false},
		emulator.ServerErrorAfter: {"InternalError", true, true},
		emulator.ResetBefore:      {"", true, false},
		emulator.ResetAfter:       {"", true, true},
		emulator.Latency:          {"", false, true},
	}
	for kind, c := range cases {
		t.Run(string(kind), func(t *testing.T) {
			g := NewWithT(t)
			e, config := listening(t)
			client := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
			bucket, key := aws.String("sources"), aws.String("k")
			g.Expect(e.Inject(emulator.Fault{Operation: "PutObject", Kind: kind, Delay: time.Millisecond})).To(Succeed())
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x")})
			g.Expect(err != nil).To(Equal(c.fails), "%v", err)
			if known := smithy.APIError(nil); c.code != "" {
				g.Expect(errors.As(err, &known)).To(BeTrue())
				g.Expect(known.ErrorCode()).To(Equal(c.code))
			}
			list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(len(list.Contents) == 1).To(Equal(c.effect))
			_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x")})
			g.Expect(err).NotTo(HaveOccurred(), "the fault was for one call")
		})
	}
}
