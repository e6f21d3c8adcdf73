// The SDK's own default style, bucket.host, for a gateway with base domains.

import assert from "node:assert/strict";
import dns from "node:dns";
import { Agent } from "node:http";
import { Agent as SecureAgent } from "node:https";

import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

import { baseDomain, bucket, connect, content, endpoint, read, sameBytes, step, unknownLength } from "./steps.mjs";

const Bucket = bucket;

// What a DNS entry does for a real gateway: every name below the base domain is the gateway's address.
const lookup = (name, options, callback) =>
  dns.lookup(name.endsWith(`.${baseDomain}`) ? "127.0.0.1" : name, options, callback);

export const virtualHost = async () => {
  const { protocol, port } = new URL(endpoint);
  const client = connect({
    endpoint: `${protocol}//${baseDomain}:${port}`,
    forcePathStyle: false,
    requestHandler: { httpAgent: new Agent({ lookup }), httpsAgent: new SecureAgent({ lookup }) },
  });
  const Key = "virtual host/ä+b";
  const body = content(6_000_000, 9);

  await step("virtual-host style: upload in parts, get, list", async () => {
    const hosts = new Set();
    client.middlewareStack.add(
      (next) => (call) => {
        hosts.add(call.request.hostname);
        return next(call);
      },
      { step: "finalizeRequest", name: "hosts" },
    );
    await new Upload({ client, params: { Bucket, Key, Body: unknownLength(body) } }).done();
    sameBytes(await read(await client.send(new GetObjectCommand({ Bucket, Key }))), body);
    await client.send(new PutObjectCommand({ Bucket, Key: `virtual host/small`, Body: "small" }));
    const listed = await client.send(new ListObjectsV2Command({ Bucket, Prefix: "virtual host/" }));
    assert.deepEqual(
      listed.Contents.map((object) => [object.Key, object.Size]),
      [
        ["virtual host/small", 5],
        [Key, body.length],
      ],
    );
    assert.deepEqual([...hosts], [`${bucket}.${baseDomain}`]);
  });
  client.destroy();
};
