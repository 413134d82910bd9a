package integration

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// listedWith puts a proxy between the operator and AWS that changes each action type in responses
// of ListActionTypes.
func (w *world) listedWith(change func(actionType map[string]any)) {
	aws, err := url.Parse(w.AWS.URL())
	w.Expect(err).NotTo(HaveOccurred())
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(aws) },
		ModifyResponse: func(answer *http.Response) error {
			if !strings.HasSuffix(answer.Request.Header.Get("X-Amz-Target"), ".ListActionTypes") || answer.StatusCode != http.StatusOK {
				return nil
			}
			return changeActionTypes(answer, change)
		},
	}
	server := httptest.NewServer(proxy)
	w.T.Cleanup(server.Close)
	w.Endpoint = server.URL
}

func changeActionTypes(answer *http.Response, change func(map[string]any)) error {
	var page map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		return err
	}
	for _, actionType := range page["actionTypes"].([]any) {
		change(actionType.(map[string]any))
	}
	text, err := json.Marshal(page)
	answer.Body = io.NopCloser(bytes.NewReader(text))
	answer.ContentLength = int64(len(text))
	answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return err
}

// eachProperty changes the properties of an action type.
func eachProperty(change func(property map[string]any)) func(map[string]any) {
	return func(actionType map[string]any) {
		for _, property := range actionType["actionConfigurationProperties"].([]any) {
			change(property.(map[string]any))
		}
	}
}

// numberProperty defines a required property Retries of type Number.
func numberProperty(action *v1alpha1.CustomAction) {
	action.Spec.ActionType.ConfigurationProperties = []v1alpha1.ConfigurationProperty{
		{Name: "Retries", Required: true, Type: "Number", Description: "How often"},
		{Name: "Dry", Type: "Boolean", Queryable: ptr.To(false)},
	}
	action.Spec.ActionType.Settings = &v1alpha1.ActionTypeSettings{EntityURLTemplate: "https://ci.example.com/{Config:Retries}"}
}

// TestWhatIsNotListedMatches: CodePipeline's list leaves out fields of a type that the operator has
// registered and compares again.
func TestWhatIsNotListedMatches(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"the type of properties": eachProperty(func(p map[string]any) { delete(p, "type") }),
		"a queryable that is false, and descriptions": eachProperty(func(p map[string]any) {
			delete(p, "queryable")
			delete(p, "description")
		}),
		"all settings": func(a map[string]any) { a["settings"] = map[string]any{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.listedWith(change)
			stop := w.operate()
			w.Expect(w.Kube.Create(w.Ctx, w.Action(numberProperty))).To(Succeed())
			w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
			stop()
			before := w.Calls("ListActionTypes")
			w.operate()
			w.Await(func(g Gomega) { g.Expect(w.Calls("ListActionTypes")).To(BeNumerically(">", before)) })
			polls := w.Calls("PollForJobs")
			w.Await(func(g Gomega) { g.Expect(w.Calls("PollForJobs")).To(BeNumerically(">", polls+1)) })
			w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
			w.Expect(w.Calls("CreateCustomActionType")).To(Equal(1))
		})
	}
}

// TestWhatIsListedMustMatch: CodePipeline's list has other values, and the message names the
// fields.
func TestWhatIsListedMustMatch(t *testing.T) {
	w := newWorld(t)
	registered := w.Action(numberProperty)
	w.listedWith(eachProperty(func(p map[string]any) { p["type"], p["secret"] = "String", true }))
	stop := w.operate()
	w.Expect(w.Kube.Create(w.Ctx, registered)).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.Calls("CreateCustomActionType")).To(Equal(1)) })
	stop()
	w.operate()
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonDefinitionConflict)).To(ContainSubstring(
		"it differs in configurationProperties[Dry].secret, configurationProperties[Dry].type, " +
			"configurationProperties[Retries].secret, configurationProperties[Retries].type: use the next version"))
}
