package codepipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ListedActionType is a custom action type as ListActionTypes returns it. A field that was not in
// the response is nil or empty. Published responses have no types of properties and leave out
// queryable if it is false. The SDK's types can't distinguish missing fields from zero values.
type ListedActionType struct {
	ID       ActionTypeID `json:"id"`
	Settings Settings     `json:"settings"`
	// Properties is nil if the response had no list, and empty if the list was empty.
	Properties []ListedProperty `json:"actionConfigurationProperties"`
	Inputs     ListedBounds     `json:"inputArtifactDetails"`
	Outputs    ListedBounds     `json:"outputArtifactDetails"`
}

// ListedProperty is a configuration property of a ListedActionType.
type ListedProperty struct {
	Name        string `json:"name"`
	Required    *bool  `json:"required"`
	Key         *bool  `json:"key"`
	Secret      *bool  `json:"secret"`
	Queryable   *bool  `json:"queryable"`
	Description string `json:"description"`
	Type        string `json:"type"`
}

// ListedBounds are the bounds of the number of artifacts of a ListedActionType.
type ListedBounds struct {
	Minimum *int32 `json:"minimumCount"`
	Maximum *int32 `json:"maximumCount"`
}

// listedPages are the pages of ListActionTypes, parsed from the response bodies.
type listedPages struct{ *sdk.ListActionTypesPaginator }

// NextPage returns the action types of the next page.
func (p listedPages) NextPage(ctx context.Context, options ...func(*sdk.Options)) ([]ListedActionType, error) {
	var body bytes.Buffer
	if _, err := p.ListActionTypesPaginator.NextPage(ctx, append(options, sdk.WithAPIOptions(keepBody(&body)))...); err != nil {
		return nil, err
	}
	var page struct {
		ActionTypes []ListedActionType `json:"actionTypes"`
	}
	if err := json.Unmarshal(body.Bytes(), &page); err != nil {
		return nil, fmt.Errorf("read the list of action types: %w", err)
	}
	return page.ActionTypes, nil
}

// keepBody copies the body of a response while the SDK reads it.
func keepBody(kept *bytes.Buffer) func(*middleware.Stack) error {
	keep := func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if answer, ok := out.RawResponse.(*smithyhttp.Response); ok && answer.Body != nil {
			kept.Reset()
			answer.Body = copiedBody{io.TeeReader(answer.Body, kept), answer.Body}
		}
		return out, metadata, err
	}
	return func(stack *middleware.Stack) error { // last, so next to the connection, where nothing has read the body yet
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("KeepBody", keep), middleware.After)
	}
}

type copiedBody struct {
	io.Reader
	io.Closer
}
