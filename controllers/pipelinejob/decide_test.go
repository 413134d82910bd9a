package pipelinejob

import (
	"maps"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// change modifies a state. A list of changes is a job's history.
type change func(*state)

func TestDecide(t *testing.T) {
	cases := map[string]struct {
		history []change
		want    step
		wait    time.Duration
	}{
		"just polled":                                     {want: stepAcknowledge},
		"the claim's answer is lost":                      {history: []change{calling("AcknowledgeJob")}, want: stepAcknowledge},
		"acknowledged":                                    {history: []change{acknowledged}, want: stepPlanRun},
		"run planned":                                     {history: []change{acknowledged, planned}, want: stepCreateJob},
		"run planned, with artifacts":                     {history: []change{artifacts, acknowledged, planned}, want: stepRenewSecret},
		"Secret written":                                  {history: []change{artifacts, acknowledged, planned, secretAge(0)}, want: stepCreateJob},
		"Secret recorded, not written yet":                {history: []change{artifacts, acknowledged, planned, secretPlanned}, want: stepRenewSecret},
		"Secret of an earlier job":                        {history: []change{artifacts, acknowledged, planned, secretOfOther}, want: stepRenewSecret},
		"working":                                         {history: []change{acknowledged, planned, started}, want: stepWait},
		"working, with artifacts: until renewal":          {history: []change{artifacts, acknowledged, planned, started, secretAge(2 * time.Minute)}, want: stepWait, wait: 3 * time.Minute},
		"working, renewal due":                            {history: []change{artifacts, acknowledged, planned, started, secretAge(5 * time.Minute)}, want: stepRenewSecret},
		"the Job succeeded":                               {history: []change{acknowledged, planned, started, ended}, want: stepRecordResult},
		"the Job is gone":                                 {history: []change{acknowledged, planned, started, vanished}, want: stepRecordLost},
		"the Job succeeded, then is deleted":              {history: []change{acknowledged, planned, started, ended, jobDeleting}, want: stepRecordResult},
		"the Job is being deleted":                        {history: []change{acknowledged, planned, started, jobDeleting}, want: stepRecordLost},
		"result recorded":                                 {history: []change{acknowledged, planned, started, ended, complete}, want: stepReport},
		"result recorded, Job gone":                       {history: []change{acknowledged, planned, started, vanished, complete}, want: stepReport},
		"failed, but the Job still retries":               {history: []change{acknowledged, planned, started, failed}, want: stepStopRun},
		"reported":                                        {history: []change{acknowledged, planned, started, ended, complete, reported}, want: stepWait},
		"reported, Secret left":                           {history: []change{artifacts, acknowledged, planned, started, secretAge(0), ended, complete, reported}, want: stepDropSecret},
		"reported, time to live left":                     {history: []change{acknowledged, planned, started, ended, complete, reported, ttl(time.Hour)}, want: stepWait, wait: time.Hour},
		"reported, time to live over":                     {history: []change{acknowledged, planned, started, ended, complete, reported, ttl(0)}, want: stepExpire},
		"acknowledged, then handed out again":             {history: []change{acknowledged, planned, started, newNonce}, want: stepAcknowledge},
		"claimed elsewhere":                               {history: []change{reported}, want: stepWait},
		"claimed elsewhere, then handed out again":        {history: []change{dropped, newNonce}, want: stepAcknowledge},
		"token recorded":                                  {history: []change{acknowledged, planned, started, ended, token}, want: stepReport},
		"token reported":                                  {history: []change{acknowledged, planned, started, ended, token, delivered}, want: stepWait},
		"token reported, Secret left":                     {history: []change{artifacts, acknowledged, planned, started, secretAge(0), ended, token, delivered}, want: stepDropSecret},
		"continued job polled":                            {history: []change{acknowledged, planned, started, ended, token, delivered, continued}, want: stepAcknowledge},
		"continued job polled before delivery was known":  {history: []change{acknowledged, planned, started, ended, token, continued}, want: stepAcknowledge},
		"continued job acknowledged":                      {history: []change{acknowledged, planned, started, ended, token, delivered, continued, acknowledged, tokenUsed}, want: stepPlanRun},
		"deleted before the claim":                        {history: []change{deleting}, want: stepRelease},
		"deleted while the claim's answer is lost":        {history: []change{calling("AcknowledgeJob"), deleting}, want: stepAcknowledge},
		"deleted while planned":                           {history: []change{acknowledged, planned, deleting}, want: stepCancel},
		"deleted while working":                           {history: []change{acknowledged, planned, started, deleting}, want: stepCancel},
		"deleted, cancellation recorded: the Job must go": {history: []change{acknowledged, planned, started, deleting, failed}, want: stepStopRun},
		"deleted, Job stopped":                            {history: []change{acknowledged, planned, started, deleting, failed, jobDeleting}, want: stepReport},
		"deleted and reported":                            {history: []change{acknowledged, planned, started, deleting, failed, vanished, reported}, want: stepRelease},
		"reported, then deleted":                          {history: []change{acknowledged, planned, started, ended, complete, reported, vanished, deleting}, want: stepRelease},
		"reported, then a nonce from a late poll":         {history: []change{acknowledged, planned, started, ended, complete, reported, newNonce}, want: stepWait},
		"dropped, then deleted":                           {history: []change{dropped, deleting}, want: stepRelease},
		"handed out again with a new nonce, then deleted": {history: []change{acknowledged, planned, started, newNonce, deleting}, want: stepAcknowledge},
		"deleted with an unreported result":               {history: []change{acknowledged, planned, started, ended, complete, deleting}, want: stepReport},
		"deleted while a continuation is awaited":         {history: []change{acknowledged, planned, started, ended, token, delivered, deleting}, want: stepWait, wait: 5 * time.Minute},
		"deleted, then the continuation came":             {history: []change{acknowledged, planned, started, ended, token, delivered, deleting, continued}, want: stepAcknowledge},
		"deleted, the continuation is claimed":            {history: []change{acknowledged, planned, started, ended, token, delivered, deleting, continued, acknowledged, tokenUsed}, want: stepCancel},
	}
	progress := map[string]struct {
		history []change
		want    step
		wait    time.Duration
	}{
		"progress is to be read":                          {history: []change{working, readAgo(30 * time.Second)}, want: stepReadProgress},
		"progress was read":                               {history: []change{working, readAgo(10 * time.Second)}, want: stepWait, wait: 20 * time.Second},
		"progress was recorded a while ago":               {history: []change{working, readAgo(time.Hour), update(10 * time.Second), updateDelivered}, want: stepWait, wait: 20 * time.Second},
		"an execution is to be looked at sooner":          {history: []change{working, readAgo(10 * time.Second), recheck(time.Second)}, want: stepWait, wait: time.Second},
		"progress recorded":                               {history: []change{working, update(0)}, want: stepReportProgress},
		"progress recorded, then the run ends":            {history: []change{working, update(0), ended}, want: stepRecordResult},
		"progress recorded, then deleted":                 {history: []change{working, update(0), deleting}, want: stepCancel},
		"progress maybe reported, then the run ends":      {history: []change{working, update(0), reportingProgress, ended}, want: stepReportProgress},
		"progress maybe reported, result recorded":        {history: []change{working, update(0), reportingProgress, ended, complete}, want: stepReportProgress},
		"progress reported":                               {history: []change{working, update(0), delivered}, want: stepWait},
		"progress reported, credentials age":              {history: []change{artifacts, working, secretAge(time.Hour), update(0), delivered}, want: stepWait},
		"progress reported, then the run ends":            {history: []change{working, update(0), delivered, ended}, want: stepRecordResult},
		"progress reported, then the Job is gone":         {history: []change{working, update(0), delivered, vanished}, want: stepRecordLost},
		"progress reported, result recorded":              {history: []change{working, update(0), delivered, ended, complete}, want: stepWait},
		"progress reported, continuation token recorded":  {history: []change{working, update(0), delivered, ended, token}, want: stepWait},
		"progress reported, then deleted":                 {history: []change{working, update(0), delivered, deleting}, want: stepCancel},
		"progress reported, cancelled: the Job must go":   {history: []change{working, update(0), delivered, deleting, failed}, want: stepStopRun},
		"handed out again after progress":                 {history: []change{working, update(0), delivered, continued}, want: stepAcknowledge},
		"it is claimed: the run continues":                {history: []change{working, update(0), delivered, continued, acknowledged, updateDelivered}, want: stepWait},
		"it is claimed, with an unreported result":        {history: []change{working, update(0), delivered, ended, complete, continued, acknowledged, updateDelivered}, want: stepReport},
		"it is claimed, with an unreported continuation":  {history: []change{working, update(0), delivered, ended, token, continued, acknowledged, updateDelivered}, want: stepReport},
		"it is claimed: credentials are still recent":     {history: []change{artifacts, working, secretAge(2 * time.Minute), update(0), delivered, continued, acknowledged, updateDelivered}, want: stepWait, wait: 3 * time.Minute},
		"the execution was stopped":                       {history: []change{working, closed}, want: stepRecordClosed},
		"stopped while a continuation is awaited":         {history: []change{working, ended, token, delivered, closed}, want: stepRecordClosed},
		"stopped after progress was reported":             {history: []change{working, update(0), delivered, closed}, want: stepRecordClosed},
		"looks stopped, but a report is in progress":      {history: []change{working, ended, complete, calling("PutJobSuccessResult"), closed}, want: stepReport},
		"works longer than an action may":                 {history: []change{working, claimedAgo(26 * time.Hour)}, want: stepRecordClosed},
		"reports longer than an action may":               {history: []change{working, ended, complete, calling("PutJobSuccessResult"), claimedAgo(26 * time.Hour)}, want: stepRecordClosed},
		"a continuation is awaited":                       {history: []change{working, ended, token, delivered, continuedAgo(5 * time.Minute)}, want: stepWait, wait: 10 * time.Minute},
		"a continuation is overdue":                       {history: []change{working, ended, token, delivered, continuedAgo(16 * time.Minute)}, want: stepNoteOverdue},
		"a continuation is overdue, and that is recorded": {history: []change{working, ended, token, delivered, continuedAgo(16 * time.Minute), overdueSaid}, want: stepWait},
	}
	waiting := map[string]struct {
		history []change
		want    step
		wait    time.Duration
	}{
		"an image can't be pulled":                       {history: []change{working, runsNow, pulls("ErrImagePull: no")}, want: stepNoteRunning},
		"an image can't be pulled, and that is recorded": {history: []change{working, pulls("ErrImagePull: no"), waitingSaid, pulls("Back-off"), recheck(time.Minute)}, want: stepWait, wait: time.Minute},
		"it waits for something else":                    {history: []change{working, pulls("no"), waitingSaid, suspendedJob}, want: stepNoteRunning},
		"it runs after it waited":                        {history: []change{working, pulls("no"), waitingSaid, runsNow}, want: stepNoteRunning},
		"it runs, as recorded":                           {history: []change{working, runsNow, runningSaid}, want: stepWait},
		"between two states, the condition stays":        {history: []change{working, pulls("no"), waitingSaid, nothingKnown}, want: stepWait},
		"it waits after progress was reported":           {history: []change{working, update(0), delivered, pulls("no")}, want: stepNoteRunning},
		"it waits, then the run ends":                    {history: []change{working, pulls("no"), ended}, want: stepRecordResult},
		"it waits, then it is deleted":                   {history: []change{working, pulls("no"), deleting}, want: stepCancel},
	}
	bounds := map[string]struct {
		history []change
		want    step
		wait    time.Duration
	}{
		"deleted, the claim fails":                           {history: []change{calling("AcknowledgeJob"), deletedAgo(4 * time.Minute), failing(stepAcknowledge, time.Hour)}, want: stepAcknowledge},
		"deleted, the claim fails for long":                  {history: []change{calling("AcknowledgeJob"), deletedAgo(5 * time.Minute), failing(stepAcknowledge, time.Hour)}, want: stepGiveUp},
		"deleted long ago, the claim was not tried":          {history: []change{calling("AcknowledgeJob"), deletedAgo(time.Hour)}, want: stepAcknowledge},
		"deleted long ago, the claim has just failed":        {history: []change{calling("AcknowledgeJob"), deletedAgo(time.Hour), failing(stepAcknowledge, time.Minute)}, want: stepAcknowledge},
		"deleted, the claim waits in a lane without answers": {history: []change{calling("AcknowledgeJob"), deletedAgo(5 * time.Minute), silentFor(5 * time.Minute)}, want: stepGiveUp},
		"deleted a moment ago, AWS silent for long":          {history: []change{calling("AcknowledgeJob"), deletedAgo(4 * time.Minute), silentFor(time.Hour)}, want: stepAcknowledge},
		"deleted long ago, AWS silent for a moment":          {history: []change{calling("AcknowledgeJob"), deletedAgo(time.Hour), silentFor(4 * time.Minute)}, want: stepAcknowledge},
		"deleted, another step had failed":                   {history: []change{working, ended, complete, deletedAgo(time.Hour), failing(stepStopRun, time.Hour)}, want: stepReport},
		"deleted, the report fails for long":                 {history: []change{working, deletedAgo(time.Hour), failed, jobDeleting, failing(stepReport, 5*time.Minute)}, want: stepGiveUp},
		"deleted, and giving up failed":                      {history: []change{working, deletedAgo(time.Hour), failed, jobDeleting, failing(stepGiveUp, time.Second)}, want: stepGiveUp},
		"deleted, the report of progress fails for long":     {history: []change{working, update(0), reportingProgress, deletedAgo(time.Hour), failing(stepReportProgress, 5*time.Minute)}, want: stepGiveUp},
		"deleted, the Job can't be deleted":                  {history: []change{working, deletedAgo(4 * time.Minute), failed, failing(stepStopRun, time.Hour)}, want: stepStopRun},
		"deleted, the Job can't be deleted for long":         {history: []change{working, deletedAgo(time.Hour), failed, failing(stepStopRun, time.Second)}, want: stepReport},
		"reported, the Job can't be deleted for long":        {history: []change{working, deletedAgo(time.Hour), failed, reported, failing(stepStopRun, 5*time.Minute)}, want: stepRelease},
		"the Job can't be deleted, nor be reported":          {history: []change{working, deletedAgo(time.Hour), failed, failing(stepStopRun, time.Hour), failing(stepReport, 5*time.Minute)}, want: stepGiveUp},
		"deleted, the Secret can't be deleted for long":      {history: []change{artifacts, acknowledged, planned, started, secretAge(0), ended, complete, reported, deletedAgo(time.Hour), failing(stepDropSecret, 5*time.Minute)}, want: stepRelease},
		"not deleted, the Secret can't be deleted":           {history: []change{artifacts, acknowledged, planned, started, secretAge(0), ended, complete, reported, failing(stepDropSecret, time.Hour)}, want: stepDropSecret},
		"not deleted, the report fails for long":             {history: []change{working, ended, complete, failing(stepReport, time.Hour)}, want: stepReport},
		"deleted, a continuation is awaited":                 {history: []change{working, ended, token, delivered, continuedAgo(time.Minute), deletedAgo(time.Minute)}, want: stepWait, wait: 14 * time.Minute},
		"deleted, a continuation is overdue":                 {history: []change{working, ended, token, delivered, continuedAgo(15 * time.Minute), deletedAgo(5 * time.Minute)}, want: stepGiveUp},
		"deleted, a continuation is long overdue":            {history: []change{working, ended, token, delivered, continuedAgo(time.Hour), overdueSaid, deletedAgo(time.Minute)}, want: stepWait, wait: 4 * time.Minute},
		"deleted, and the operator has just started":         {history: []change{working, ended, token, delivered, continuedAgo(time.Hour), overdueSaid, deletedAgo(time.Hour), leadingFor(time.Minute)}, want: stepWait, wait: 4 * time.Minute},
		"never claimed within a day":                         {history: []change{calling("AcknowledgeJob"), polledAgo(26 * time.Hour)}, want: stepRecordClosed},
		"a continuation is not claimed within a day":         {history: []change{working, claimedAgo(26 * time.Hour), ended, token, delivered, continued, calling("AcknowledgeJob")}, want: stepRecordClosed},
	}
	maps.Copy(cases, progress)
	maps.Copy(cases, bounds)
	maps.Copy(cases, waiting)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got, wait := decide(stateAfter(c.history))
			g.Expect(got).To(Equal(c.want))
			g.Expect(wait).To(Equal(c.wait))
		})
	}
}

