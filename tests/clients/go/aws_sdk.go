package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// awsClient is a client as its users make it: credentials, region and the private authority come from the environment.
func awsClient(ctx context.Context) *s3.Client {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return s3.NewFromConfig(settings, func(options *s3.Options) {
		options.BaseEndpoint = aws.String(endpoint)
		options.UsePathStyle = true
	})
}

func awsSDK(ctx context.Context) {
	client := awsClient(ctx)
	step("make a bucket", func() error {
		_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
		return err
	})
	awsObjects(ctx, client)
	awsListings(ctx, client)
	awsPresigned(ctx, client)
	awsErrors(ctx, client)
	awsTransfers(ctx, client)
	awsVirtualHost(ctx)
}

func awsGet(ctx context.Context, client *s3.Client, key string) ([]byte, *s3.GetObjectOutput, error) {
	answer, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, nil, err
	}
	body, err := all(answer.Body)
	return body, answer, err
}

func awsHolds(ctx context.Context, client *s3.Client, key string, expected []byte) error {
	body, _, err := awsGet(ctx, client, key)
	return first(err, sameBytes(body, expected))
}

// awsRefused is nil if the error is one of the service with this code and status.
func awsRefused(err error, code string, status int) error {
	if err == nil {
		return errNothingRefused
	}
	var answer *awshttp.ResponseError
	var named smithy.APIError
	if !errors.As(err, &answer) || !errors.As(err, &named) {
		return err
	}
	return first(
		same("status", answer.HTTPStatusCode(), status),
		same("code", named.ErrorCode(), code),
	)
}

func awsObjects(ctx context.Context, client *s3.Client) {
	key := "a letter.txt"
	body := content(200_001, 0)
	var tag *string

	step("put and get an object with its type, metadata and default checksum", func() error {
		put, err := client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &bucket, Key: &key, Body: bytes.NewReader(body),
			ContentType: aws.String("text/plain"), Metadata: map[string]string{"note": canary},
		})
		if err != nil {
			return err
		}
		tag = put.ETag
		found, answer, err := awsGet(ctx, client, key)
		if err != nil {
			return err
		}
		return first(
			sameBytes(found, body),
			same("type", aws.ToString(answer.ContentType), "text/plain"),
			same("metadata", answer.Metadata["note"], canary),
			same("tag", aws.ToString(answer.ETag), aws.ToString(tag)),
			same("checksum", aws.ToString(answer.ChecksumCRC32), aws.ToString(put.ChecksumCRC32)),
			same("whether there is a checksum", put.ChecksumCRC32 != nil, true),
		)
	})

	step("head an object and wait for it", func() error {
		input := &s3.HeadObjectInput{Bucket: &bucket, Key: &key}
		head, err := client.HeadObject(ctx, input)
		if err != nil {
			return err
		}
		return first(
			same("length", aws.ToInt64(head.ContentLength), int64(len(body))),
			s3.NewObjectExistsWaiter(client).Wait(ctx, input, 30*time.Second),
		)
	})

	step("read ranges", func() error {
		for text, limits := range map[string][2]int{
			"bytes=0-0":          {0, 1},
			"bytes=65530-131080": {65_530, 131_081},
			"bytes=200000-":      {200_000, 200_001},
			"bytes=-70000":       {130_001, 200_001},
		} {
			answer, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key, Range: &text})
			if err != nil {
				return err
			}
			found, err := all(answer.Body)
			span := fmt.Sprintf("bytes %d-%d/%d", limits[0], limits[1]-1, len(body))
			err = first(err, sameBytes(found, body[limits[0]:limits[1]]), same("range", aws.ToString(answer.ContentRange), span))
			if err != nil {
				return fmt.Errorf("%s: %w", text, err)
			}
		}
		_, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key, Range: aws.String("bytes=200001-")})
		return awsRefused(err, "InvalidRange", http.StatusRequestedRangeNotSatisfiable)
	})

	for _, algorithm := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		step("put and get with "+string(algorithm), func() error {
			name := "checksums/" + string(algorithm)
			_, err := client.PutObject(ctx, &s3.PutObjectInput{
				Bucket: &bucket, Key: &name, Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm,
			})
			return first(err, awsHolds(ctx, client, name, body))
		})
	}

	step("put a stream that can't be rewound, its checksum in a trailer", func() error {
		name := "stream"
		_, err := client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &bucket, Key: &name, Body: unknownLength(body), ContentLength: aws.Int64(int64(len(body))),
		})
		if _, secure := authority(); !secure {
			// The SDK sends no trailer in the clear, and says so itself.
			if err == nil || !strings.Contains(err.Error(), "unseekable stream is not supported without TLS") {
				return fmt.Errorf("expected the SDK's own refusal, found %v", err)
			}
			return nil
		}
		return first(err, awsHolds(ctx, client, name, body))
	})

	step("a wrong checksum leaves no object", func() error {
		name := "wrong"
		_, err := client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &bucket, Key: &name, Body: bytes.NewReader(body),
			ChecksumSHA256: aws.String("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
		})
		_, head := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &name})
		refused := awsRefused(err, "BadDigest", http.StatusBadRequest)
		if refused != nil {
			// MinIO's own name for it.
			refused = awsRefused(err, "XAmzContentChecksumMismatch", http.StatusBadRequest)
		}
		return first(refused, awsRefused(head, "NotFound", http.StatusNotFound))
	})

	step("conditional writes and reads", func() error {
		name := "conditional"
		put := func(text string, condition func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
			input := &s3.PutObjectInput{Bucket: &bucket, Key: &name, Body: strings.NewReader(text)}
			condition(input)
			return client.PutObject(ctx, input)
		}
		absent := func(input *s3.PutObjectInput) { input.IfNoneMatch = aws.String("*") }
		made, err := put("first", absent)
		if err != nil {
			return err
		}
		unchanged := func(input *s3.PutObjectInput) { input.IfMatch = made.ETag }
		_, again := put("second", absent)
		_, update := put("second", unchanged)
		_, stale := put("third", unchanged)
		_, known := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key, IfNoneMatch: tag})
		var answer *awshttp.ResponseError
		if !errors.As(known, &answer) || answer.HTTPStatusCode() != http.StatusNotModified {
			return fmt.Errorf("If-None-Match on GET: %v", known)
		}
		return first(
			awsRefused(again, "PreconditionFailed", http.StatusPreconditionFailed),
			update,
			awsRefused(stale, "PreconditionFailed", http.StatusPreconditionFailed),
			awsHolds(ctx, client, name, []byte("second")),
		)
	})

	step("copy", func() error {
		name := "copy"
		_, err := client.CopyObject(ctx, &s3.CopyObjectInput{
			Bucket: &bucket, Key: &name, CopySource: aws.String(bucket + "/a%20letter.txt"), CopySourceIfMatch: tag,
		})
		if err != nil {
			return err
		}
		found, answer, err := awsGet(ctx, client, name)
		return first(err, sameBytes(found, body), same("metadata", answer.Metadata["note"], canary))
	})
}

