package main

import (
	"bytes"
	"flag"
	"math"
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
		"--return-property-types", "--escape-external-ids", "--allow-missing-outputs",
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
	g.Expect([]bool{o.emulator.ReturnPropertyTypes, o.emulator.EscapeExternalIDs, o.emulator.AllowMissingOutputs}).To(HaveEach(true))
	g.Expect(o.emulator.Faults).To(Equal([]emulator.Fault{
		{Operation: "PollForJobs", Kind: emulator.ProxyError, Status: 407, Region: "eu-west-1", Delay: time.Second},
	}))
	o.emulator.Logger.Info("hello")
	g.Expect(out.String()).To(ContainSubstring(`"msg":"hello"`))
}

func TestWhoMayControl(t *testing.T) {
	for name, c := range map[string]struct {
		arguments []string
		want      emulator.ControlAccess
	}{
		"by default":                     {nil, emulator.ControlLoopback},
		"on the machine":                 {[]string{"--listen=localhost:0"}, emulator.ControlLoopback},
		"on the machine, by IPv6":        {[]string{"--listen=[::1]:4566"}, emulator.ControlLoopback},
		"where others reach it":          {[]string{"--listen=0.0.0.0:4566"}, emulator.ControlNone},
		"on all addresses":               {[]string{"--listen=:4566"}, emulator.ControlNone},
		"in a cluster, if it is allowed": {[]string{"--listen=0.0.0.0:4566", "--control=loopback"}, emulator.ControlLoopback},
		"by all":                         {[]string{"--control=all"}, emulator.ControlAll},
		"by nobody":                      {[]string{"--control=none"}, emulator.ControlNone},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o, err := parse(c.arguments, &bytes.Buffer{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(o.emulator.Control).To(Equal(c.want))
		})
	}
	_, err := emulator.New(emulator.Options{Control: "me"})
	NewWithT(t).Expect(err).To(MatchError(`the option Control must be loopback, none or all, not "me"`))
}

func TestRedispatchAfterHasNames(t *testing.T) {
	g := NewWithT(t)
	for text, want := range map[string]time.Duration{
		"at-once": emulator.RedispatchAtOnce, "0": emulator.RedispatchAtOnce, "never": emulator.RedispatchNever, "1ms": time.Millisecond,
	} {
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
	g.Expect(out.String()).To(ContainSubstring("S3, STS and SQS on the same port"))
}

// TestHelpHasPlaceholders: the flag package takes the first text in backquotes as the placeholder.
func TestHelpHasPlaceholders(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	_, err := parse([]string{"--help"}, &out)
	g.Expect(err).To(MatchError(flag.ErrHelp))
	for name, placeholder := range map[string]string{
		"listen": "ADDRESS", "log-format": "FORMAT", "region": "REGION", "account": "ACCOUNT", "create-bucket": "BUCKET",
		"credentials-file": "FILE", "role": "ARN[=EXTERNAL-ID]", "event-queue": "NAME", "control": "WHO",
		"continuation-delay": "duration", "redispatch-after": "duration", "keep-executions": "int", "fault": "JSON", "seed": "uint",
	} {
		g.Expect(out.String()).To(ContainSubstring("\n  -" + name + " " + placeholder + "\n"))
	}
}

// TestDefaultsAreTold compares the defaults that --help prints with docs/emulator.md.
func TestDefaultsAreTold(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile("../../docs/emulator.md")
	g.Expect(err).NotTo(HaveOccurred())
	var out bytes.Buffer
	_, err = parse([]string{"--help"}, &out)
	g.Expect(err).To(MatchError(flag.ErrHelp))
	for name, value := range map[string]struct{ help, page string }{
		"continuation-delay": {"5s", "5s"}, "redispatch-after": {"1m0s", "1m"}, "action-timeout": {"24h0m0s", "24h"},
		"credentials-ttl": {"15m0s", "15m"}, "job-retention": {"1h0m0s", "1h"},
		"keep-executions": {"1000", "1000"}, "max-concurrent-executions": {"50", "50"}, "max-action-types": {"50", "50"},
	} {
		g.Expect(out.String()).To(MatchRegexp(`(?m)^  -` + name + ` \w+\n .*\(default ` + value.help + `\)$`))
		g.Expect(string(page)).To(MatchRegexp("(?m)^\\| `--" + name + "` \\| .* \\| " + value.page + " \\|$"))
	}
}

func TestTimesOfTheService(t *testing.T) {
	times := func(o emulator.Options) []time.Duration {
		return []time.Duration{o.ContinuationDelay, o.RedispatchAfter, o.ActionTimeout, o.CredentialsTTL, o.JobRetention}
	}
	flags := []string{"--continuation-delay", "--redispatch-after", "--action-timeout", "--credentials-ttl", "--job-retention"}
	cases := map[string]struct {
		value  string
		wanted []time.Duration
	}{
		"defaults": {"", []time.Duration{5 * time.Second, time.Minute, 24 * time.Hour, 15 * time.Minute, time.Hour}},
		"none":     {"=0", []time.Duration{1, 1, math.MaxInt64, 1, 1}},
		"given":    {"=2s", []time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var arguments []string
			for _, flag := range flags {
				if c.value != "" {
					arguments = append(arguments, flag+c.value)
				}
			}
			o, err := parse(arguments, &bytes.Buffer{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(times(o.emulator)).To(Equal(c.wanted))
			_, err = emulator.New(o.emulator)
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
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
		"no delay at all": {"", "--continuation-delay=-1s", "--continuation-delay must not be negative"},
		"no time at all":  {"", "--job-retention=-1ns", "--job-retention must not be negative"},
		"no executions":   {"", "--keep-executions=0", "--keep-executions must be at least 1"},
		"fewer than none": {"", "--max-concurrent-executions=-1", "--max-concurrent-executions must be at least 1"},
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