// stateAfter returns the state of a job after a history.
func stateAfter(history []change) state {
	s := state{job: &v1alpha1.PipelineJob{}, now: noon, longest: 25 * time.Hour}
	s.job.Generation = 1
	s.job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "job-1", Nonce: "1"}
	for _, change := range history {
		change(&s)
	}
	return s
}

func artifacts(s *state) { s.job.Spec.InputArtifacts = []v1alpha1.Artifact{{Name: "source"}} }

func calling(operation string) change {
	return func(s *state) {
		s.job.Status.Protocol.Call = &v1alpha1.Call{Operation: operation, JobID: s.job.Spec.CodePipelineJob.ID, Nonce: s.job.Spec.CodePipelineJob.Nonce}
	}
}

func acknowledged(s *state) {
	s.job.Status.Protocol.AcknowledgedJobID, s.job.Status.Protocol.AcknowledgedNonce = s.job.Spec.CodePipelineJob.ID, s.job.Spec.CodePipelineJob.Nonce
}

func planned(s *state) { s.job.Status.Run = &v1alpha1.Run{Number: 1, JobName: "job-1"} }

func secretAge(age time.Duration) change {
	return func(s *state) {
		s.job.Status.Protocol.Secret = &v1alpha1.SecretState{JobID: s.job.Spec.CodePipelineJob.ID, RenewedAt: &metav1.Time{Time: noon.Add(-age)}}
	}
}