func awsListings(ctx context.Context, client *s3.Client) {
	sizes := map[string]int64{}
	step("page through a listing, with the sizes of the plaintext", func() error {
		for number := range 25 {
			name := fmt.Sprintf("pages/%02d ä+&", number)
			sizes[name] = int64(number * 5_000)
			_, err := client.PutObject(ctx, &s3.PutObjectInput{
				Bucket: &bucket, Key: &name, Body: bytes.NewReader(content(number*5_000, 0)),
			})
			if err != nil {
				return err
			}
		}
		pages, found := 0, 0
		paginator := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{
			Bucket: &bucket, Prefix: aws.String("pages/"), MaxKeys: aws.Int32(10),
		})
		for paginator.HasMorePages() {
			page, err := paginator.NextPage(ctx)
			if err != nil {
				return err
			}
			pages++
			for _, object := range page.Contents {
				found++
				size, known := sizes[aws.ToString(object.Key)]
				if !known || size != aws.ToInt64(object.Size) {
					return fmt.Errorf("%s has %d bytes, expected %d", aws.ToString(object.Key), aws.ToInt64(object.Size), size)
				}
			}
		}
		return first(same("pages", pages, 3), same("objects", found, len(sizes)))
	})

	step("delete many", func() error {
		var objects []types.ObjectIdentifier
		for name := range sizes {
			objects = append(objects, types.ObjectIdentifier{Key: aws.String(name)})
		}
		answer, err := client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &types.Delete{Objects: objects}})
		if err != nil {
			return err
		}
		left, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("pages/")})
		if err != nil {
			return err
		}
		return first(same("errors", len(answer.Errors), 0), same("deleted", len(answer.Deleted), len(sizes)), same("left", len(left.Contents), 0))
	})
}

func awsPresigned(ctx context.Context, client *s3.Client) {
	step("presigned PUT and GET", func() error {
		name, body := "presigned ü", content(100_000, 3)
		signer := s3.NewPresignClient(client)
		put, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &name, ContentType: aws.String("text/plain")})
		if err != nil {
			return err
		}
		status, answer, err := fetch(put.Method, put.URL, body, map[string]string{"Content-Type": "text/plain"})
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("PUT: %d %s %w", status, answer, err)
		}
		get, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &name})
		if err != nil {
			return err
		}
		status, answer, err = fetch(get.Method, get.URL, nil, nil)
		if err = first(err, same("status", status, http.StatusOK), sameBytes(answer, body)); err != nil {
			return err
		}
		status, answer, err = fetch(get.Method, get.URL, nil, map[string]string{"Range": "bytes=65000-66000"})
		return first(err, same("status", status, http.StatusPartialContent), sameBytes(answer, body[65_000:66_001]))
	})
}

func awsErrors(ctx context.Context, client *s3.Client) {
	step("errors have their types", func() error {
		name := "missing"
		_, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &name})
		var noSuchKey *types.NoSuchKey
		if !errors.As(err, &noSuchKey) {
			return fmt.Errorf("no NoSuchKey: %w", err)
		}
		_, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &name})
		var notFound *types.NotFound
		if !errors.As(err, &notFound) {
			return fmt.Errorf("no NotFound: %w", err)
		}
		_, err = client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket + "-missing")})
		var noSuchBucket *types.NoSuchBucket
		if !errors.As(err, &noSuchBucket) {
			return fmt.Errorf("no NoSuchBucket: %w", err)
		}
		_, err = client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &name, UploadId: aws.String("nothing")})
		var noSuchUpload *types.NoSuchUpload
		if !errors.As(err, &noSuchUpload) {
			return fmt.Errorf("no NoSuchUpload: %w", err)
		}
		return nil
	})
}
