// Package identity identifies callers by access keys, STS sessions and signatures (AWS Signature
// Version 4).
package identity

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"
)

// Caller is an identity in an account.
type Caller struct {
	Account string
	// ARN and UserID are as GetCallerIdentity returns them.
	ARN, UserID string
	// Policy is the caller's session policy, or nil.
	Policy *Policy
}

// Key is what belongs to an access key ID.
type Key struct {
	// Secret is empty for a caller that is accepted without one. Its signature can't be checked.
	Secret string
	// SessionToken must be in each request, unless it is empty.
	SessionToken string
	// Expires is zero for keys that never expire.
	Expires time.Time
	Caller  Caller
}

// Keys stores the known access keys. It is safe for concurrent use.
type Keys struct {
	mu    sync.Mutex
	known map[string]Key
}

// sessionPrefix is the prefix of sessions' access keys. It distinguishes forgotten keys from
// unknown ones.
const sessionPrefix = "ASIAROLE"

// Add adds a key.
func (k *Keys) Add(accessKeyID string, key Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[string]Key{}
	}
	k.known[accessKeyID] = key
}

// Issue creates a session for a caller, and forgets expired ones.
func (k *Keys) Issue(caller Caller, now, expires time.Time) (accessKeyID string, key Key) {
	k.forget(now)
	accessKeyID = sessionPrefix + rand.Text()[:12]
	key = Key{Secret: rand.Text() + rand.Text()[:14], SessionToken: rand.Text() + rand.Text(), Expires: expires, Caller: caller}
	k.Add(accessKeyID, key)
	return accessKeyID, key
}

func (k *Keys) forget(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, key := range k.known {
		if !key.Expires.IsZero() && !now.Before(key.Expires) {
			delete(k.known, id)
		}
	}
}

// Find returns a key. For a forgotten session, it returns a key that expired long ago.
func (k *Keys) Find(accessKeyID string) (key Key, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok = k.known[accessKeyID]; ok {
		return key, true
	}
	if strings.HasPrefix(accessKeyID, sessionPrefix) {
		return Key{Expires: time.Unix(0, 0)}, true
	}
	return Key{}, false
}