func secretPlanned(s *state) {
	s.job.Status.Protocol.Secret = &v1alpha1.SecretState{JobID: s.job.Spec.CodePipelineJob.ID}
}

func secretOfOther(s *state) {
	s.job.Status.Protocol.Secret = &v1alpha1.SecretState{JobID: "earlier", RenewedAt: &metav1.Time{Time: noon}}
}

func started(s *state) {
	s.job.Status.Run.JobUID = "uid"
	s.run = &batchv1.Job{}
}

func ended(s *state) {
	s.run.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	s.outcome = diagnosis.Outcome{Result: &podcontract.RunResult{}}
}

func vanished(s *state) {
	s.run = nil
	s.outcome = diagnosis.Outcome{}
}

func jobDeleting(s *state) { s.run.DeletionTimestamp = &metav1.Time{Time: noon} }

func complete(s *state) {
	setCondition(&s.job.Status, v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "")
	s.job.Status.Run.FinishedAt = &metav1.Time{Time: noon}
}

func failed(s *state) {
	setCondition(&s.job.Status, v1alpha1.ConditionFailed, metav1.ConditionTrue, v1alpha1.ReasonFailed, "")
	s.job.Status.Run.FinishedAt = &metav1.Time{Time: noon}
}

func token(s *state) {
	s.job.Status.ContinuationToken = "again"
	s.job.Status.Run.FinishedAt = &metav1.Time{Time: noon}
}

