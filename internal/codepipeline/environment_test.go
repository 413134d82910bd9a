package codepipeline

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
)

// TestVariablesOfTheEnvironmentAreNotQuoted: the SDK quotes invalid variables, which may have
// passwords. They must not get into the conditions of every CustomAction.
func TestVariablesOfTheEnvironmentAreNotQuoted(t *testing.T) {
	const about = "AWS_ENDPOINT_URL"
	for _, c := range []struct{ name, value, says string }{
		{"AWS_ENDPOINT_URL", "http://user:hun%ter2@gateway.example.com", about},
		{"AWS_ENDPOINT_URL", "http://user:hun ter2@gateway.example.com", about},
		{"AWS_ENDPOINT_URL", "hunter2:x@gateway.example.com:80x", "unsupported protocol scheme"},
		{"AWS_ENDPOINT_URL_CODEPIPELINE", "http://user:hun%ter2@gateway.example.com", about},
		{"AWS_RETRY_MODE", "hunter2", "AWS_RETRY_MODE"},
		{"AWS_MAX_ATTEMPTS", "hunter2", "AWS_MAX_ATTEMPTS"},
		{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "hunter2", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"},
		{"AWS_USE_FIPS_ENDPOINT", "hunter2", "AWS_USE_FIPS_ENDPOINT"},
		{"AWS_USE_DUALSTACK_ENDPOINT", "hunter2", "AWS_USE_DUALSTACK_ENDPOINT"},
		{"AWS_ENABLE_ENDPOINT_DISCOVERY", "hunter2", "AWS_ENABLE_ENDPOINT_DISCOVERY"},
		{"AWS_ACCOUNT_ID_ENDPOINT_MODE", "hunter2", "AWS_ACCOUNT_ID_ENDPOINT_MODE"},
		{"AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", "hunter2", "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES"},
		{"AWS_REQUEST_CHECKSUM_CALCULATION", "hunter2", "AWS_REQUEST_CHECKSUM_CALCULATION"},
		{"AWS_RESPONSE_CHECKSUM_VALIDATION", "hunter2", "AWS_RESPONSE_CHECKSUM_VALIDATION"},
		{"AWS_DISABLE_REQUEST_COMPRESSION", "hunter2", "AWS_DISABLE_REQUEST_COMPRESSION"},
		{"AWS_DEFAULTS_MODE", "hunter2", "AWS_DEFAULTS_MODE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewWithT(t)
			t.Setenv("AWS_ACCESS_KEY_ID", "a")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
			t.Setenv(c.name, c.value)
			client, err := NewClients(ClientsOptions{}).For(context.Background(), Identity{Region: "eu-west-1"})
			if err == nil {
				_, err = client.FindActionType(context.Background(), ActionTypeID{Category: "Build", Provider: "p", Version: "1"})
			}
			g.Expect(err).To(HaveOccurred())
			for _, told := range []string{err.Error(), StableText(err)} {
				g.Expect(told).To(ContainSubstring(c.says))
				g.Expect(told).NotTo(ContainSubstring("ter2"))
			}
		})
	}
}
