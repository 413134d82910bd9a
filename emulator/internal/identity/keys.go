// Package identity knows who calls: access keys, the sessions that STS gives,
// and the signatures (AWS Signature Version 4) that are made with them.
package identity

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"
)

// Caller is an identity of an account.
type Caller struct {
	Account string
	// ARN and UserID are as GetCallerIdentity returns them.
	ARN, UserID string
	// Policy is that of the caller's session; nil if it has none.
	Policy *Policy
}

// Key is what belongs to an access key ID.
type Key struct {
	// Secret is empty for a caller that is accepted without it: the signature can't
	// be checked.
	Secret string
	// SessionToken must come with each request, unless it is empty.
	SessionToken string
	// Expires is zero for keys that never do.
	Expires time.Time
	Caller  Caller
}

// Keys stores the known access keys. It is safe for concurrent use.
type Keys struct {
	mu    sync.Mutex
	known map[string]Key
}

// sessionPrefix begins the access keys of sessions, so that a forgotten
// one can be told from an unknown one.
const sessionPrefix = "ASIAROLE"

// Add makes a key known.
func (k *Keys) Add(accessKeyID string, key Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[string]Key{}
	}
	k.known[accessKeyID] = key
}

// Issue makes a session for a caller, and forgets those that are over.
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

// Find looks a key up. A session that was forgotten is found as one that has
// expired long ago.
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
