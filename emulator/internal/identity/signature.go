package identity

import (
	"cmp"
	"context"
	"crypto/hmac"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Signature is the signature of a request.
type Signature struct {
	AccessKeyID string
	// Region and Service are from the signature's scope. Only S3 accepts version 2, which has no
	// scope.
	Region, Service string

	date      string // of the scope, like 20060102
	time      string // of the request, like 20060102T150405Z
	headers   []string
	value     string
	presigned bool
	version2  bool
}

// Reason is why a signature is not accepted.
type Reason int

// The reasons.
const (
	// Missing: there is no signature.
	Missing Reason = iota + 1
	// Malformed: the signature can't be read.
	Malformed
	// Unknown: the access key does not exist.
	Unknown
	// Expired: the session has expired.
	Expired
	// WrongToken: the session token is missing or wrong.
	WrongToken
	// Skewed: the request was signed too long ago, or in the future.
	Skewed
	// Unsupported: the signature has version 2, which is not checked.
	Unsupported
	// Mismatch: the signature does not match the key's secret and the request.
	Mismatch
)

// Refusal is why a request is not accepted.
type Refusal struct {
	Reason  Reason
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// maxSkew is how far AWS allows a caller's clock to be off.
const maxSkew = 5 * time.Minute

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
)

var (
	scopePattern = regexp.MustCompile(`^([A-Za-z0-9_]{1,128})/([0-9]{8})/([a-z0-9-]{2,30})/([a-z0-9-]+)/aws4_request$`)
	fieldPattern = regexp.MustCompile(`(Credential|SignedHeaders|Signature)=([^,\s]+)`)
)

// Read parses the signature in a request's header or, for a presigned URL, its query. The Refusal
// is Missing or Malformed.
func Read(r *http.Request) (Signature, *Refusal) {
	query := r.URL.Query()
	header := r.Header.Get("Authorization")
	switch {
	case strings.HasPrefix(header, algorithm+" "):
		fields := map[string]string{}
		for _, match := range fieldPattern.FindAllStringSubmatch(header, -1) {
			fields[match[1]] = match[2]
		}
		return parse(fields["Credential"], fields["SignedHeaders"], fields["Signature"], r.Header.Get("X-Amz-Date"), false)
	case query.Get("X-Amz-Algorithm") == algorithm:
		return parse(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature"), query.Get("X-Amz-Date"), true)
	case query.Get("AWSAccessKeyId") != "": // the AWS CLI still presigns S3 URLs with version 2
		return Signature{AccessKeyID: query.Get("AWSAccessKeyId"), Service: "s3", version2: true}, nil
	case header != "":
		return Signature{}, &Refusal{Malformed, "Authorization header requires the algorithm " + algorithm}
	default:
		return Signature{}, &Refusal{Missing, "Missing Authentication Token"}
	}
}

func parse(credential, headers, value, signed string, presigned bool) (Signature, *Refusal) {
	scope := scopePattern.FindStringSubmatch(credential)
	if scope == nil {
		return Signature{}, &Refusal{Malformed, "The signature's Credential must be ACCESS-KEY/DATE/REGION/SERVICE/aws4_request"}
	}
	return Signature{
		AccessKeyID: scope[1], date: scope[2], Region: scope[3], Service: scope[4],
		headers: strings.Split(strings.ToLower(headers), ";"), value: value, time: signed, presigned: presigned,
	}, nil
}

// Check checks a request against a caller's key. payload is the hexadecimal SHA-256 of the body, or
// its replacement in the header X-Amz-Content-Sha256. expiry is the current time for the expiry of
// sessions, and now the current time for the request's signature.
func (s Signature) Check(r *http.Request, payload string, key Key, expiry, now time.Time) *Refusal {
	if !key.Expires.IsZero() && !expiry.Before(key.Expires) {
		return &Refusal{Expired, "The security token included in the request is expired"}
	}
	query := r.URL.Query()
	token := cmp.Or(r.Header.Get("X-Amz-Security-Token"), query.Get("X-Amz-Security-Token"), query.Get("x-amz-security-token"))
	if key.SessionToken != "" && token != key.SessionToken {
		return &Refusal{WrongToken, "The security token included in the request is invalid"}
	}
	if key.Secret == "" {
		return nil
	}
	if s.version2 {
		return &Refusal{Unsupported, "The authorization mechanism you have provided is not supported. Please use " + algorithm + "."}
	}
	signed, refusal := s.checkTime(r, now)
	if refusal != nil {
		return refusal
	}
	expected, err := s.expected(r, payload, aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: key.Secret, SessionToken: token}, signed)
	if err != nil || !hmac.Equal([]byte(expected), []byte(s.value)) {
		return &Refusal{Mismatch, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."}
	}
	return nil
}

// checkTime returns when the request was signed, and checks that the signature is currently valid.
func (s Signature) checkTime(r *http.Request, now time.Time) (time.Time, *Refusal) {
	signed, err := time.Parse(timeFormat, s.time)
	if err != nil || signed.Format("20060102") != s.date {
		return signed, &Refusal{Malformed, "X-Amz-Date must be there, as YYYYMMDD'T'HHMMSS'Z', on the day of the signature's Credential"}
	}
	until := signed.Add(maxSkew)
	if s.presigned {
		seconds, err := strconv.Atoi(r.URL.Query().Get("X-Amz-Expires"))
		if err != nil || seconds < 1 || seconds > 604800 {
			return signed, &Refusal{Malformed, "X-Amz-Expires must be a number of seconds, of a week at most"}
		}
		until = signed.Add(time.Duration(seconds) * time.Second)
	}
	if now.After(until) {
		return signed, &Refusal{Skewed, fmt.Sprintf("Signature expired: %s is now earlier than %s", s.time, now.Add(-until.Sub(signed)).UTC().Format(timeFormat))}
	}
	if signed.After(now.Add(maxSkew)) {
		return signed, &Refusal{Skewed, fmt.Sprintf("Signature not yet current: %s is still later than %s", s.time, now.Add(maxSkew).UTC().Format(timeFormat))}
	}
	return signed, nil
}

// expected returns the signature of the SDK's signer for the request.
func (s Signature) expected(r *http.Request, payload string, credentials aws.Credentials, signed time.Time) (string, error) {
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = s.Service == "s3" })
	again := s.bare(r)
	if !s.presigned {
		err := signer.SignHTTP(context.Background(), credentials, again, payload, s.Service, s.Region, signed)
		_, value, _ := strings.Cut(again.Header.Get("Authorization"), "Signature=")
		return value, err
	}
	query := again.URL.Query()
	query.Del("X-Amz-Signature")
	again.URL.RawQuery = query.Encode()
	link, _, err := signer.PresignHTTP(context.Background(), credentials, again, payload, s.Service, s.Region, signed)
	_, value, _ := strings.Cut(link, "X-Amz-Signature=")
	value, _, _ = strings.Cut(value, "&")
	return value, err
}

// bare returns the request with only the signed headers.
func (s Signature) bare(r *http.Request) *http.Request {
	again := r.Clone(context.Background())
	again.Header, again.ContentLength, again.Body = http.Header{}, 0, nil
	for name, values := range r.Header {
		if slices.Contains(s.headers, strings.ToLower(name)) && name != "Content-Length" {
			again.Header[name] = values
		}
	}
	if slices.Contains(s.headers, "content-length") {
		again.ContentLength = r.ContentLength
	}
	return again
}