func tokenUsed(s *state) { s.job.Status.ContinuationToken = "" }

func delivered(s *state) { s.job.Status.Protocol.ReportedJobID = s.job.Spec.CodePipelineJob.ID }

func reported(s *state) {
	delivered(s)
	s.job.Settle(metav1.NewTime(noon))
}

func newNonce(s *state) {
	s.job.Spec.CodePipelineJob.Nonce = "2"
	s.job.Generation++
}

func continued(s *state) {
	s.job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "job-2", Nonce: "2", ContinuationToken: "again"}
	s.job.Generation++
}

func working(s *state) {
	acknowledged(s)
	planned(s)
	started(s)
}

// readAgo sets a progress interval of 30 seconds, and when the progress was last read.
func readAgo(ago time.Duration) change {
	return func(s *state) { s.progressEvery, s.progressRead = 30*time.Second, noon.Add(-ago) }
}

// update records unreported progress.
func update(ago time.Duration) change {
	return func(s *state) {
		s.job.Status.Protocol.Progress = &v1alpha1.ProgressReport{Updates: 1, RecordedAt: metav1.NewTime(noon.Add(-ago)), ContinuationToken: "again"}
	}
}

// updateDelivered marks the progress as reported and its job as handed out again.
func updateDelivered(s *state) { s.job.Status.Protocol.Progress.ContinuationToken = "" }

