package blob_test

import (
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/engine/blob"
)

func TestCredentialsAreTakenOutOfTexts(t *testing.T) {
	const canary = "hunter2CANARY"
	for _, text := range []string{
		`Get "https://bucket.s3.amazonaws.com/k?X-Amz-Signature=` + canary + `&x=1": dial tcp: no route`,
		`azblob://acc/c?sig=` + canary,
		"https://user:" + canary + "@host/path",
		"ftp://" + canary + "@host",
		"DefaultEndpointsProtocol=https;AccountName=x;AccountKey=" + canary + "==;EndpointSuffix=core",
		"Authorization: Bearer " + canary,
		"authorization: AWS4-HMAC-SHA256 " + canary,
		"Authorization: SharedKey acc:" + canary,
		`{"access_token":"` + canary + `","x":1}`,
		`{\"client_secret\":\"` + canary + `\"}`,
		"aws_secret_access_key = " + canary,
		"AWS_SESSION_TOKEN=" + canary,
		"password=" + canary,
		"api-key: " + canary,
		"bearer " + canary + "abcdef",
		"-----BEGIN EC PRIVATE KEY-----\n" + canary + "\n-----END EC PRIVATE KEY-----",
		"-----BEGIN PRIVATE KEY-----\n" + canary,
		"https://host/path#" + canary,
	} {
		if got := blob.Redact(text); strings.Contains(got, canary) || !strings.Contains(got, "[redacted]") {
			t.Errorf("%q became %q", text, got)
		}
	}
	for _, text := range []string{
		`blob (key "recurringExchanges/rx/exchanges/2024-01-31/a.signature") (code=NotFound): no such file`,
		"dial tcp 10.0.0.1:443: connect: connection refused",
		"https://storage.googleapis.com/bucket/key: 503 backend error",
		"",
	} {
		if got := blob.Redact(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("https://u:p@h/?a=b token=x")
	f.Fuzz(func(t *testing.T, text string) {
		if got := blob.Redact("before " + text + " https://u:CANARY7f3a@host/k?sig=CANARY7f3a"); strings.Contains(got, "CANARY7f3a@") {
			t.Errorf("%q", got)
		}
	})
}
