package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

func TestParse(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "keys")
	g.Expect(os.WriteFile(file, []byte("# ours\n\nAKIAONE one\nAKIATWO two 444455556666\n"), 0o600)).To(Succeed())
	var out bytes.Buffer
	o, err := parse([]string{
		"--listen=127.0.0.1:0", "--log-format=json", "--create-bucket=a", "--create-bucket=b", "--credentials-file=" + file,
		"--role=arn:aws:iam::444455556666:role/r=cluster/team", "--role=arn:aws:iam::444455556666:role/open",
		"--redispatch-after=2s", "--create-only", "--seed=7",
		`--fault={"operation": "PollForJobs", "kind": "ProxyError", "status": 407, "region": "eu-west-1", "delay": "1s"}`,
	}, &out)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(o.listen).To(Equal("127.0.0.1:0"))
	g.Expect(o.emulator.Buckets).To(Equal([]string{"a", "b"}))
	g.Expect(o.emulator.Credentials).To(Equal([]emulator.Credential{
		{AccessKeyID: "AKIAONE", SecretAccessKey: "one"}, {AccessKeyID: "AKIATWO", SecretAccessKey: "two", AccountID: "444455556666"},
	}))
	g.Expect(o.emulator.Roles).To(Equal(map[string]string{"arn:aws:iam::444455556666:role/r": "cluster/team", "arn:aws:iam::444455556666:role/open": ""}))
	g.Expect(o.emulator.RedispatchAfter).To(Equal(2 * time.Second))
	g.Expect(o.emulator.CreateOnly).To(BeTrue())
	g.Expect(o.emulator.Faults).To(Equal([]emulator.Fault{
		{Operation: "PollForJobs", Kind: emulator.ProxyError, Status: 407, Region: "eu-west-1", Delay: time.Second},
	}))
	o.emulator.Logger.Info("hello")
	g.Expect(out.String()).To(ContainSubstring(`"msg":"hello"`))
}

func TestRedispatchAfterHasNames(t *testing.T) {
	g := NewWithT(t)
	for text, want := range map[string]time.Duration{"at-once": emulator.RedispatchAtOnce, "never": emulator.RedispatchNever, "1ms": time.Millisecond} {
		o, err := parse([]string{"--redispatch-after=" + text}, &bytes.Buffer{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(o.emulator.RedispatchAfter).To(Equal(want))
	}
}

func TestHelpExplains(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	_, err := parse([]string{"--help"}, &out)
	g.Expect(err).To(MatchError(flag.ErrHelp))
	g.Expect(out.String()).To(And(ContainSubstring("AWS_ENDPOINT_URL"), ContainSubstring("/_emulator/faults"), ContainSubstring("-redispatch-after")))
}

func TestParseRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	write := func(text string) { NewWithT(t).Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed()) }
	cases := map[string]struct {
		content  string
		argument string
		message  string
	}{
		"log format":      {"", "--log-format=xml", "--log-format must be text or json"},
		"an argument":     {"", "serve", `no arguments such as "serve"`},
		"a duration":      {"", "--redispatch-after=soon", "redispatch-after"},
		"a negative one":  {"", "--redispatch-after=-1s", "at-once or never"},
		"a fault":         {"", `--fault={"kind": "Rain", "often": 2}`, "unknown field"},
		"no such file":    {"", "--credentials-file=" + file + ".none", "no such file"},
		"an empty file":   {"# none\n", "--credentials-file=" + file, "has no credentials"},
		"a line too many": {"AKIAONE one\nAKIATWO t w o\n", "--credentials-file=" + file, "line 2 must be"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			write(c.content)
			_, err := parse([]string{c.argument}, &bytes.Buffer{})
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(c.message)))
		})
	}
}
