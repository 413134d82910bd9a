//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// managers are two operators, one of which is the leader.
type managers struct {
	both    [2]*process
	records *records

	mu sync.Mutex
	// leads is the last process that got the lease. It is nil after that process has ended.
	leads *process
	// terms counts how often the lease was acquired.
	terms int
}

// leaseNamespace is the namespace of the operators' lease.
const leaseNamespace = "pipelinejob-system"

// Lease durations, shorter than the defaults because a hundred leaders are killed, but long enough
// to renew a lease on a busy machine.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 5 * time.Second
	retryPeriod   = 500 * time.Millisecond
)

func newManagers(dir, program, server, aws string, l *records) (*managers, error) {
	content, err := yaml.Marshal(clientcmd.Config{
		CurrentContext: "chaos",
		Contexts:       []clientcmd.NamedContext{{Name: "chaos", Context: clientcmd.Context{Cluster: "chaos"}}},
		Clusters:       []clientcmd.NamedCluster{{Name: "chaos", Cluster: clientcmd.Cluster{Server: server}}},
	})
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "operator.kubeconfig")
	if err := os.WriteFile(kubeconfig, content, 0o600); err != nil {
		return nil, err
	}
	m := &managers{records: l}
	for i := range m.both {
		p := &process{name: fmt.Sprintf("manager-%d", i+1), dir: dir, env: []string{
			"AWS_ENDPOINT_URL=" + aws, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		}}
		p.args = func() []string {
			return []string{
				program, "--kubeconfig=" + kubeconfig, "--metrics-bind-address=0", "--health-probe-bind-address=0", "--runner-image=operator:test",
				"--leader-elect", "--leader-elect-resource-namespace=" + leaseNamespace, "--leader-elect-lease-duration=" + leaseDuration.String(),
				"--leader-elect-renew-deadline=" + renewDeadline.String(), "--leader-elect-retry-period=" + retryPeriod.String(),
				"--execution-interval=5s", "--zap-log-level=debug",
			}
		}
		p.onLine = func(_ int, line string) {
			if strings.Contains(strings.ToLower(line), "successfully acquired lease") {
				m.lead(p)
			}
		}
		p.onExit = func(int) { m.exit(p) }
		m.both[i] = p
	}
	return m, nil
}

func (m *managers) start() {
	for _, p := range m.both {
		p.start()
	}
}

func (m *managers) stop() {
	for _, p := range m.both {
		p.stop()
	}
}

func (m *managers) lead(p *process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leads = p
	m.terms++
	m.records.happened("%s leads", p.name)
}

func (m *managers) exit(p *process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records.happened("%s ended", p.name)
	if m.leads == p {
		m.leads = nil
	}
}

// leader returns the leader, or nil, and the number of the term.
func (m *managers) leader() (*process, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leads, m.terms
}

// awaitLeader waits until there is a leader.
func (m *managers) awaitLeader(ctx context.Context) (leader *process, term int, err error) {
	err = until(ctx, 50*time.Millisecond, "wait for a leader", func() bool {
		leader, term = m.leader()
		return leader != nil
	})
	return leader, term, err
}

// kill kills the leader.
func (m *managers) kill(ctx context.Context) error {
	leader, _, err := m.awaitLeader(ctx)
	if err != nil {
		return err
	}
	m.records.happened("the leader %s is killed", leader.name)
	leader.signal(syscall.SIGKILL)
	return nil
}

// freeze stops the leader until a while after another one leads, and then resumes it.
func (m *managers) freeze(ctx context.Context, longer time.Duration) error {
	leader, term, err := m.awaitLeader(ctx)
	if err != nil {
		return err
	}
	m.records.happened("the leader %s is frozen", leader.name)
	leader.signal(syscall.SIGSTOP)
	defer func() {
		m.records.happened("%s thaws", leader.name)
		leader.signal(syscall.SIGCONT)
	}()
	err = until(ctx, 50*time.Millisecond, "wait for another leader", func() bool {
		_, newest := m.leader()
		return newest > term
	})
	if err == nil && !pause(ctx, longer) {
		err = context.Cause(ctx)
	}
	return err
}
