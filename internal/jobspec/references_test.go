package jobspec

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

func TestResolve(t *testing.T) {
	cases := map[string]struct {
		text  string
		quote bool
		want  string
		err   string
	}{
		"no reference":                 {text: "plain $HOME $(NAME) $(cat a.txt)", want: "plain $HOME $(NAME) $(cat a.txt)"},
		"a property":                   {text: "make $(config.Target)", want: "make all"},
		"several":                      {text: "$(pipeline.name)/$(stage.name)/$(action.name)", want: "web/Build/compile"},
		"folders of artifacts":         {text: "$(input.source) $(output.package)", want: "/codepipeline/input/source /codepipeline/output/package"},
		"the run":                      {text: "$(run.number) $(job.id) $(aws.region) $(aws.accountID)", want: "2 job-1 eu-central-1 111122223333"},
		"Kubernetes' escape stays":     {text: "$$(config.Target)", want: "$$(config.Target)"},
		"another group is a command's": {text: "$(confg.Target) $(python3.11 -c 'print(1)' || true) $(version.sh || true)", want: "$(confg.Target) $(python3.11 -c 'print(1)' || true) $(version.sh || true)"},
		"a command that has a known group's name": {text: "$(run.sh | head)", quote: true, err: "$(run.sh | head) is not a known reference; known are action.executionID"},
		"the way out for a command":               {text: "$(config.guess)", quote: true, err: "; if it is a command for a shell, write $$(config.guess)"},
		"a command in which a reference is":       {text: "$(run.sh $(config.Target))", want: "$(run.sh all)"},
		"an unknown property":                     {text: "$(config.Nope)", err: "$(config.Nope) is not a known reference"},
		"an artifact that the job does not have":  {text: "$(input.other)", err: "$(input.other) is not a known reference"},
		"a secret property":                       {text: "$(config.Token)", err: "the property is secret: use the environment variable CODEPIPELINE_CONFIG_TOKEN"},
		"an optional property that is not set":    {text: "$(config.Flavor)", err: "does not set this optional property: set it, give the reference a default, as in $(config.Flavor|VALUE)"},
		"a default":                               {text: "x$(config.Flavor|3)y", want: "x3y"},
		"an empty default":                        {text: "x$(config.Flavor|)y", want: "xy"},
		"a default with more of |":                {text: "$(config.Flavor|a|b c)", want: "a|b c"},
		"a default is not expanded, in an arg":    {text: "$(config.Flavor|$HOME)", quote: true, want: "$$HOME"},
		"a default that is not needed":            {text: "$(config.Target|none)", want: "all"},
		"a default in a label":                    {text: "$(label:config.Flavor|no flavor)", want: naming.LabelSafe("no flavor")},
		"a default with parentheses":              {text: "$(config.Flavor|f(x))", err: "the default of $(config.Flavor|…) can't have parentheses"},
		"an escaped one with parentheses":         {text: "$$(config.Flavor|f(x))", want: "$$(config.Flavor|f(x))"},
		"a default of an unknown property":        {text: "$(config.Nope|3)", err: "$(config.Nope|3) is not a known reference"},
		"a default of a secret property":          {text: "$(config.Token|3)", err: "$(config.Token) can't be used: the property is secret"},
		"a default of what always is there":       {text: "$(pipeline.name|web)", err: "$(pipeline.name|web) has a default, which only $(config.KEY) can have: write $(pipeline.name)"},
		"a default of an artifact":                {text: "$(input.source|x)", err: "only $(config.KEY) can have"},
		"a name as a label value":                 {text: "$(label:pipeline.name)", want: "web"},
		"a folder as a label value":               {text: "$(label:input.source)", want: naming.LabelSafe("/codepipeline/input/source")},
		"a typo in a label value":                 {text: "$(label:pipelin.name)", err: "$(pipelin.name) is not a known reference"},
		"a secret property as a label value":      {text: "$(label:config.Token)", err: "the property is secret"},
		"Kubernetes' escape of a label value":     {text: "$$(label:pipeline.name)", want: "$$(label:pipeline.name)"},
		"values are not expanded again, in a arg": {text: "$(pipeline.executionID)", quote: true, want: "a$$(CODEPIPELINE_CONFIG_TOKEN)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			job := sampleJob()
			if c.quote {
				job.Spec.Pipeline.ExecutionID = "a$(CODEPIPELINE_CONFIG_TOKEN)"
			}
			got, err := (&substitution{scope: scopeOf(sampleAction(), job, 2)}).resolve(c.text, c.quote)
			if c.err != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.err)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(c.want))
		})
	}
}

