// Large objects: lib-storage's Upload, as its users call it, and multipart uploads by hand.

import assert from "node:assert/strict";

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

import { bucket, canary, content, endpoint, read, refused, sameBytes, step, unknownLength } from "./steps.mjs";

const Bucket = bucket;
const MIB = 1024 * 1024;
const PART = 5 * MIB;

export const uploads = async (client) => {
  const Key = "large";
  const body = content(12 * MIB + 345);

  await step("Upload a stream of unknown length in parts", async () => {
    const upload = new Upload({
      client,
      params: { Bucket, Key, Body: unknownLength(body), ContentType: "text/plain", Metadata: { note: canary } },
      queueSize: 3,
      partSize: PART,
    });
    let loaded = 0;
    upload.on("httpUploadProgress", (progress) => {
      loaded = Math.max(loaded, progress.loaded);
    });
    const answer = await upload.done();
    assert.equal(loaded, body.length);
    assert.equal(answer.Bucket, Bucket);
    assert.equal(answer.Key, Key);
    assert.equal(new URL(answer.Location).host, new URL(endpoint).host, "the location is the gateway's");
    assert.match(answer.ETag, /-3"?$/);
  });

  await step("get it whole, by part, and by range over the borders of parts", async () => {
    const whole = await client.send(new GetObjectCommand({ Bucket, Key }));
    assert.equal(whole.Metadata.note, canary);
    sameBytes(await read(whole), body);
    const part = await client.send(new GetObjectCommand({ Bucket, Key, PartNumber: 2 }));
    assert.equal(part.PartsCount, 3);
    sameBytes(await read(part), body.subarray(PART, 2 * PART));
    const Range = `bytes=${PART - 1000}-${2 * PART + 999}`;
    const range = await client.send(new GetObjectCommand({ Bucket, Key, Range }));
    sameBytes(await read(range), body.subarray(PART - 1000, 2 * PART + 1000));
    const head = await client.send(new HeadObjectCommand({ Bucket, Key }));
    assert.equal(head.ContentLength, body.length);
  });

  await step("Upload with other checksums", async () => {
    for (const ChecksumAlgorithm of ["SHA256", "CRC32C", "CRC64NVME"]) {
      const key = `large with ${ChecksumAlgorithm}`;
      const upload = new Upload({
        client,
        params: { Bucket, Key: key, Body: unknownLength(body), ChecksumAlgorithm },
        partSize: PART,
      });
      const answer = await upload.done();
      const field = `Checksum${ChecksumAlgorithm}`;
      assert.ok(answer[field], `${field} is not in the answer`);
      const got = await client.send(new GetObjectCommand({ Bucket, Key: key, ChecksumMode: "ENABLED" }));
      assert.equal(got[field], answer[field]);
      sameBytes(await read(got), body);
    }
  });

  await step("Upload a short stream as one object", async () => {
    const short = content(1000);
    await new Upload({ client, params: { Bucket, Key: "short", Body: unknownLength(short) } }).done();
    sameBytes(await read(await client.send(new GetObjectCommand({ Bucket, Key: "short" }))), short);
  });

  await step("an aborted Upload leaves no object and no upload", async () => {
    const key = `aborted`;
    const upload = new Upload({ client, params: { Bucket, Key: key, Body: unknownLength(body) }, partSize: PART });
    upload.on("httpUploadProgress", () => upload.abort());
    await assert.rejects(upload.done(), { name: "AbortError" });
    await refused(() => client.send(new HeadObjectCommand({ Bucket, Key: key })), "NotFound", 404);
  });

  await step("parts by hand, out of order, one of them a copy", async () => {
    const key = "by hand";
    const { UploadId } = await client.send(
      new CreateMultipartUploadCommand({ Bucket, Key: key, Metadata: { note: canary } }),
    );
    const tail = content(1234, 77);
    const last = await client.send(
      new UploadPartCommand({ Bucket, Key: key, UploadId, PartNumber: 2, Body: tail }),
    );
    const first = await client.send(
      new UploadPartCopyCommand({
        Bucket,
        Key: key,
        UploadId,
        PartNumber: 1,
        CopySource: `${bucket}/${Key}`,
        CopySourceRange: `bytes=100-${PART + 199}`,
      }),
    );
    const listed = await client.send(new ListPartsCommand({ Bucket, Key: key, UploadId }));
    assert.deepEqual(
      listed.Parts.map(({ PartNumber, Size }) => [PartNumber, Size]),
      [
        [1, PART + 100],
        [2, 1234],
      ],
    );
    const open = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: key }));
    assert.deepEqual(
      (open.Uploads ?? []).map((upload) => [upload.Key, upload.UploadId]),
      [[key, UploadId]],
    );
    await client.send(
      new CompleteMultipartUploadCommand({
        Bucket,
        Key: key,
        UploadId,
        MultipartUpload: {
          Parts: [
            { PartNumber: 1, ETag: first.CopyPartResult.ETag },
            { PartNumber: 2, ETag: last.ETag },
          ],
        },
      }),
    );
    const answer = await client.send(new GetObjectCommand({ Bucket, Key: key }));
    sameBytes(await read(answer), Buffer.concat([body.subarray(100, PART + 200), tail]));
  });

  await step("abort an upload by hand", async () => {
    const key = `never`;
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: key }));
    await client.send(new UploadPartCommand({ Bucket, Key: key, UploadId, PartNumber: 1, Body: content(PART) }));
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key: key, UploadId }));
    await refused(() => client.send(new ListPartsCommand({ Bucket, Key: key, UploadId })), "NoSuchUpload", 404);
  });
};
