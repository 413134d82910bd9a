package emulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Server serves an Emulator on a TCP port.
type Server struct {
	*Emulator
	url  string
	http *http.Server
}

// Start returns a server that listens on address, such as "127.0.0.1:4566", or "127.0.0.1:0" for a
// free port. The caller must close it. Errors are those of New and of listening.
func Start(address string, options Options) (*Server, error) {
	e, err := New(options)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	s := &Server{
		Emulator: e, url: "http://" + listener.Addr().String(),
		http: &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second},
	}
	go func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			e.log.Error("Stopped serving", "error", err)
		}
	}()
	return s, nil
}

// TB is the part of testing.TB that StartT uses.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, arguments ...any)
	Fatalf(format string, arguments ...any)
}

// StartT returns a server that listens on a free loopback port until the test t ends. The test
// fails immediately if the server can't start.
func StartT(t TB, options Options) *Server {
	t.Helper()
	s, err := Start("127.0.0.1:0", options)
	if err != nil {
		t.Fatalf("start the emulator: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stop the emulator: %v", err)
		}
	})
	return s
}

// URL returns the address of the server, such as "http://127.0.0.1:4566".
func (s *Server) URL() string { return s.url }

// AWSConfig returns a configuration with which AWS SDK clients call the server: its URL,
// Options.Region, and the first of Options.Credentials or, if there are none, any key.
func (s *Server) AWSConfig() aws.Config {
	key := Credential{AccessKeyID: "emulator", SecretAccessKey: "emulator"}
	if len(s.options.Credentials) > 0 {
		key = s.options.Credentials[0]
	}
	return aws.Config{
		Region: s.options.Region, BaseEndpoint: aws.String(s.url),
		Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""),
	}
}

// closeTimeout is how long Close waits for requests in progress.
const closeTimeout = time.Second

// Close stops listening and ends waiting requests, as Emulator.Close does. It waits one second for
// other requests, and then breaks their connections. It may be called more than once.
func (s *Server) Close() error {
	s.Emulator.Close()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}
