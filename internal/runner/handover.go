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

// handover reads the handover. It returns nil if the job moves no artifacts.
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
		// The decoder's error may quote the content, which holds credentials.
		return nil, errors.New("read the handover: it is not valid JSON")
	}
	for _, given := range slices.Concat(handover.InputArtifacts, handover.OutputArtifacts) {
		if !artifactName.MatchString(given.Name) {
			return nil, fmt.Errorf("read the handover: an artifact has the name %.100q, which can't be that of a folder", given.Name)
		}
	}
	return &handover, nil
}

// readHandover reads the file again if it is missing: it is reached through a
// symbolic link, and the kubelet may just have removed the old target.
func (o Options) readHandover() ([]byte, error) {
	content, err := os.ReadFile(o.Handover)
	if errors.Is(err, fs.ErrNotExist) {
		return os.ReadFile(o.Handover)
	}
	return content, err
}

// artifactName matches the names that the CodePipeline model allows for artifacts.
// The name becomes that of a folder, which is emptied: nothing else is allowed.
var artifactName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,100}$`)

var errHandoverGone = errors.New("the handover is gone: the PipelineJob was deleted, or has ended already")