func reportingProgress(s *state) {
	call := progressCall(s.job)
	s.job.Status.Protocol.Call = &call
}

// pulls makes the run wait for an image. detail is the kubelet's message.
func pulls(detail string) change {
	return func(s *state) {
		s.outcome = diagnosis.Outcome{Waiting: &diagnosis.Waiting{Reason: v1alpha1.ReasonImagePullBackOff, Subject: "the image can't be pulled", Detail: detail}}
	}
}

func suspendedJob(s *state) {
	s.outcome = diagnosis.Outcome{Waiting: &diagnosis.Waiting{Reason: v1alpha1.ReasonSuspended, Subject: "suspended"}}
}

func runsNow(s *state) { s.outcome = diagnosis.Outcome{Working: true} }

func nothingKnown(s *state) { s.outcome = diagnosis.Outcome{} }

func waitingSaid(s *state) {
	setCondition(&s.job.Status, v1alpha1.ConditionRunning, metav1.ConditionFalse, s.outcome.Waiting.Reason, s.outcome.Waiting.Message())
}

func runningSaid(s *state) {
	setCondition(&s.job.Status, v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonJobStarted, "")
}

func recheck(in time.Duration) change { return func(s *state) { s.recheck = in } }

func closed(s *state) { s.closed = "the execution was stopped" }

