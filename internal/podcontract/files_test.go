package podcontract

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// filesOf creates a result folder from names and contents.
func filesOf(contents map[string]string) fstest.MapFS {
	folder := fstest.MapFS{}
	for name, content := range contents {
		folder[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return folder
}

func TestParseFilesReadsEveryFile(t *testing.T) {
	g := NewWithT(t)
	given, err := ParseResultFiles(filesOf(map[string]string{
		FileSummary:             "  42 tests passed\n",
		FilePercentComplete:     " 80\r\n",
		FileExternalExecutionID: "build/7\n",
		FileOutputVariables:     "A=1\n\nURL=https://example.com/?a=b\n",
		FileRevision:            `{"revision":"r1","changeIdentifier":"c1","created":"2024-05-06T07:08:09Z","revisionSummary":"first"}`,
		".hidden":               "not ours",
	}))
	g.Expect(err).NotTo(HaveOccurred())
	created := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	percent := int32(80)
	g.Expect(given).To(Equal(Result{
		Summary:             "42 tests passed",
		PercentComplete:     &percent,
		ExternalExecutionID: "build/7",
		OutputVariables:     map[string]string{"A": "1", "URL": "https://example.com/?a=b"},
		CurrentRevision:     &Revision{Revision: "r1", ChangeIdentifier: "c1", Created: &created, RevisionSummary: "first"},
	}))
}

func TestParseFilesReadsResultJSON(t *testing.T) {
	g := NewWithT(t)
	given, err := ParseResultFiles(filesOf(map[string]string{
		FileResult: `{"summary":"s","percentComplete":5,"externalExecutionId":"e","continuationToken":"t",
			"currentRevision":{"revision":"r","changeIdentifier":"c"}}`,
	}))
	g.Expect(err).NotTo(HaveOccurred())
	percent := int32(5)
	g.Expect(given).To(Equal(Result{
		Summary: "s", PercentComplete: &percent, ExternalExecutionID: "e", ContinuationToken: "t",
		CurrentRevision: &Revision{Revision: "r", ChangeIdentifier: "c"},
	}))
}

func TestParseFilesOfAnEmptyFolderSaysNothing(t *testing.T) {
	g := NewWithT(t)
	given, err := ParseResultFiles(fstest.MapFS{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(given).To(Equal(Result{}))
}

func TestParseFilesTakesWhatIsAtTheLimit(t *testing.T) {
	cases := map[string]map[string]string{
		"percent 0":                         {FilePercentComplete: "0"},
		"percent 100":                       {FilePercentComplete: "100"},
		"token of 2048 characters":          {FileContinuationToken: strings.Repeat("ä", 2048)},
		"122,880 bytes of variables":        {FileOutputVariables: "K=" + strings.Repeat("v", 122879)},
		"122,880 bytes of variables (JSON)": {FileResult: `{"outputVariables":{"K":"` + strings.Repeat(`\u0041`, 122879) + `"}}`},
		"every character of keys":           {FileOutputVariables: "aZ09@_-=x"},
		"an empty value":                    {FileOutputVariables: "K="},
		"no newline at the end":             {FileOutputVariables: "A=1\nB=2"},
		"revision of 1500 characters":       {FileRevision: revisionJSON(strings.Repeat("é", 1500), "c")},
		"change of 100 characters":          {FileRevision: revisionJSON("r", strings.Repeat("é", 100))},
		"summary far over the limit":        {FileSummary: strings.Repeat("ü", MaxResultFile)},
		"external ID far over the limit":    {FileExternalExecutionID: strings.Repeat("x", MaxResultFile+1)},
		"empty summary":                     {FileSummary: ""},
		"empty result object":               {FileResult: "\n{}\n"},
		"blank summary":                     {FileSummary: " \n"},
		"members that are null":             {FileResult: `{"summary":null,"percentComplete":null,"continuationToken":null,"outputVariables":null,"currentRevision":null}`},
		"dot files beside result.json":      {FileResult: "{}", ".keep": ""},
	}
	for name, contents := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseResultFiles(filesOf(contents))
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
		})
	}
}

func revisionJSON(revision, change string) string {
	return fmt.Sprintf(`{"revision":%q,"changeIdentifier":%q}`, revision, change)
}

func TestParseFilesKeepsValuesAsTheyAre(t *testing.T) {
	g := NewWithT(t)
	given, err := ParseResultFiles(filesOf(map[string]string{
		FileOutputVariables: "A= x \r\nB=a=b=\r\nC=\r\r\n\r\nD=\t",
	}))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(given.OutputVariables).To(Equal(map[string]string{"A": " x ", "B": "a=b=", "C": "\r", "D": "\t"}))
}

func TestParseFilesPassesOverAByteOrderMark(t *testing.T) {
	g := NewWithT(t)
	given, err := ParseResultFiles(filesOf(map[string]string{FileSummary: "\ufeffdone\r\n", FileOutputVariables: "\ufeffA=1\r\n"}))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(given).To(Equal(Result{Summary: "done", OutputVariables: map[string]string{"A": "1"}}))
	given, err = ParseResultFiles(filesOf(map[string]string{FileResult: "\ufeff" + `{"summary":"done"}`}))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(given).To(Equal(Result{Summary: "done"}))
	_, err = ParseResultFiles(filesOf(map[string]string{FileContinuationToken: "\ufeff"}))
	g.Expect(err).To(MatchError(ContainSubstring("is empty")))
}

func TestParseFilesErrorsNameFileLineAndRule(t *testing.T) {
	cases := map[string]struct {
		files map[string]string
		want  string
	}{
		"percent over 100":               {map[string]string{FilePercentComplete: "101"}, `percent-complete: "101": must be a whole number from 0 to 100`},
		"percent below 0":                {map[string]string{FilePercentComplete: "-1"}, `percent-complete: "-1": must be`},
		"percent with a fraction":        {map[string]string{FilePercentComplete: "5.5"}, `percent-complete: "5.5": must be`},
		"percent empty":                  {map[string]string{FilePercentComplete: ""}, `percent-complete: "": must be`},
		"percent beyond int32":           {map[string]string{FilePercentComplete: "4294967297"}, `percent-complete: "4294967297": must be`},
		"token of 2049 characters":       {map[string]string{FileContinuationToken: strings.Repeat("x", 2049)}, "continuation-token: continuationToken has 2049 characters: at most 2048"},
		"token empty":                    {map[string]string{FileContinuationToken: "\n"}, "continuation-token: is empty"},
		"token and variables":            {map[string]string{FileContinuationToken: "t", FileOutputVariables: "A=1"}, "output-variables: outputVariables can't be given with a continuationToken"},
		"122,881 bytes of variables":     {map[string]string{FileOutputVariables: "K=" + strings.Repeat("v", 122880)}, "output-variables: outputVariables have 122881 bytes in all: at most 122880"},
		"variable without equals":        {map[string]string{FileOutputVariables: "A=1\r\n\r\nB"}, "output-variables: line 3: must be KEY=VALUE"},
		"variable with a bad key":        {map[string]string{FileOutputVariables: "A=1\nB.C=2"}, `output-variables: line 2: the key "B.C" may have only`},
		"variable with an empty key":     {map[string]string{FileOutputVariables: "=2"}, `output-variables: line 1: the key ""`},
		"variable given twice":           {map[string]string{FileOutputVariables: "A=1\nB=1\nA=1"}, `output-variables: line 3: the key "A" is given twice`},
		"variables not UTF-8":            {map[string]string{FileOutputVariables: "A=\xff"}, "output-variables: not UTF-8"},
		"summary not UTF-8":              {map[string]string{FileSummary: "\xc3"}, "summary: not UTF-8"},
		"token not UTF-8":                {map[string]string{FileContinuationToken: "\xc3"}, "continuation-token: not UTF-8"},
		"result not UTF-8":               {map[string]string{FileResult: "{\"summary\":\"\xc3\"}"}, "result.json: line 1: not valid JSON: invalid UTF-8"},
		"revision empty text":            {map[string]string{FileRevision: revisionJSON("", "c")}, "revision.json: line 1: currentRevision.revision has 0 characters: it must have 1 to 1500"},
		"revision of 1501":               {map[string]string{FileRevision: revisionJSON(strings.Repeat("r", 1501), "c")}, "revision.json: line 1: currentRevision.revision has 1501 characters"},
		"change of 101":                  {map[string]string{FileRevision: revisionJSON("r", strings.Repeat("c", 101))}, "revision.json: line 1: currentRevision.changeIdentifier has 101 characters: it must have 1 to 100"},
		"revision with a bad time":       {map[string]string{FileRevision: `{"created":"yesterday"}`}, `revision.json: line 1: created must be a time as in 2006-01-02T15:04:05Z (RFC 3339), not "yesterday"`},
		"revision null":                  {map[string]string{FileRevision: "null"}, "revision.json: must hold one JSON object"},
		"revision empty":                 {map[string]string{FileRevision: " \n"}, "revision.json: is empty"},
		"result null":                    {map[string]string{FileResult: "null"}, "result.json: must hold one JSON object"},
		"result an array":                {map[string]string{FileResult: "[]"}, "result.json: must hold one JSON object"},
		"result two objects":             {map[string]string{FileResult: "{}\n{}"}, "result.json: line 2: not valid JSON: invalid character '{' after top-level value"},
		"result unknown member":          {map[string]string{FileResult: "{\n\"note\":\"\"}"}, `result.json: line 2: unknown member "note": known are summary, percentComplete, externalExecutionId, continuationToken, outputVariables, currentRevision`},
		"result bad syntax":              {map[string]string{FileResult: "{\n\n\"summary\": no}"}, "result.json: line 3: not valid JSON: invalid character"},
		"result cut":                     {map[string]string{FileResult: "{\n\"summary\": "}, "result.json: line 2: not valid JSON: it ends too early"},
		"result wrong type":              {map[string]string{FileResult: "\n{\n\"percentComplete\": \"x\",\n\"summary\":\"\"}"}, "result.json: line 3: percentComplete must be a whole number from 0 to 100, not string"},
		"result variable a number":       {map[string]string{FileResult: `{"outputVariables":{"A":1}}`}, "result.json: line 1: outputVariables.A must be a string, not number"},
		"result revision a string":       {map[string]string{FileResult: `{"currentRevision":"r"}`}, "result.json: line 1: currentRevision must be an object, not string"},
		"result bad variable key":        {map[string]string{FileResult: `{"outputVariables":{"a b":"1"}}`}, `result.json: line 1: the output variable "a b"`},
		"result percent over 100":        {map[string]string{FileResult: "{\n\"summary\":\"\",\n\"percentComplete\":101}"}, "result.json: line 3: percentComplete is 101"},
		"result token and variables":     {map[string]string{FileResult: `{"continuationToken":"t","outputVariables":{"A":"1"}}`}, "result.json: line 1: outputVariables can't be given"},
		"result percent with a fraction": {map[string]string{FileResult: `{"percentComplete":4.5}`}, "line 1: percentComplete must be a whole number from 0 to 100, not 4.5"},
		"result percent beyond int32":    {map[string]string{FileResult: `{"percentComplete":4294967297}`}, "line 1: percentComplete must be a whole number from 0 to 100, not 4294967297"},
		"result token empty":             {map[string]string{FileResult: "{\n\"continuationToken\": \"\"}"}, "result.json: line 2: continuationToken is empty: give the token, or leave it out"},
		"result token blank":             {map[string]string{FileResult: `{"continuationToken":" \n"}`}, "line 1: continuationToken is empty"},
		"result token in another case":   {map[string]string{FileResult: `{"continuationToken":"t","ContinuationToken":""}`}, `line 1: unknown member "ContinuationToken"`},
		"result variable null":           {map[string]string{FileResult: `{"outputVariables":{"B":"","A":null}}`}, "line 1: outputVariables.A must be a string, not null"},
		"result variable of 2 lines":     {map[string]string{FileResult: "{\"outputVariables\":\n{\"A\":\"\",\n\"B C\":\"\"}}"}, `line 3: the output variable "B C"`},
		"result half a character":        {map[string]string{FileResult: `{"summary":"\ud800"}`}, "line 1: not valid JSON: invalid surrogate pair"},
		"result a file's name":           {map[string]string{FileResult: "{\n\n\"percent-complete\":5}"}, `line 3: unknown member "percent-complete": known are summary, percentComplete`},
		"result revision unknown member": {map[string]string{FileResult: `{"currentRevision":{"id":"r"}}`}, `unknown member "currentRevision.id": known are revision, changeIdentifier, created, revisionSummary`},
		"result too short a revision":    {map[string]string{FileResult: "{\n\"currentRevision\":{\n\"changeIdentifier\":\"c\"}}"}, "line 2: currentRevision.revision has 0 characters"},
		"revision with seconds":          {map[string]string{FileRevision: "{\"revision\":\"r\",\n\"created\":1715000000}"}, "revision.json: line 2: created must be a time as in 2006-01-02T15:04:05Z (RFC 3339), not number"},
		"revision of the year 10000":     {map[string]string{FileRevision: "{\"revision\":\"r\",\"changeIdentifier\":\"c\",\n\"created\":\"9999-12-31T23:59:59-23:00\"}"}, "revision.json: line 2: currentRevision.created is in the year 10000"},
		"revision of the year 0":         {map[string]string{FileRevision: `{"revision":"r","changeIdentifier":"c","created":"0000-06-01T00:00:00Z"}`}, "line 1: currentRevision.created is in the year 0"},
		"result.json and another":        {map[string]string{FileResult: "{}", FileSummary: "s"}, "result.json and summary both exist: result.json must be the only one"},
		"a file whose name is no line":   {map[string]string{"x\x1b[2J\nAll is well": "s"}, `"x\x1b[2J\nAll is well": not a result file`},
		"unknown file":                   {map[string]string{"note": "s"}, `"note": not a result file; known are continuation-token, external-execution-id`},
		"a folder of a known name":       {map[string]string{FileSummary + "/x": "s"}, "summary: must be a regular file"},
		"variables over the maximum":     {map[string]string{FileOutputVariables: strings.Repeat("\n", MaxResultFile+1)}, "output-variables: larger than 1048576 bytes"},
		"result over the maximum":        {map[string]string{FileResult: strings.Repeat(" ", MaxResultFile+1)}, "result.json: larger than 1048576 bytes"},
		"token over the maximum":         {map[string]string{FileContinuationToken: strings.Repeat("x", MaxResultFile+1)}, "continuation-token: larger than"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			given, err := ParseResultFiles(filesOf(c.files))
			g.Expect(err).To(MatchError(ContainSubstring(c.want)))
			g.Expect(given).To(Equal(Result{}))
		})
	}
}

