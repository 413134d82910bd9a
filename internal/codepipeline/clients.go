package codepipeline

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Identity is the identity and the region of calls to CodePipeline.
type Identity struct {
	Region string
	// RoleARN is the role to assume, if it is not empty.
	RoleARN string
	// ExternalID for RoleARN, which is not assumed without it.
	ExternalID string
	// SessionName is the name of the role's session, as returned by the function SessionName. Empty
	// means defaultSessionName.
	SessionName string
	// MayRegister reports whether the role's session may create, delete and tag action types.
	//
	// Without RoleARN, MayRegister and SessionName have no effect: the operator's own credentials
	// are used unchanged.
	MayRegister bool
}

// defaultSessionName is the session name for calls without a namespace.
const defaultSessionName = "pipelinejob-operator"

// meant returns an identity with only the fields that have an effect, so that equal identities
// share a Client.
func (i Identity) meant() Identity {
	if i.RoleARN != "" {
		return i
	}
	return Identity{Region: i.Region}
}

// Account returns the account of the role, or an empty string for the operator's own identity.
func (i Identity) Account() string {
	if parts := strings.Split(i.RoleARN, ":"); len(parts) > 4 { // arn:aws:iam::ACCOUNT:role/NAME
		return parts[4]
	}
	return ""
}

// Clients creates and keeps one Client for each Identity. It is safe for
// concurrent use.
type Clients struct {
	options     ClientsOptions
	environment environment

	mu   sync.Mutex
	kept map[Identity]*keptClient
}

// LoadOption configures AWS clients, in addition to the environment and shared files.
type LoadOption = func(*config.LoadOptions) error

// ClientsOptions are the same for all clients.
type ClientsOptions struct {
	// AllowedRoles are patterns of the roles that may be assumed: * matches any characters, and ? a
	// single one. Empty means all roles.
	AllowedRoles []string
	// Observe is called for each call that was sent, with its operation, duration and error. It may
	// be nil.
	Observe func(id Identity, operation string, took time.Duration, err error)
	// Timeouts limit the calls. Zero values mean defaultTimeouts.
	Timeouts Timeouts
}

// NewClients returns Clients with the SDK's configuration from the environment and shared files.
// Load options take precedence.
func NewClients(o ClientsOptions, load ...LoadOption) *Clients {
	o.Timeouts = o.Timeouts.complete()
	return &Clients{
		options: o, environment: environment{load: load, timeouts: o.Timeouts},
		kept: map[Identity]*keptClient{},
	}
}

// Config returns the configuration for a client of another service in a region. If region is empty,
// it is the environment's. Calls end within the timeouts, and connections and the operator's own
// credentials are shared with all Clients.
func (c *Clients) Config(ctx context.Context, region string, t Timeouts) (aws.Config, error) {
	return c.environment.config(ctx, region, t.complete())
}

// For returns the Client of an identity. It makes no call, so wrong credentials only fail the first
// call. If the role may not be assumed, the error is a *RoleNotAllowedError, or a
// *NoExternalIDError if the identity has no external ID.
func (c *Clients) For(ctx context.Context, id Identity) (*Client, error) {
	if err := c.refusal(id); err != nil {
		return nil, &NotSentError{Kind: AccessDenied, Err: err}
	}
	id = id.meant()
	if client, ok := c.known(id); ok {
		return client, nil
	}
	// Don't hold the lock while the configuration is loaded.
	cfg, err := c.Config(ctx, id.Region, c.options.Timeouts)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.kept[id]; ok {
		return known.Client, nil
	}
	c.evict(time.Now())
	client := c.newClient(cfg, id)
	c.kept[id] = &keptClient{client, time.Now()}
	return client, nil
}

// keptClient is a Client with the time of its last use.
type keptClient struct {
	*Client
	used time.Time
}

// Clients are dropped after idleLife without use. If there are mostKept, the least recently used
// one is dropped, because users who may create objects can name any region and role.
const (
	idleLife = time.Hour
	mostKept = 4000
)

// evict removes clients until there is room for another one. The caller holds the lock.
func (c *Clients) evict(now time.Time) {
	maps.DeleteFunc(c.kept, func(_ Identity, kept *keptClient) bool { return now.Sub(kept.used) > idleLife })
	if len(c.kept) < mostKept {
		return
	}
	oldest, first := Identity{}, time.Time{}
	for id, kept := range c.kept {
		if first.IsZero() || kept.used.Before(first) {
			oldest, first = id, kept.used
		}
	}
	delete(c.kept, oldest)
}

func (c *Clients) known(id Identity) (*Client, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.kept[id]
	if !ok {
		return nil, false
	}
	known.used = time.Now()
	return known.Client, true
}

func (c *Clients) observed(id Identity, operation string, took time.Duration, err error) {
	if c.options.Observe != nil {
		c.options.Observe(id, operation, took, err)
	}
}

// refusal returns why the role of an identity is not assumed, or nil.
func (c *Clients) refusal(id Identity) error {
	switch {
	case id.RoleARN == "":
		return nil
	case !c.mayAssume(id.RoleARN):
		return &RoleNotAllowedError{id.RoleARN, c.options.AllowedRoles}
	case id.ExternalID == "":
		return &NoExternalIDError{id.RoleARN}
	default:
		return nil
	}
}

func (c *Clients) mayAssume(role string) bool {
	return len(c.options.AllowedRoles) == 0 || slices.ContainsFunc(c.options.AllowedRoles, func(pattern string) bool { return matches(pattern, role) })
}

// matches supports * and ? as in IAM: any characters, including slashes, and a single character.
func matches(pattern, text string) bool {
	quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(`^(?s:` + quoted + `)$`).MatchString(text)
}

// newClient makes no call. The caller holds the lock.
func (c *Clients) newClient(cfg aws.Config, id Identity) *Client {
	if id.RoleARN != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), id.RoleARN,
			func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = cmp.Or(id.SessionName, defaultSessionName)
				o.ExternalID = aws.String(id.ExternalID)
				o.Policy = aws.String(id.SessionPolicy())
			}))
	}
	own := identityCredentials{identity: id, provider: cfg.Credentials, within: c.options.Timeouts.Call}
	cfg.Credentials = own
	once := cfg.Copy()
	once.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return &Client{
		api:         sdk.NewFromConfig(once, sdk.WithAPIOptions(onlyFromAWS)),
		credentials: own,
		timeouts:    c.options.Timeouts,
		identity:    id,
		account:     account{callers: sts.NewFromConfig(cfg)},
		observe:     c.observed,
	}
}
