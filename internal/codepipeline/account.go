package codepipeline

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"golang.org/x/sync/singleflight"
)

// account is the account of an identity. It is requested until it is known.
type account struct {
	callers *sts.Client
	asking  singleflight.Group
	known   atomic.Pointer[accountID]
}

type accountID struct{ partition, id string }

// Account returns the partition (such as aws) and the ID of the account of the client's identity.
// It uses STS's GetCallerIdentity, which requires no permission.
func (c *Client) Account(ctx context.Context) (partition, id string, err error) {
	known := c.account.known.Load()
	if known == nil {
		known, err = once(ctx, &c.account.asking, c.timeouts.Call, c.askAccount)
	}
	if err != nil {
		return "", "", err
	}
	return known.partition, known.id, nil
}

// AskAccount requests the account ID from AWS, even if it is already known.
func (c *Client) AskAccount(ctx context.Context) (id string, err error) {
	found, err := once(ctx, &c.account.asking, c.timeouts.Call, c.askAccount)
	if err != nil {
		return "", err
	}
	return found.id, nil
}

func (c *Client) askAccount(ctx context.Context) (*accountID, error) {
	const doing = "get the account"
	out, err := call(ctx, c, "GetCallerIdentity", doing, func() (*sts.GetCallerIdentityOutput, error) {
		return c.account.callers.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	})
	if err != nil {
		return nil, err
	}
	caller, err := arn.Parse(aws.ToString(out.Arn))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	found := &accountID{caller.Partition, aws.ToString(out.Account)}
	c.account.known.Store(found)
	return found, nil
}

// ActionTypeARN returns the ARN of a custom action type in this account and region, in the form of
// IAM's service authorization reference.
func (c *Client) ActionTypeARN(ctx context.Context, id ActionTypeID) (string, error) {
	partition, account, err := c.Account(ctx)
	if err != nil {
		return "", err
	}
	return arnOfType(partition, c.identity.Region, account, id).String(), nil
}

func arnOfType(partition, region, account string, id ActionTypeID) arn.ARN {
	return arn.ARN{
		Partition: partition, Service: "codepipeline", Region: region, AccountID: account,
		Resource: fmt.Sprintf("actiontype:Custom/%s/%s/%s", id.Category, id.Provider, id.Version),
	}
}

// IsActionTypeARN reports whether a text is the ARN of a custom action type of a region and an
// account, in any partition.
func IsActionTypeARN(text, region, account string, id ActionTypeID) bool {
	parsed, err := arn.Parse(text)
	return err == nil && parsed == arnOfType(parsed.Partition, region, account, id)
}
