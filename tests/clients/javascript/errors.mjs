// The exceptions that programs catch.

import assert from "node:assert/strict";

import {
  AbortMultipartUploadCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  NoSuchKey,
  NoSuchUpload,
  NotFound,
} from "@aws-sdk/client-s3";

import { bucket, connect, refused, step } from "./steps.mjs";

const Bucket = bucket;

export const errors = async (client) => {
  const Key = "missing";

  await step("NoSuchKey and NotFound as classes", async () => {
    const get = await refused(() => client.send(new GetObjectCommand({ Bucket, Key })), "NoSuchKey", 404);
    assert.ok(get instanceof NoSuchKey);
    assert.equal(get.Key ?? Key, Key);
    assert.ok(get.$metadata.requestId, "an error names its request");
    const head = await refused(() => client.send(new HeadObjectCommand({ Bucket, Key })), "NotFound", 404);
    assert.ok(head instanceof NotFound);
  });

  await step("NoSuchUpload", async () => {
    const abort = new AbortMultipartUploadCommand({ Bucket, Key, UploadId: "0123456789abcdef" });
    const error = await refused(() => client.send(abort), "NoSuchUpload", 404);
    assert.ok(error instanceof NoSuchUpload);
  });

  await step("NoSuchBucket", async () => {
    const missing = `${bucket}-missing`;
    await refused(() => client.send(new ListObjectsV2Command({ Bucket: missing })), "NoSuchBucket", 404);
    await refused(() => client.send(new HeadBucketCommand({ Bucket: missing })), "NotFound", 404);
  });

  await step("wrong credentials", async () => {
    const accessKeyId = process.env.AWS_ACCESS_KEY_ID;
    const impostor = connect({ credentials: { accessKeyId, secretAccessKey: "not the secret" } });
    await refused(() => impostor.send(new GetObjectCommand({ Bucket, Key })), "SignatureDoesNotMatch", 403);
    const stranger = connect({ credentials: { accessKeyId: "NOBODY", secretAccessKey: "not the secret" } });
    await refused(() => stranger.send(new GetObjectCommand({ Bucket, Key })), "InvalidAccessKeyId", 403);
  });
};
