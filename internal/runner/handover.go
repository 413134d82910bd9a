package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// handover reads the handover. It returns nil if the job has no artifacts.
func (o Options) handover() (*podcontract.Handover, error) {
	if o.Handover == "" {
		return nil, nil
	}
	content, err := o.readHandover()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errHandoverGone
	}
	if err != nil {
		return nil, fmt.Errorf("read the handover: %w", err)
	}
	var handover podcontract.Handover
	if err := json.Unmarshal(content, &handover); err != nil {
		// Don't wrap the decoder's error: it may quote the content, which has credentials.
		return nil, errors.New("read the handover: it is not valid JSON")
	}
	for _, given := range slices.Concat(handover.InputArtifacts, handover.OutputArtifacts) {
		if !artifactName.MatchString(given.Name) {
			return nil, fmt.Errorf("read the handover: an artifact has the name %.100q, which can't be that of a folder", given.Name)
		}
	}
	return &handover, nil
}

// readHandover tries again if the file is missing: its path has a symbolic link, and the kubelet
// may just have replaced the target.
func (o Options) readHandover() ([]byte, error) {
	content, err := os.ReadFile(o.Handover)
	if errors.Is(err, fs.ErrNotExist) {
		return os.ReadFile(o.Handover)
	}
	return content, err
}

// artifactName matches the artifact names that CodePipeline's API model allows. No other names are
// accepted, because Fetch empties the folder of this name.
var artifactName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,100}$`)

var errHandoverGone = errors.New("the handover is gone: the PipelineJob was deleted, or has ended already")
