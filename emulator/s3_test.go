package emulator

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	. "github.com/onsi/gomega"
)

func (w *world) put(client *s3.Client, bucket, key, content string) {
	_, err := client.PutObject(w.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)})
	w.Expect(err).NotTo(HaveOccurred())
}

// read returns an object, or the error code.
func (w *world) read(client *s3.Client, bucket, key string) (content, code string) {
	response, err := client.GetObject(w.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return "", codeOf(err)
	}
	defer func() { w.Expect(response.Body.Close()).To(Succeed()) }()
	all, err := io.ReadAll(response.Body)
	w.Expect(err).NotTo(HaveOccurred())
	return string(all), ""
}

func (w *world) readPlace(client *s3.Client, a types.Artifact) (content, code string) {
	return w.read(client, *a.Location.S3Location.BucketName, *a.Location.S3Location.ObjectKey)
}

// upload uploads a job's output as the service requires it.
func (w *world) upload(client *s3.Client, a types.Artifact, content string, adjust ...func(*s3.PutObjectInput)) error {
	place := a.Location.S3Location
	input := &s3.PutObjectInput{Bucket: place.BucketName, Key: place.ObjectKey, Body: strings.NewReader(content), ServerSideEncryption: s3types.ServerSideEncryptionAwsKms}
	for _, change := range adjust {
		change(input)
	}
	_, err := client.PutObject(w.ctx, input)
	return err
}

func TestObjects(t *testing.T) {
	w := newWorld(t)
	keys := []string{"a", "dir/b c+ü", "x//y", "x/../z"}
	for _, key := range keys {
		w.put(w.s3, "sources", key, "content of "+key)
		content, code := w.read(w.s3, "sources", key)
		w.Expect(code).To(BeEmpty())
		w.Expect(content).To(Equal("content of " + key))
	}
	list, err := w.s3.ListObjectsV2(w.ctx, &s3.ListObjectsV2Input{Bucket: aws.String("sources")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.Contents).To(HaveLen(len(keys)))
	head, err := w.s3.HeadObject(w.ctx, &s3.HeadObjectInput{Bucket: aws.String("sources"), Key: aws.String("a")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(*head.ContentLength).To(BeEquivalentTo(len("content of a")))
	part, err := w.s3.GetObject(w.ctx, &s3.GetObjectInput{Bucket: aws.String("sources"), Key: aws.String("a"), Range: aws.String("bytes=8-9")})
	w.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(part.Body)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(string(content)).To(Equal("of"))
	_, err = w.s3.DeleteObject(w.ctx, &s3.DeleteObjectInput{Bucket: aws.String("sources"), Key: aws.String("a")})
	w.Expect(err).NotTo(HaveOccurred())
	_, code := w.read(w.s3, "sources", "a")
	w.Expect(code).To(Equal("NoSuchKey"))
	_, code = w.read(w.s3, "nowhere", "a")
	w.Expect(code).To(Equal("NoSuchBucket"))
	_, err = w.s3.GetObjectTagging(w.ctx, &s3.GetObjectTaggingInput{Bucket: aws.String("sources"), Key: aws.String("x//y")})
	w.expectCode(err, "NotImplemented")
}

func TestEmptyObject(t *testing.T) {
	w := newWorld(t)
	w.put(w.s3, "sources", "empty", "")
	content, code := w.read(w.s3, "sources", "empty")
	w.Expect(content + code).To(BeEmpty())
}

func TestMultipartUpload(t *testing.T) {
	w := newWorld(t)
	bucket, key := aws.String("artifacts"), aws.String("big")
	upload, err := w.s3.CreateMultipartUpload(w.ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key, ServerSideEncryption: s3types.ServerSideEncryptionAwsKms, SSEKMSKeyId: aws.String("key-1")})
	w.Expect(err).NotTo(HaveOccurred())
	var done []s3types.CompletedPart
	contents := []string{strings.Repeat("a", 5<<20), "end"}
	for i, content := range contents {
		part, err := w.s3.UploadPart(w.ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: upload.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: strings.NewReader(content)})
		w.Expect(err).NotTo(HaveOccurred())
		done = append(done, s3types.CompletedPart{ETag: part.ETag, PartNumber: aws.Int32(int32(i + 1))})
	}
	_, err = w.s3.CompleteMultipartUpload(w.ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: upload.UploadId, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: done}})
	w.Expect(err).NotTo(HaveOccurred())
	content, _ := w.read(w.s3, *bucket, *key)
	w.Expect(content == strings.Join(contents, "")).To(BeTrue())
	head, err := w.s3.HeadObject(w.ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(head.ServerSideEncryption).To(Equal(s3types.ServerSideEncryptionAwsKms))
	w.Expect(*head.SSEKMSKeyId).To(Equal("key-1"))
}

