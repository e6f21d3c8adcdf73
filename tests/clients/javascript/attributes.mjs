// GetObjectAttributes, whose answer speaks of the plaintext.

import assert from "node:assert/strict";

import { GetObjectAttributesCommand } from "@aws-sdk/client-s3";

import { bucket, content, sha256, step } from "./steps.mjs";

const Bucket = bucket;

export const attributes = async (client) => {
  await step("attributes of a single object", async () => {
    const answer = await client.send(
      new GetObjectAttributesCommand({
        Bucket,
        Key: "checksums/own",
        ObjectAttributes: ["Checksum", "ObjectSize", "ETag"],
      }),
    );
    assert.equal(answer.ObjectSize, 200_001);
    assert.equal(answer.Checksum.ChecksumSHA256, sha256(content(200_001)));
  });

  await step("attributes of an object of parts", async () => {
    const answer = await client.send(
      new GetObjectAttributesCommand({
        Bucket,
        Key: "by hand",
        ObjectAttributes: ["ObjectParts", "ObjectSize"],
      }),
    );
    assert.equal(answer.ObjectSize, 5 * 1024 * 1024 + 100 + 1234);
    assert.equal(answer.ObjectParts.TotalPartsCount, 2);
  });
};
