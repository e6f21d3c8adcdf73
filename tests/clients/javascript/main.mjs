// The AWS SDK for JavaScript v3 with lib-storage and the request presigner. No setting but endpoint, region, credentials and path style.

import assert from "node:assert/strict";

import { CreateBucketCommand, ListBucketsCommand } from "@aws-sdk/client-s3";

import { attributes } from "./attributes.mjs";
import { errors } from "./errors.mjs";
import { objects } from "./objects.mjs";
import { presigned } from "./presigned.mjs";
import { bucket, connect, step } from "./steps.mjs";
import { uploads } from "./uploads.mjs";
import { virtualHost } from "./virtual_host.mjs";

const client = connect();
await step("make a bucket and find it", async () => {
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const { Buckets } = await client.send(new ListBucketsCommand({}));
  assert.ok(Buckets.some(({ Name }) => Name === bucket));
});
await objects(client);
await uploads(client);
await attributes(client);
await presigned(client);
await errors(client);
await virtualHost();
client.destroy();
