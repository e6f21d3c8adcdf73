package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// failingReader breaks after some bytes, as a source does whose disk or connection goes away.
type failingReader struct{ io.Reader }

var errBroken = errors.New("the source broke")

func (r failingReader) Read(into []byte) (int, error) {
	read, err := r.Reader.Read(into)
	if err == io.EOF {
		err = errBroken
	}
	return read, err
}

// awsTransfers is what most programs call: the upload and download managers, the established one and its successor.
func awsTransfers(ctx context.Context, client *s3.Client) {
	body := content(17*mib+123, 0)

	step("manager: upload in parts at once, download by ranges at once", func() error {
		key := "large"
		uploader := manager.NewUploader(client, func(uploader *manager.Uploader) { uploader.Concurrency = 4 })
		uploaded, err := uploader.Upload(ctx, &s3.PutObjectInput{
			Bucket: &bucket, Key: &key, Body: unknownLength(body), Metadata: map[string]string{"note": canary},
		})
		if err != nil {
			return err
		}
		address, _ := authority()
		if !strings.Contains(uploaded.Location, address.Host) {
			return fmt.Errorf("the location is %s", uploaded.Location)
		}
		into := manager.NewWriteAtBuffer(nil)
		length, err := manager.NewDownloader(client).Download(ctx, into, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		return first(err, same("length", length, int64(len(body))), sameBytes(into.Bytes(), body))
	})

	step("manager: an upload whose source breaks leaves nothing", func() error {
		key := "broken"
		source := failingReader{bytes.NewReader(body)}
		_, err := manager.NewUploader(client).Upload(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: source})
		if !errors.Is(err, errBroken) {
			return fmt.Errorf("expected the source's error, found %w", err)
		}
		_, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
		open, listing := client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &bucket})
		if listing != nil {
			return listing
		}
		return first(awsRefused(err, "NotFound", 404), same("open uploads", len(open.Uploads), 0))
	})

	step("transfermanager: upload and download", func() error {
		transfers := transfermanager.New(client, func(options *transfermanager.Options) { options.PartSizeBytes = 5 * mib })
		for _, key := range []string{"transfer/large", "transfer/small"} {
			part := body
			if key == "transfer/small" {
				part = body[:1000]
			}
			_, err := transfers.UploadObject(ctx, &transfermanager.UploadObjectInput{
				Bucket: &bucket, Key: &key, Body: unknownLength(part), Metadata: map[string]string{"note": canary},
			})
			if err != nil {
				return err
			}
			streamed, err := transfers.GetObject(ctx, &transfermanager.GetObjectInput{Bucket: &bucket, Key: &key})
			if err != nil {
				return err
			}
			found, err := io.ReadAll(streamed.Body)
			into := manager.NewWriteAtBuffer(nil)
			_, download := transfers.DownloadObject(ctx, &transfermanager.DownloadObjectInput{Bucket: &bucket, Key: &key, WriterAt: into})
			if err = first(err, sameBytes(found, part), download, sameBytes(into.Bytes(), part)); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		return nil
	})

	step("transfermanager: a directory up and down", func() error {
		source, target := "source", "target"
		files := map[string][]byte{"a.txt": body[:10], "folder/b c.txt": body[:100_000], "folder/large": body[:9*mib]}
		for name, text := range files {
			path := filepath.Join(source, name)
			if err := first(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600)); err != nil {
				return err
			}
		}
		transfers := transfermanager.New(client)
		up, err := transfers.UploadDirectory(ctx, &transfermanager.UploadDirectoryInput{
			Bucket: &bucket, Source: &source, KeyPrefix: aws.String("directory"), Recursive: aws.Bool(true),
		})
		if err != nil {
			return err
		}
		_, err = transfers.DownloadDirectory(ctx, &transfermanager.DownloadDirectoryInput{
			Bucket: &bucket, Destination: &target, KeyPrefix: aws.String("directory/"),
		})
		if err = first(err, same("uploaded", up.ObjectsUploaded, int64(len(files)))); err != nil {
			return err
		}
		for name, text := range files {
			found, err := os.ReadFile(filepath.Join(target, name))
			if err = first(err, sameBytes(found, text)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})

	step("parts by hand, one of them a copy", func() error {
		key := "by hand"
		upload, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return err
		}
		copied, err := client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: &bucket, Key: &key, UploadId: upload.UploadId, PartNumber: aws.Int32(1),
			CopySource: aws.String(bucket + "/large"), CopySourceRange: aws.String(fmt.Sprintf("bytes=7-%d", 6*mib+6)),
		})
		if err != nil {
			return err
		}
		last, err := client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &bucket, Key: &key, UploadId: upload.UploadId, PartNumber: aws.Int32(2), Body: bytes.NewReader(body[:10]),
		})
		if err != nil {
			return err
		}
		_, err = client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &bucket, Key: &key, UploadId: upload.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{
				{PartNumber: aws.Int32(1), ETag: copied.CopyPartResult.ETag, ChecksumCRC32: copied.CopyPartResult.ChecksumCRC32},
				{PartNumber: aws.Int32(2), ETag: last.ETag, ChecksumCRC32: last.ChecksumCRC32},
			}},
		})
		return first(err, awsHolds(ctx, client, key, append(bytes.Clone(body[7:6*mib+7]), body[:10]...)))
	})
}

// awsVirtualHost uses the SDK's own default style, bucket.host, for a gateway with base domains.
func awsVirtualHost(ctx context.Context) {
	step("virtual-host style: upload in parts, get, list", func() error {
		address, _ := authority()
		client := s3.New(awsClient(ctx).Options(), func(options *s3.Options) {
			options.BaseEndpoint = aws.String(address.Scheme + "://" + baseDomain + ":" + address.Port())
			options.UsePathStyle = false
			options.HTTPClient = &http.Client{Transport: resolved()}
		})
		key, body := "virtual host/ä+b", content(6_000_000, 9)
		_, err := manager.NewUploader(client).Upload(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)})
		if err != nil {
			return err
		}
		listing, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("virtual host/")})
		if err != nil {
			return err
		}
		return first(
			same("objects", len(listing.Contents), 1),
			same("size", aws.ToInt64(listing.Contents[0].Size), int64(len(body))),
			awsHolds(ctx, client, key, body),
		)
	})
}
