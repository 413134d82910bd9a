package eventqueue

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// event is an event as EventBridge delivers it, from CodePipeline's user guide.
const event = `{
  "version": "0", "id": "01234567-EXAMPLE",
  "detail-type": "CodePipeline Action Execution State Change", "source": "aws.codepipeline",
  "account": "111122223333", "time": "2020-01-24T22:03:07Z", "region": "us-east-1",
  "resources": ["arn:aws:codepipeline:us-east-1:111122223333:myPipeline"],
  "detail": {
    "pipeline": "myPipeline", "execution-id": "12345678-1234-5678-abcd-12345678abcd", "start-time": "2020-01-24T22:03:07.391Z",
    "stage": "Prod", "action-execution-id": "47f821c5-a902-43c5-8c2a-1234567890ab", "action": "myAction", "state": "STARTED",
    "region": "us-east-1", "type": {"owner": "Custom", "category": "Test", "provider": "work", "version": "1"}, "version": 2.0
  }
}`

func TestParse(t *testing.T) {
	cases := map[string]struct {
		body string
		says string
	}{
		"no JSON":              {"hello", "it is not the JSON of an event"},
		"no object":            {"[]", "it is not the JSON of an event"},
		"another kind of JSON": {`{"Records": []}`, "its detail-type is not"},
		"another event":        {strings.ReplaceAll(event, "Action Execution", "Stage Execution"), "its detail-type is not"},
		"no state":             {strings.ReplaceAll(event, `"state": "STARTED",`, ""), "it lacks account, region, detail.state or detail.action-execution-id"},
		"no account":           {strings.ReplaceAll(event, `"account"`, `"konto"`), "it lacks account"},
		"of another type":      {strings.ReplaceAll(event, `"STARTED"`, `7`), "it is not the JSON of an event"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parse(c.body)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(c.says)))
		})
	}
	g := NewWithT(t)
	g.Expect(parse(event)).To(Equal(Change{
		Account: "111122223333", Region: "us-east-1", State: Started, ActionExecutionID: "47f821c5-a902-43c5-8c2a-1234567890ab",
		Custom: true, Type: codepipeline.ActionTypeID{Category: "Test", Provider: "work", Version: "1"},
	}))
}

func FuzzParse(f *testing.F) {
	f.Add(event)
	f.Add(`{"detail-type": "CodePipeline Action Execution State Change", "detail": null}`)
	f.Fuzz(func(_ *testing.T, body string) { _, _ = parse(body) })
}

// recorder is a handler with preset results.
type recorder struct {
	polled, working bool
	err             error
}

func (r recorder) Started(Change) bool { return r.polled }

func (r recorder) Stopped(context.Context, Change) (bool, error) { return r.working, r.err }

func TestWhatBecomesOfAMessage(t *testing.T) {
	abandoned := strings.ReplaceAll(event, "STARTED", "ABANDONED")
	cases := map[string]struct {
		body    string
		handler recorder
		want    string
	}{
		"started":                             {event, recorder{polled: true}, ResultWoke},
		"started, and nobody polls for it":    {event, recorder{}, ResultIgnored},
		"started, and AWS's own":              {strings.ReplaceAll(event, `"Custom"`, `"AWS"`), recorder{polled: true}, ResultIgnored},
		"abandoned":                           {abandoned, recorder{working: true}, ResultCancelled},
		"cancelled":                           {strings.ReplaceAll(event, "STARTED", "CANCELED"), recorder{working: true}, ResultCancelled},
		"abandoned, and unknown":              {abandoned, recorder{polled: true}, ResultIgnored},
		"abandoned, and it can't be recorded": {abandoned, recorder{err: errors.New("conflict")}, resultAgain},
		"succeeded":                           {strings.ReplaceAll(event, "STARTED", "SUCCEEDED"), recorder{polled: true, working: true}, ResultIgnored},
		"unreadable":                          {"{", recorder{polled: true}, ResultInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			queue := &Queue{Options: Options{Handler: c.handler, Log: logr.Discard()}}
			NewWithT(t).Expect(queue.handle(t.Context(), c.body)).To(Equal(c.want))
		})
	}
}

func TestRegionOfAQueue(t *testing.T) {
	cases := map[string]string{
		"https://sqs.eu-central-1.amazonaws.com/111122223333/q":  "eu-central-1",
		"https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q": "cn-north-1",
		"https://eu-west-1.queue.amazonaws.com/111122223333/q":   "eu-west-1",
		"http://127.0.0.1:4566/111122223333/q":                   "ap-south-2",
		"https://vpce-1.sqs.us-east-1.vpce.amazonaws.com/1/q":    "ap-south-2",
	}
	for url, want := range cases {
		t.Run(url, func(t *testing.T) {
			t.Setenv("AWS_REGION", "ap-south-2")
			g := NewWithT(t)
			queue, err := New(t.Context(), Options{URL: url}, codepipeline.NewClients(codepipeline.ClientsOptions{}))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(queue.client.Options().Region).To(Equal(want))
		})
	}
	t.Run("unknown", func(t *testing.T) {
		t.Setenv("AWS_REGION", "")
		t.Setenv("AWS_DEFAULT_REGION", "")
		t.Setenv("AWS_CONFIG_FILE", "/nowhere")
		_, err := New(t.Context(), Options{URL: "http://127.0.0.1/1/q"}, codepipeline.NewClients(codepipeline.ClientsOptions{}))
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("set AWS_REGION")))
	})
}