// TestTrailingChecksum sends the checksum after the content, as SDKs do over TLS.
func TestTrailingChecksum(t *testing.T) {
	w := newWorld(t)
	body := "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"
	request, err := http.NewRequestWithContext(w.ctx, http.MethodPut, w.emulator.URL()+"/sources/trailing", bytes.NewBufferString(body))
	w.Expect(err).NotTo(HaveOccurred())
	for name, value := range map[string]string{
		"Authorization":                "AWS4-HMAC-SHA256 Credential=AKIATEST/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
		"X-Amz-Content-Sha256":         "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
		"X-Amz-Decoded-Content-Length": "11", "Content-Encoding": "aws-chunked", "X-Amz-Trailer": "x-amz-checksum-crc32",
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(response.Body.Close()).To(Succeed())
	w.Expect(response.StatusCode).To(Equal(http.StatusOK))
	content, _ := w.read(w.s3, "sources", "trailing")
	w.Expect(content).To(Equal("hello world"))
}

func TestUnsignedRequestIsDenied(t *testing.T) {
	w := newWorld(t)
	w.put(w.s3, "sources", "a", "x")
	_, code := w.read(w.s3With(aws.AnonymousCredentials{}), "sources", "a")
	w.Expect(code).To(Equal("AccessDenied"))
}

func TestJobCredentialsAreForItsArtifactsOnly(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.put(w.s3, "artifacts", "other", "x")
	j := w.claim(types.ActionCategoryBuild)
	client := w.s3Of(j.Data)
	input, output := j.Data.InputArtifacts[0], j.Data.OutputArtifacts[0]
	content, code := w.readPlace(client, input)
	w.Expect(code).To(BeEmpty())
	w.Expect(content).To(Equal("source bytes"))
	_, code = w.read(client, "artifacts", "other")
	w.Expect(code).To(Equal("AccessDenied"))
	_, err := client.ListObjectsV2(w.ctx, &s3.ListObjectsV2Input{Bucket: aws.String("artifacts")})
	w.expectCode(err, "AccessDenied")
	w.expectCode(w.upload(client, input, "x"), "AccessDenied")
	place := output.Location.S3Location
	_, err = client.CopyObject(w.ctx, &s3.CopyObjectInput{
		Bucket: place.BucketName, Key: place.ObjectKey, CopySource: aws.String("artifacts/other"), ServerSideEncryption: s3types.ServerSideEncryptionAwsKms,
	})
	w.expectCode(err, "AccessDenied")
	_, err = client.DeleteObject(w.ctx, &s3.DeleteObjectInput{Bucket: aws.String("artifacts"), Key: aws.String("other")})
	w.expectCode(err, "AccessDenied")
	w.Expect(w.upload(client, output, "made")).To(Succeed())

	c := j.Data.ArtifactCredentials
	tokenless := w.s3With(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, ""))
	_, code = w.readPlace(tokenless, input)
	w.Expect(code).To(Equal("InvalidToken"))
	w.clock.Step(15*time.Minute + 1)
	_, code = w.readPlace(client, input)
	w.Expect(code).To(Equal("ExpiredToken"))
	w.expectCode(w.upload(client, output, "late"), "ExpiredToken")
	w.poll(types.ActionCategoryTest) // makes the engine forget the credentials
	_, code = w.readPlace(client, input)
	w.Expect(code).To(Equal("ExpiredToken"))
}

func TestUploadsMustAskForTheKey(t *testing.T) {
	none := func(i *s3.PutObjectInput) { i.ServerSideEncryption = "" }
	aes := func(i *s3.PutObjectInput) { i.ServerSideEncryption = s3types.ServerSideEncryptionAes256 }
	key := func(i *s3.PutObjectInput) { i.SSEKMSKeyId = aws.String("key-1") }
	other := func(i *s3.PutObjectInput) { i.SSEKMSKeyId = aws.String("key-2") }
	kms := func(*s3.PutObjectInput) {}
	withKey := func(d *types.PipelineDeclaration) {
		d.ArtifactStore.EncryptionKey = &types.EncryptionKey{Id: aws.String("key-1"), Type: types.EncryptionKeyTypeKms}
	}
	withoutKey := func(*types.PipelineDeclaration) {}
	cases := map[string]struct {
		pipeline  func(*types.PipelineDeclaration)
		good, bad []func(*s3.PutObjectInput)
	}{
		"a pipeline's key": {withKey, []func(*s3.PutObjectInput){key}, []func(*s3.PutObjectInput){none, aes, other, kms}},
		"AWS's key":        {withoutKey, []func(*s3.PutObjectInput){kms}, []func(*s3.PutObjectInput){none, aes, key}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.begin(c.pipeline)
			j := w.claim(types.ActionCategoryBuild)
			client, output := w.s3Of(j.Data), j.Data.OutputArtifacts[0]
			for _, bad := range c.bad {
				w.expectCode(w.upload(client, output, "x", bad), "AccessDenied")
			}
			_, code := w.readPlace(w.s3, output)
			w.Expect(code).To(Equal("NoSuchKey"))
			for _, good := range c.good {
				w.Expect(w.upload(client, output, "x", good)).To(Succeed())
			}
		})
	}
}
