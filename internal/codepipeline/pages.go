package codepipeline

import (
	"context"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
)

// maxPages is more than any list that the operator reads needs: 50 action types per region, 50
// tags, and the action executions of a pipeline execution, with 100 per page. Without a bound, a
// repeated token would result in an endless loop.
const maxPages = 50

// pager is a paginator of the SDK.
type pager[Page any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*sdk.Options)) (Page, error)
}

// eachPage reads a list page by page, until enough returns true.
func eachPage[Page any](ctx context.Context, c *Client, operation, doing string, pages pager[Page], enough func(Page) bool) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeouts.Listing)
	defer cancel()
	for range maxPages {
		if !pages.HasMorePages() {
			return nil
		}
		page, err := call(ctx, c, operation, doing, func() (Page, error) { return pages.NextPage(ctx) })
		if err != nil || enough(page) {
			return err
		}
	}
	return fmt.Errorf("%s: %w", doing, &CallError{Operation: operation, Kind: Unclear, Message: fmt.Sprintf("the list has more than %d pages", maxPages)})
}