func TestParseFilesCutsTextsToCodePipelinesLimits(t *testing.T) {
	long := strings.Repeat("ü", 100_000)
	cut := func(limit int) string { return strings.Repeat("ü", limit-1) + "…" }
	percent := int32(5)
	for name, files := range map[string]map[string]string{
		"files": {FileSummary: long, FileExternalExecutionID: long, FilePercentComplete: "5",
			FileRevision: `{"revision":"r","changeIdentifier":"c","revisionSummary":"` + long + `"}`},
		"result.json": {FileResult: `{"summary":"` + long + `","externalExecutionId":"` + long + `","percentComplete":5,
			"currentRevision":{"revision":"r","changeIdentifier":"c","revisionSummary":"` + long + `"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			given, err := ParseResultFiles(filesOf(files))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(given).To(Equal(Result{Summary: cut(limits.Summary), ExternalExecutionID: cut(limits.ExternalExecutionID), PercentComplete: &percent,
				CurrentRevision: &Revision{Revision: "r", ChangeIdentifier: "c", RevisionSummary: cut(limits.RevisionSummary)}}))
		})
	}
}

func TestParseFilesRefusesANameThatIsGivenTwice(t *testing.T) {
	for content, want := range map[string]string{
		"{\"continuationToken\":\"t\",\n\"continuationToken\":\"\"}":    `result.json: line 2: "continuationToken" is given twice`,
		"{\"outputVariables\":{\"A\":\"1\",\n\n\"A\":\"2\"}}":           `result.json: line 3: "A" is given twice`,
		"{\"currentRevision\":{\"revision\":\"r\",\"revision\":\"s\"}}": `result.json: line 1: "revision" is given twice`,
	} {
		_, err := ParseResultFiles(filesOf(map[string]string{FileResult: content}))
		NewWithT(t).Expect(err).To(MatchError(want))
	}
	_, err := ParseResultFiles(filesOf(map[string]string{FileResult: `{"summary":"A","outputVariables":{"A":"A","summary":"A","a":""},"currentRevision":null}`}))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
}

func TestParseFilesFollowsNoSymbolicLink(t *testing.T) {
	folder := fstest.MapFS{
		FileSummary: {Data: []byte("elsewhere"), Mode: fs.ModeSymlink | 0o777},
	}
	_, err := ParseResultFiles(folder)
	NewWithT(t).Expect(err).To(MatchError("summary: must be a regular file"))
}

func TestParseFilesNamesTheFileThatAnotherUserKeeps(t *testing.T) {
	folder := filesOf(map[string]string{FileSummary: "s", FileOutputVariables: "A=1"})
	_, err := ParseResultFiles(denied{folder, FileOutputVariables})
	NewWithT(t).Expect(err).To(MatchError("output-variables: can't be read by this user: make it readable for others (chmod a+r)"))
}

func FuzzParseFiles(f *testing.F) {
	for _, seed := range []string{"", "A=1\n", "A=1\r\nA=2", "{}", "null", `{"summary":1}`, "\xff", "50", `{"revision":"r","changeIdentifier":"c"}`, "{\"a"} {
		for i := range knownFiles() {
			f.Add(i, seed)
		}
	}
	f.Fuzz(func(t *testing.T, which int, content string) {
		names := knownFiles()
		name := names[uint(which)%uint(len(names))]
		given, err := ParseResultFiles(filesOf(map[string]string{name: content}))
		if err != nil {
			if !strings.HasPrefix(err.Error(), name+": ") {
				t.Fatalf("the error does not name the file %s: %v", name, err)
			}
			return
		}
		if err := given.Validate(); err != nil {
			t.Fatalf("%s was accepted although it breaks a rule: %v", name, err)
		}
	})
}
