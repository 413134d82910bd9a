// Package queues stores SQS standard queues.
package queues

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS's own checksum of bodies
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// DefaultVisibility is how long a received message is invisible to other receivers by default.
	DefaultVisibility = 30 * time.Second
	// retention is how long a message is kept (MessageRetentionPeriod's default).
	retention = 4 * 24 * time.Hour
	// maxMessages is how many messages a queue keeps. Older ones are dropped. The service has no
	// such limit.
	maxMessages = 100_000
)

// Name identifies a queue.
type Name struct{ Account, Region, Queue string }

// Message is a received message.
type Message struct {
	ID, Body, MD5 string
	// Receipt is the handle of this receipt of the message.
	Receipt string
	// Receives counts its receipts.
	Receives int
	Sent     time.Time
}

type message struct {
	Message
	visible time.Time // when the message can be received (again)
}

// Clock returns the time.
type Clock interface{ Now() time.Time }

// Store has the queues of all accounts and regions. It is safe for concurrent use.
type Store struct {
	clock Clock

	mu     sync.Mutex
	queues map[Name][]*message
	// changed is closed and replaced when a message arrives.
	changed chan struct{}
	closed  bool
}

// New returns a store without queues.
func New(clock Clock) *Store {
	return &Store{clock: clock, queues: map[Name][]*message{}, changed: make(chan struct{})}
}

// Close wakes all waiting receivers.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wakeReceivers()
}

// wakeReceivers wakes the waiting receivers. The caller holds the lock.
func (s *Store) wakeReceivers() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Create creates a queue, unless it exists.
func (s *Store) Create(name Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.queues[name]; !ok {
		s.queues[name] = []*message{}
	}
}

// Exists reports whether a queue exists.
func (s *Store) Exists(name Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.queues[name]
	return ok
}

// Send sends a message to a queue, which it creates if it does not exist.
func (s *Store) Send(name Name, body string) Message {
	sum := md5.Sum([]byte(body)) //nolint:gosec // as above
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	sent := &message{Message: Message{ID: uuid.NewString(), Body: body, MD5: hex.EncodeToString(sum[:]), Sent: now}, visible: now}
	kept := append(s.unexpired(name), sent)
	s.queues[name] = kept[max(0, len(kept)-maxMessages):]
	s.wakeReceivers()
	return sent.Message
}

// unexpired returns the messages of a queue within the retention. The caller holds
// the lock.
func (s *Store) unexpired(name Name) []*message {
	return slices.DeleteFunc(s.queues[name], func(m *message) bool { return s.clock.Now().Sub(m.Sent) > retention })
}

// Receive receives up to count messages. It waits at most for the duration wait, in real time, for
// the first one. Each is invisible to other receivers for the duration visibility.
func (s *Store) Receive(ctx context.Context, name Name, count int, visibility, wait time.Duration) []Message {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		received, changed, closed := s.take(name, count, visibility)
		if len(received) > 0 || wait == 0 || closed {
			return received
		}
		select {
		case <-changed:
		case <-deadline.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Store) take(name Name, count int, visibility time.Duration) ([]Message, <-chan struct{}, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.queues[name] = s.unexpired(name)
	var received []Message
	for _, m := range s.queues[name] {
		if len(received) == count {
			break
		}
		if now.Before(m.visible) {
			continue
		}
		m.visible, m.Receipt = now.Add(visibility), uuid.NewString()
		m.Receives++
		received = append(received, m.Message)
	}
	return received, s.changed, s.closed
}

// Delete removes the message with the receipt. As in the service, it is not an error if the message
// is already gone.
func (s *Store) Delete(name Name, receipt string) error {
	if _, err := uuid.Parse(receipt); err != nil {
		return fmt.Errorf("the input receipt handle is invalid")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[name] = slices.DeleteFunc(s.queues[name], func(m *message) bool { return m.Receipt == receipt })
	return nil
}

// Hide makes a received message invisible for the duration d from now.
func (s *Store) Hide(name Name, receipt string, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.queues[name] {
		if m.Receipt == receipt && receipt != "" {
			m.visible = s.clock.Now().Add(d)
			s.wakeReceivers()
			return nil
		}
	}
	return fmt.Errorf("the input receipt handle is invalid")
}

// Purge drops all messages of a queue.
func (s *Store) Purge(name Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[name] = []*message{}
}

// Count returns the numbers of visible and invisible messages.
func (s *Store) Count(name Name) (visible, hidden int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	for _, m := range s.unexpired(name) {
		if now.Before(m.visible) {
			hidden++
			continue
		}
		visible++
	}
	return visible, hidden
}