func TestSubstituteReachesEveryStringAndOnlyThose(t *testing.T) {
	g := NewWithT(t)
	action := sampleAction(step("a", "$(config.Target)"))
	action.Spec.JobTemplate.Labels = map[string]string{"target": "$(config.Target)"}
	pod := &action.Spec.JobTemplate.Spec.Template.Spec
	pod.NodeSelector = map[string]string{"pool": "$(config.Target)"}
	pod.Containers[0].Env = []corev1.EnvVar{{Name: "T", Value: "$(config.Target)"}}
	resolved, err := substitute(action.Spec.JobTemplate, scopeOf(action, sampleJob(), 1), false)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(resolved.Labels).To(HaveKeyWithValue("target", "all"))
	g.Expect(resolved.Spec.Template.Spec.NodeSelector).To(HaveKeyWithValue("pool", "all"))
	g.Expect(resolved.Spec.Template.Spec.Containers[0].Args).To(Equal([]string{"all"}))
	g.Expect(resolved.Spec.Template.Spec.Containers[0].Env[0].Value).To(Equal("all"))
	g.Expect(action.Spec.JobTemplate.Labels).To(HaveKeyWithValue("target", "$(config.Target)"), "the template itself must stay as it is")
}

// TestEmptyPropertyHasItsValue: a default replaces absent properties only.
func TestEmptyPropertyHasItsValue(t *testing.T) {
	g := NewWithT(t)
	job := sampleJob()
	job.Spec.Configuration["Flavor"] = ""
	g.Expect((&substitution{scope: scopeOf(sampleAction(), job, 1)}).resolve("[$(config.Flavor|3)]", false)).To(Equal("[]"))
}

// TestCommandSubstitutions uses a shell script with commands that look like references.
func TestCommandSubstitutions(t *testing.T) {
	for _, script := range []string{
		`python=$(python3.11 -c 'print(1)' || true); tag=$(version.sh || true); stamp=$(date +%Y.%m.%d)`,
		`python=$$(python3.11 -c 'print(1)' || true); tag=$$(version.sh || true); stamp=$(date +%Y.%m.%d)`,
	} {
		t.Run(script, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("build", script))
			pod(action).Containers[0].Command = []string{"sh", "-c"}
			g.Expect(Validate(action, nil)).To(Succeed())
			resolved, err := substitute(action.Spec.JobTemplate, scopeOf(action, sampleJob(), 1), false)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(resolved.Spec.Template.Spec.Containers[0].Args).To(Equal([]string{script}), "Kubernetes and the shell do the rest")
		})
	}
}

func TestSubstituteNamesTheField(t *testing.T) {
	g := NewWithT(t)
	action := sampleAction(step("a"), step("b", "one", "$(config.Nope)"))
	_, err := substitute(action.Spec.JobTemplate, scopeOf(action, sampleJob(), 1), false)
	g.Expect(err).To(MatchError(HavePrefix("spec.jobTemplate.spec.template.spec.containers[1].args[1]: $(config.Nope)")))
}

func TestExpandedByKubernetes(t *testing.T) {
	cases := map[string]struct {
		at   path
		want bool
	}{
		"args":            {path{"spec", "jobTemplate", "spec", "template", "spec", "containers", "[0]", "args", "[1]"}, true},
		"command of init": {path{"spec", "initContainers", "[0]", "command", "[0]"}, true},
		"env value":       {path{"spec", "containers", "[0]", "env", "[0]", "value"}, true},
		"env name":        {path{"spec", "containers", "[0]", "env", "[0]", "name"}, false},
		"image":           {path{"spec", "containers", "[0]", "image"}, false},
		"annotation":      {path{"metadata", "annotations", "args"}, false},
		"sub path":        {path{"spec", "containers", "[0]", "volumeMounts", "[0]", "subPathExpr"}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(c.at.expandedByKubernetes()).To(Equal(c.want))
		})
	}
}

func TestSplitConfiguration(t *testing.T) {
	g := NewWithT(t)
	open, secret := SplitConfiguration(sampleAction(), map[string]string{"Target": "all", "Token": "s3cret", "Undeclared": "x"})
	g.Expect(open).To(Equal(map[string]string{"Target": "all"}))
	g.Expect(secret).To(Equal([]string{"Token", "Undeclared"}), "what the definition does not know counts as secret")
}
