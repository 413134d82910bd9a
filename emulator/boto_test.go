package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"

	"github.com/aws/smithy-go"
	. "github.com/onsi/gomega"
)

// boto is boto3 in a single process, because starting Python for each call would be slow.
type boto struct {
	mu     sync.Mutex // held from a request to its response
	asks   *json.Encoder
	hears  *json.Decoder
	stderr *strings.Builder
	end    func() error
}

type botoQuestion struct {
	Operation string          `json:"operation"`
	Request   json.RawMessage `json:"request"`
}

type botoAnswer struct {
	Response json.RawMessage `json:"response"`
	Error    string          `json:"error"`
	Message  string          `json:"message"`
}

// startBoto starts the process. The caller must end it.
func (w *world) startBoto(dir string) *boto {
	command := exec.CommandContext(w.ctx, "python3", "testdata/boto.py")
	command.Env = w.environment(dir)
	b := &boto{stderr: &strings.Builder{}}
	command.Stderr = b.stderr
	in, err := command.StdinPipe()
	w.Expect(err).NotTo(HaveOccurred())
	out, err := command.StdoutPipe()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(command.Start()).To(Succeed())
	b.asks, b.hears = json.NewEncoder(in), json.NewDecoder(out)
	b.end = sync.OnceValue(func() error { return endOf(command, in, b.stderr) })
	return b
}

// endOf ends the process by closing its input.
func endOf(command *exec.Cmd, in io.Closer, stderr *strings.Builder) error {
	_ = in.Close() // fails only if the process has already ended
	if err := command.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, stderr)
	}
	return nil
}

func (b *boto) makeBucket(bucket string) error {
	return b.call("CreateBucket", fmt.Sprintf(`{"Bucket": %q}`, bucket), nil)
}

func (b *boto) copyFile(file, bucket, key string) error {
	return b.call("UploadFile", fmt.Sprintf(`{"Filename": %q, "Bucket": %q, "Key": %q}`, file, bucket, key), nil)
}

func (b *boto) call(operation, request string, response any) error {
	answer, err := b.ask(botoQuestion{operation, json.RawMessage(request)})
	if err != nil {
		return fmt.Errorf("%s: %w", operation, errors.Join(err, b.end()))
	}
	if answer.Error != "" {
		return fmt.Errorf("%s: %w", operation, &smithy.GenericAPIError{Code: answer.Error, Message: answer.Message})
	}
	if response == nil {
		return nil
	}
	return json.Unmarshal(answer.Response, response)
}

func (b *boto) ask(question botoQuestion) (botoAnswer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var answer botoAnswer
	if err := b.asks.Encode(question); err != nil {
		return answer, err
	}
	return answer, b.hears.Decode(&answer)
}
