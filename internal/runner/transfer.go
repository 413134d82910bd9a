package runner

import (
	"context"
	"errors"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/s3store"
)

// transferAttempts is how often a transfer is started.
const transferAttempts = 3

// withStore calls transfer with the handover's credentials. It calls it again with new credentials
// if they have expired, waiting up to Renewal for them, and a few times if the connection broke.
func (o Options) withStore(ctx context.Context, transfer func(*s3store.Store) error) error {
	handover, err := o.handover()
	if err != nil {
		return err
	}
	store, err := s3store.New(ctx, s3store.Options{
		Region: handover.Region, KMSKeyID: handover.EncryptionKeyID, Credentials: o.credentials(handover.Credentials), Retry: o.Retry,
	})
	if err != nil {
		return err
	}
	for attempt := 1; ; {
		err := transfer(store)
		switch {
		case errors.Is(err, s3store.ErrExpired):
			o.Log.Info("The artifact credentials have expired; waiting for new ones")
			if handover = o.renewed(ctx, handover.Credentials); handover == nil {
				return err
			}
			store.RefreshCredentials()
		case s3store.ShouldRestart(err) && attempt < transferAttempts:
			o.Log.Warn("A transfer was interrupted; restarting it", "error", err)
			if waitErr := o.Retry.Wait(ctx, attempt); waitErr != nil {
				return errors.Join(err, waitErr)
			}
			attempt++
		default:
			return err
		}
	}
}

// credentials returns a function that reads the current credentials from the handover, and falls
// back to the first ones.
func (o Options) credentials(first podcontract.Credentials) func() s3store.Credentials {
	return func() s3store.Credentials {
		if handover, err := o.handover(); err == nil {
			return s3store.Credentials(handover.Credentials)
		}
		return s3store.Credentials(first)
	}
}

func locationOf(a podcontract.Artifact) s3store.Location {
	return s3store.Location{Bucket: a.Bucket, Key: a.ObjectKey}
}

// renewed waits for a handover whose credentials differ from old. It returns nil if none arrives.
func (o Options) renewed(ctx context.Context, old podcontract.Credentials) *podcontract.Handover {
	deadline := time.NewTimer(o.Renewal)
	defer deadline.Stop()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-deadline.C:
			return nil
		case <-ticker.C:
			if handover, err := o.handover(); err == nil && handover.Credentials != old {
				return handover
			}
		}
	}
}
