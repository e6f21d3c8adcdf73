package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// minioClient is a client as its users make it. What `more` does is the step's own matter.
func minioClient(more func(*minio.Options)) (*minio.Client, error) {
	address, secure := authority()
	options := &minio.Options{Creds: credentials.NewEnvAWS(), Secure: secure, Region: region}
	host := address.Host
	if more != nil {
		more(options)
		host = baseDomain + ":" + address.Port()
	}
	return minio.New(host, options)
}

func minioGo(ctx context.Context) {
	client, err := minioClient(nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	step("make a bucket", func() error {
		exists, err := client.BucketExists(ctx, bucket)
		return first(err, same("whether it exists", exists, false), client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: region}))
	})
	minioObjects(ctx, client)
	minioLarge(ctx, client)
	minioListings(ctx, client)
	minioPresigned(ctx, client)
	minioErrors(ctx, client)
	minioTrailers(ctx)
}

func minioHolds(ctx context.Context, client *minio.Client, key string, expected []byte) error {
	object, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	found, err := all(object)
	return first(err, sameBytes(found, expected))
}

func minioRefused(err error, code string, status int) error {
	if err == nil {
		return errNothingRefused
	}
	answer := minio.ToErrorResponse(err)
	return first(same("code", answer.Code, code), same("status", answer.StatusCode, status))
}

func minioObjects(ctx context.Context, client *minio.Client) {
	key, body := "a letter ü+.txt", content(200_001, 0)

	step("put, stat and get an object", func() error {
		put, err := client.PutObject(ctx, bucket, key, bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{
			ContentType: "text/plain", UserMetadata: map[string]string{"Note": canary}, UserTags: map[string]string{"project": "blue"},
		})
		if err != nil {
			return err
		}
		stat, err := client.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
		if err != nil {
			return err
		}
		tags, err := client.GetObjectTagging(ctx, bucket, key, minio.GetObjectTaggingOptions{})
		if err != nil {
			return err
		}
		return first(
			same("size", stat.Size, int64(len(body))),
			same("tag", stat.ETag, put.ETag),
			same("type", stat.ContentType, "text/plain"),
			same("metadata", stat.UserMetadata["Note"], canary),
			same("tags", tags.ToMap()["project"], "blue"),
			minioHolds(ctx, client, key, body),
		)
	})

	step("seek and read at positions", func() error {
		object, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer object.Close()
		middle, tail := make([]byte, 70_000), make([]byte, 11)
		_, err = object.ReadAt(middle, 65_530)
		if err = first(err, sameBytes(middle, body[65_530:135_530])); err != nil {
			return err
		}
		if _, err = object.Seek(-11, io.SeekEnd); err != nil {
			return err
		}
		_, err = io.ReadFull(object, tail)
		return first(err, sameBytes(tail, body[len(body)-11:]))
	})

	step("read ranges", func() error {
		options := minio.GetObjectOptions{}
		if err := options.SetRange(131_000, 140_000); err != nil {
			return err
		}
		object, err := client.GetObject(ctx, bucket, key, options)
		if err != nil {
			return err
		}
		found, err := all(object)
		return first(err, sameBytes(found, body[131_000:140_001]))
	})

	step("conditional writes", func() error {
		absent := minio.PutObjectOptions{}
		absent.SetMatchETagExcept("*")
		made, err := client.PutObject(ctx, bucket, "conditional", bytes.NewReader(body[:5]), 5, absent)
		if err != nil {
			return err
		}
		_, again := client.PutObject(ctx, bucket, "conditional", bytes.NewReader(body[:6]), 6, absent)
		unchanged := minio.PutObjectOptions{}
		unchanged.SetMatchETag(made.ETag)
		_, update := client.PutObject(ctx, bucket, "conditional", bytes.NewReader(body[:7]), 7, unchanged)
		_, stale := client.PutObject(ctx, bucket, "conditional", bytes.NewReader(body[:8]), 8, unchanged)
		return first(
			minioRefused(again, "PreconditionFailed", http.StatusPreconditionFailed),
			update,
			minioRefused(stale, "PreconditionFailed", http.StatusPreconditionFailed),
			minioHolds(ctx, client, "conditional", body[:7]),
		)
	})

	step("copy, with the metadata and with other metadata", func() error {
		source := minio.CopySrcOptions{Bucket: bucket, Object: key}
		_, err := client.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "copy"}, source)
		if err != nil {
			return err
		}
		_, err = client.CopyObject(ctx, minio.CopyDestOptions{
			Bucket: bucket, Object: "other copy", ReplaceMetadata: true, UserMetadata: map[string]string{"other": canary},
		}, source)
		if err != nil {
			return err
		}
		copied, err := client.StatObject(ctx, bucket, "copy", minio.StatObjectOptions{})
		other, otherErr := client.StatObject(ctx, bucket, "other copy", minio.StatObjectOptions{})
		return first(
			err, otherErr,
			same("metadata", copied.UserMetadata["Note"], canary),
			same("other metadata", other.UserMetadata["Other"], canary),
			minioHolds(ctx, client, "copy", body),
			minioHolds(ctx, client, "other copy", body),
		)
	})
}

