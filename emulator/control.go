package emulator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// controlHandler serves the emulator's own API below /_emulator/. Errors are JSON with a message.
func (e *Emulator) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /_emulator/journal", e.getJournal)
	mux.HandleFunc("DELETE /_emulator/journal", func(w http.ResponseWriter, _ *http.Request) {
		e.ClearJournal()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) { e.writeFaults(w, http.StatusOK) })
	mux.HandleFunc("POST /_emulator/faults", e.postFault)
	mux.HandleFunc("DELETE /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		e.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_emulator/clock", func(w http.ResponseWriter, _ *http.Request) { e.writeClock(w) })
	mux.HandleFunc("POST /_emulator/clock", e.postClock)
	return mux
}

// getJournal lists the calls. The query parameters operation, service, account and region select
// calls.
func (e *Emulator) getJournal(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	chosen := []Call{}
	for _, call := range e.Journal() {
		has := map[string]string{"operation": call.Operation, "service": call.Service, "account": call.AccountID, "region": call.Region}
		matches := true
		for name, value := range has {
			matches = matches && cmp.Or(query.Get(name), value) == value
		}
		if matches {
			chosen = append(chosen, call)
		}
	}
	writeControl(w, http.StatusOK, chosen)
}

// faultForm is a Fault in JSON.
type faultForm struct {
	Operation   string    `json:"operation"`
	AccountID   string    `json:"accountId,omitempty"`
	Region      string    `json:"region,omitempty"`
	Kind        FaultKind `json:"kind"`
	Code        string    `json:"code,omitempty"`
	Status      int       `json:"status,omitempty"`
	Delay       string    `json:"delay,omitempty"`
	Times       int       `json:"times,omitempty"`
	Probability float64   `json:"probability,omitempty"`
}

// MarshalJSON encodes a fault in the form of the emulator's own API, with a Delay such as "1.5s".
func (f Fault) MarshalJSON() ([]byte, error) {
	form := faultForm{f.Operation, f.AccountID, f.Region, f.Kind, f.Code, f.Status, "", f.Times, f.Probability}
	if f.Delay > 0 {
		form.Delay = f.Delay.String()
	}
	return json.Marshal(form)
}

// UnmarshalJSON decodes the form of MarshalJSON. Unknown members are errors.
func (f *Fault) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var form faultForm
	if err := decoder.Decode(&form); err != nil {
		return err
	}
	var late time.Duration
	if form.Delay != "" {
		var err error
		if late, err = time.ParseDuration(form.Delay); err != nil {
			return fmt.Errorf("delay: %q must be a duration such as 1.5s", form.Delay)
		}
	}
	*f = Fault{form.Operation, form.AccountID, form.Region, form.Kind, form.Code, form.Status, late, form.Times, form.Probability}
	return nil
}

func (e *Emulator) postFault(w http.ResponseWriter, r *http.Request) {
	var fault Fault
	err := readControl(w, r, &fault)
	if err == nil {
		err = e.Inject(fault)
	}
	if err != nil {
		refuseControl(w, err)
		return
	}
	e.writeFaults(w, http.StatusCreated)
}

// writeFaults responds with the pending faults.
func (e *Emulator) writeFaults(w http.ResponseWriter, status int) {
	waiting := e.Faults()
	if waiting == nil {
		waiting = []Fault{} // an empty list, not null
	}
	writeControl(w, status, waiting)
}

func (e *Emulator) postClock(w http.ResponseWriter, r *http.Request) {
	var form struct {
		Advance string `json:"advance"`
	}
	err := readControl(w, r, &form)
	var by time.Duration
	if err == nil {
		if by, err = time.ParseDuration(form.Advance); err != nil || by < 0 {
			err = fmt.Errorf("advance: %q must be a duration such as 15m, not a negative one", form.Advance)
		}
	}
	if err != nil {
		refuseControl(w, err)
		return
	}
	e.Advance(by)
	e.writeClock(w)
}

func (e *Emulator) writeClock(w http.ResponseWriter) {
	writeControl(w, http.StatusOK, map[string]time.Time{"now": e.Now()})
}

func readControl(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the body must be JSON: %w", err)
	}
	return nil
}

func refuseControl(w http.ResponseWriter, err error) {
	writeControl(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
}

func writeControl(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(content) // fails only if the client is gone
}