func claimedAgo(ago time.Duration) change {
	return func(s *state) { s.job.Status.AcknowledgedAt = &metav1.Time{Time: noon.Add(-ago)} }
}

func continuedAgo(ago time.Duration) change {
	return func(s *state) { s.job.Status.Protocol.ContinuedAt = &metav1.Time{Time: noon.Add(-ago)} }
}

func overdueSaid(s *state) {
	setCondition(&s.job.Status, v1alpha1.ConditionReported, metav1.ConditionFalse, v1alpha1.ReasonContinuationOverdue, "")
}

func ttl(d time.Duration) change { return func(s *state) { s.ttl = &d } }

func deletedAgo(ago time.Duration) change {
	return func(s *state) { s.job.DeletionTimestamp = &metav1.Time{Time: noon.Add(-ago)} }
}

// failing makes a step fail since a while ago.
func failing(taken step, ago time.Duration) change {
	return func(s *state) {
		if s.failing == nil {
			s.failing = map[step]time.Time{}
		}
		s.failing[taken] = noon.Add(-ago)
	}
}

func silentFor(d time.Duration) change { return func(s *state) { s.silentFor = d } }

func leadingFor(d time.Duration) change { return func(s *state) { s.leadingSince = noon.Add(-d) } }

func polledAgo(ago time.Duration) change {
	return func(s *state) { s.job.Spec.CodePipelineJob.PolledAt = &metav1.Time{Time: noon.Add(-ago)} }
}

func deleting(s *state) {
	s.job.DeletionTimestamp = &metav1.Time{Time: noon}
	s.job.Generation++ // as the API server does
}

func dropped(s *state) { s.job.Settle(metav1.NewTime(noon)) }

// TestClaimThatFailsIsGivenUp has claims fail for a year.
func TestClaimThatFailsIsGivenUp(t *testing.T) {
	now := time.Now()
	for name, polled := range map[string]*metav1.Time{
		"as the poller records it":     {Time: now.AddDate(-1, 0, 0)},
		"without the time of the poll": nil,
		"polled in the future":         {Time: now.AddDate(100, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.AddDate(-1, 0, 0))}}
			job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "x", Nonce: "x", PolledAt: polled}
			next, _ := decide(state{job: job, now: now, failing: map[step]time.Time{stepAcknowledge: now.AddDate(-1, 0, 0)}})
			NewWithT(t).Expect(next).To(Equal(stepRecordClosed))
		})
	}
}