func minioLarge(ctx context.Context, client *minio.Client) {
	body := content(17*mib+123, 0)

	step("put a stream of unknown length", func() error {
		options := minio.PutObjectOptions{PartSize: 5 * mib, UserMetadata: map[string]string{"note": canary}}
		put, err := client.PutObject(ctx, bucket, "unknown length", unknownLength(body), -1, options)
		return first(err, same("size", put.Size, int64(len(body))), minioHolds(ctx, client, "unknown length", body))
	})

	step("put a stream in parts at once", func() error {
		options := minio.PutObjectOptions{PartSize: 5 * mib, ConcurrentStreamParts: true, NumThreads: 3}
		_, err := client.PutObject(ctx, bucket, "at once", unknownLength(body), int64(len(body)), options)
		return first(err, minioHolds(ctx, client, "at once", body))
	})

	step("put and get files", func() error {
		err := os.WriteFile("up", body, 0o600)
		if err != nil {
			return err
		}
		_, err = client.FPutObject(ctx, bucket, "file", "up", minio.PutObjectOptions{PartSize: 6 * mib})
		if err != nil {
			return err
		}
		down := filepath.Join("folder", "down")
		err = client.FGetObject(ctx, bucket, "file", down, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		found, err := os.ReadFile(down)
		return first(err, sameBytes(found, body))
	})

	step("compose an object of others", func() error {
		sources := []minio.CopySrcOptions{
			{Bucket: bucket, Object: "file", MatchRange: true, Start: 5, End: 6*mib + 4},
			{Bucket: bucket, Object: "copy"},
		}
		_, err := client.ComposeObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "composed"}, sources...)
		return first(err, minioHolds(ctx, client, "composed", append(bytes.Clone(body[5:6*mib+5]), content(200_001, 0)...)))
	})

	step("a broken upload is found and removed", func() error {
		source := failingReader{bytes.NewReader(body)}
		_, err := client.PutObject(ctx, bucket, "broken", source, -1, minio.PutObjectOptions{PartSize: 5 * mib})
		if !errors.Is(err, errBroken) {
			return fmt.Errorf("expected the source's error, found %w", err)
		}
		_, err = client.StatObject(ctx, bucket, "broken", minio.StatObjectOptions{})
		if err = minioRefused(err, "NoSuchKey", http.StatusNotFound); err != nil {
			return err
		}
		// One that nobody ended, as after a crash.
		core := minio.Core{Client: client}
		_, err = core.NewMultipartUpload(ctx, bucket, "incomplete", minio.PutObjectOptions{})
		if err != nil {
			return err
		}
		found := 0
		for upload := range client.ListIncompleteUploads(ctx, bucket, "incomplete", true) {
			if upload.Err != nil {
				return upload.Err
			}
			found++
		}
		return first(same("incomplete uploads", found, 1), client.RemoveIncompleteUpload(ctx, bucket, "incomplete"))
	})
}

