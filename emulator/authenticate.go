package emulator

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/objects"
)

// Names of the services in signatures.
const (
	ServiceCodePipeline = "codepipeline"
	ServiceS3           = "s3"
	ServiceSTS          = "sts"
	ServiceSQS          = "sqs"
)

// caller is the sender of a request and its region.
type caller struct {
	identity.Caller
	region string
	// grant is what a job's credentials allow. It is nil for all other callers.
	grant *objects.Grant
}

func (c caller) regionID() regionID { return regionID{c.Account, c.region} }

// authenticate returns the caller of a service, even if it refuses the request. payload is as in
// identity.Signature.Check.
func (e *Emulator) authenticate(r *http.Request, service, payload string) (caller, *identity.Refusal) {
	signature, refusal := identity.Read(r)
	who := caller{region: cmp.Or(signature.Region, e.options.Region)}
	if refusal != nil {
		who.Caller = e.defaultUser()
		if e.options.NoSignatures {
			refusal = nil
		}
		return who, refusal
	}
	key, ok := e.keyOf(signature.AccessKeyID, &who)
	who.Caller = key.Caller
	switch {
	case e.options.NoSignatures:
		return who, nil
	case !ok:
		return who, &identity.Refusal{Reason: identity.Unknown, Message: "The security token included in the request is invalid"}
	case signature.Service != service:
		return who, &identity.Refusal{Reason: identity.Mismatch, Message: fmt.Sprintf("Credential should be scoped to correct service: '%s'", service)}
	}
	return who, signature.Check(r, payload, key, e.clock.Now(), time.Now())
}

// keyOf finds a configured key, a session or a job's credentials. Any other key is
// accepted unless keys are configured.
func (e *Emulator) keyOf(accessKeyID string, who *caller) (key identity.Key, ok bool) {
	if key, ok := e.keys.Find(accessKeyID); ok {
		return key, true
	}
	if at, grant, ok := e.grantOf(accessKeyID); ok {
		who.grant = &objects.Grant{Read: grant.Read, Write: grant.Write, KeyID: grant.KeyID}
		return identity.Key{Secret: grant.SecretAccessKey, SessionToken: grant.SessionToken, Expires: grant.Expires, Caller: worker(at)}, true
	}
	return identity.Key{Caller: e.defaultUser()}, len(e.options.Credentials) == 0
}

// defaultUser returns the caller for keys that are not configured.
func (e *Emulator) defaultUser() identity.Caller { return user(e.options.AccountID) }

func user(account string) identity.Caller {
	return identity.Caller{Account: account, ARN: fmt.Sprintf("arn:aws:iam::%s:user/emulator", account), UserID: "EMULATOR"}
}

// worker returns the caller that uses a job's artifact credentials.
func worker(at regionID) identity.Caller {
	return identity.Caller{Account: at.account, ARN: fmt.Sprintf("arn:aws:sts::%s:assumed-role/codepipeline/job", at.account), UserID: "AROACODEPIPELINE:job"}
}

// codes are the error codes of refusals, by service.
var codes = map[string]map[identity.Reason]string{
	ServiceCodePipeline: {
		identity.Missing:    "MissingAuthenticationTokenException",
		identity.Malformed:  "IncompleteSignatureException",
		identity.Unknown:    "UnrecognizedClientException",
		identity.Expired:    "ExpiredTokenException",
		identity.WrongToken: "UnrecognizedClientException",
		identity.Skewed:     "InvalidSignatureException",
		identity.Mismatch:   "InvalidSignatureException",
	},
	ServiceSQS: {
		identity.Missing:    "MissingAuthenticationToken",
		identity.Malformed:  "IncompleteSignature",
		identity.Unknown:    "InvalidClientTokenId",
		identity.Expired:    "ExpiredToken",
		identity.WrongToken: "InvalidClientTokenId",
		identity.Skewed:     "SignatureDoesNotMatch",
		identity.Mismatch:   "SignatureDoesNotMatch",
	},
	ServiceS3: {
		identity.Missing:     "AccessDenied",
		identity.Malformed:   "AuthorizationHeaderMalformed",
		identity.Unknown:     "InvalidAccessKeyId",
		identity.Expired:     "ExpiredToken",
		identity.WrongToken:  "InvalidToken",
		identity.Skewed:      "RequestTimeTooSkewed",
		identity.Mismatch:    "SignatureDoesNotMatch",
		identity.Unsupported: "InvalidRequest",
	},
	ServiceSTS: {
		identity.Missing:    "MissingAuthenticationToken",
		identity.Malformed:  "IncompleteSignature",
		identity.Unknown:    "InvalidClientTokenId",
		identity.Expired:    "ExpiredToken",
		identity.WrongToken: "InvalidClientTokenId",
		identity.Skewed:     "SignatureDoesNotMatch",
		identity.Mismatch:   "SignatureDoesNotMatch",
	},
}
