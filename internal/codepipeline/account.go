package codepipeline

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// account is that of an identity. It is asked for once.
type account struct {
	callers *sts.Client

	mu            sync.Mutex
	partition, id string
}

// Account returns the partition (such as aws) and the ID of the account that is
// called. STS's GetCallerIdentity needs no permission.
func (c *Client) Account(ctx context.Context) (partition, id string, err error) {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if c.account.id != "" {
		return c.account.partition, c.account.id, nil
	}
	out, err := call(ctx, c, "GetCallerIdentity", "find out the account", func() (*sts.GetCallerIdentityOutput, error) {
		return c.account.callers.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	})
	if err != nil {
		return "", "", err
	}
	caller, err := arn.Parse(aws.ToString(out.Arn))
	if err != nil {
		return "", "", fmt.Errorf("find out the account: %w", err)
	}
	c.account.partition, c.account.id = caller.Partition, aws.ToString(out.Account)
	return c.account.partition, c.account.id, nil
}

// ActionTypeARN is the ARN of a custom action type of this account and region,
// as IAM's service authorization reference gives it.
func (c *Client) ActionTypeARN(ctx context.Context, id ActionTypeID) (string, error) {
	partition, account, err := c.Account(ctx)
	if err != nil {
		return "", err
	}
	return arn.ARN{
		Partition: partition, Service: "codepipeline", Region: c.identity.Region, AccountID: account,
		Resource: fmt.Sprintf("actiontype:Custom/%s/%s/%s", id.Category, id.Provider, id.Version),
	}.String(), nil
}