func minioListings(ctx context.Context, client *minio.Client) {
	step("list by channel, with the sizes of the plaintext, and remove what is listed", func() error {
		for number := range 25 {
			length := number * 5_000
			name := fmt.Sprintf("pages/%02d ü+&", number)
			_, err := client.PutObject(ctx, bucket, name, bytes.NewReader(content(length, 0)), int64(length), minio.PutObjectOptions{})
			if err != nil {
				return err
			}
		}
		number := 0
		for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: "pages/", MaxKeys: 10}) {
			err := first(
				object.Err,
				same("key", object.Key, fmt.Sprintf("pages/%02d ü+&", number)),
				same("size", object.Size, int64(number*5_000)),
			)
			if err != nil {
				return err
			}
			number++
		}
		if err := same("objects", number, 25); err != nil {
			return err
		}
		listing := client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: "pages/"})
		for failure := range client.RemoveObjects(ctx, bucket, listing, minio.RemoveObjectsOptions{}) {
			return failure.Err
		}
		for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: "pages/"}) {
			return fmt.Errorf("%s is left: %w", object.Key, object.Err)
		}
		return client.RemoveObject(ctx, bucket, "conditional", minio.RemoveObjectOptions{})
	})
}

func minioPresigned(ctx context.Context, client *minio.Client) {
	step("presigned PUT and GET", func() error {
		body := content(100_000, 3)
		put, err := client.PresignedPutObject(ctx, bucket, "presigned", time.Minute)
		if err != nil {
			return err
		}
		status, answer, err := fetch(http.MethodPut, put.String(), body, nil)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("PUT: %d %s %w", status, answer, err)
		}
		get, err := client.PresignedGetObject(ctx, bucket, "presigned", time.Minute, url.Values{"response-content-type": {"text/x"}})
		if err != nil {
			return err
		}
		status, answer, err = fetch(http.MethodGet, get.String(), nil, map[string]string{"Range": "bytes=65000-66000"})
		return first(err, same("status", status, http.StatusPartialContent), sameBytes(answer, body[65_000:66_001]))
	})
}

func minioErrors(ctx context.Context, client *minio.Client) {
	step("errors have their codes", func() error {
		_, err := client.StatObject(ctx, bucket, "missing", minio.StatObjectOptions{})
		object, getErr := client.GetObject(ctx, bucket, "missing", minio.GetObjectOptions{})
		if getErr == nil {
			_, getErr = all(object)
		}
		_, bucketErr := client.PutObject(ctx, bucket+"-missing", "key", bytes.NewReader(nil), 0, minio.PutObjectOptions{})
		return first(
			minioRefused(err, "NoSuchKey", http.StatusNotFound),
			minioRefused(getErr, "NoSuchKey", http.StatusNotFound),
			minioRefused(bucketErr, "NoSuchBucket", http.StatusNotFound),
		)
	})
}

// minioTrailers is a client that sends checksums in trailers and names buckets in the host, both settings of its own.
func minioTrailers(ctx context.Context) {
	step("trailing checksums, and virtual-host style", func() error {
		client, err := minioClient(func(options *minio.Options) {
			options.TrailingHeaders = true
			options.BucketLookup = minio.BucketLookupDNS
			options.Transport = resolved()
		})
		if err != nil {
			return err
		}
		body := content(12*mib, 5)
		for _, checksum := range []minio.ChecksumType{minio.ChecksumCRC32C, minio.ChecksumSHA256, minio.ChecksumFullObjectCRC32, minio.ChecksumCRC64NVME} {
			for name, part := range map[string][]byte{"small": body[:100_000], "large": body} {
				key := fmt.Sprintf("trailers/%s %s", name, checksum)
				options := minio.PutObjectOptions{Checksum: checksum, PartSize: 5 * mib}
				_, err := client.PutObject(ctx, bucket, key, bytes.NewReader(part), int64(len(part)), options)
				if err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
				read := minio.GetObjectOptions{Checksum: true}
				object, err := client.GetObject(ctx, bucket, key, read)
				if err != nil {
					return err
				}
				found, err := all(object)
				if err = first(err, sameBytes(found, part)); err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
			}
		}
		return nil
	})
}
