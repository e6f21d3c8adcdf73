// Single objects: bodies, metadata, checksums, ranges, conditions, copies, listings, deletion, tags.

import assert from "node:assert/strict";

import {
  ChecksumAlgorithm,
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  paginateListObjectsV2,
  waitUntilObjectExists,
} from "@aws-sdk/client-s3";

import { bucket, canary, content, read, refused, sameBytes, sha256, step, unknownLength } from "./steps.mjs";

const Bucket = bucket;

const everyKey = async (client, listing, pageSize) => {
  const objects = [];
  let pages = 0;
  for await (const page of paginateListObjectsV2({ client, pageSize }, { Bucket, ...listing })) {
    pages += 1;
    objects.push(...(page.Contents ?? []));
  }
  return { objects, pages };
};

export const objects = async (client) => {
  const Key = "a letter.txt";
  const body = content(200_001);
  let stored;

  await step("put an object with its type and metadata", async () => {
    stored = await client.send(
      new PutObjectCommand({
        Bucket,
        Key,
        Body: body,
        ContentType: "text/plain; charset=latin1",
        CacheControl: "max-age=60",
        Metadata: { note: canary, owner: "accounting" },
      }),
    );
    assert.ok(stored.ETag);
    assert.ok(stored.ChecksumCRC32, "the SDK's default checksum is in the answer");
  });

  await step("get it, its default checksum verified by the SDK", async () => {
    const answer = await client.send(new GetObjectCommand({ Bucket, Key }));
    assert.equal(answer.ContentType, "text/plain; charset=latin1");
    assert.equal(answer.CacheControl, "max-age=60");
    assert.deepEqual(answer.Metadata, { note: canary, owner: "accounting" });
    assert.equal(answer.ContentLength, body.length);
    assert.equal(answer.ETag, stored.ETag);
    assert.equal(answer.ChecksumCRC32, stored.ChecksumCRC32);
    sameBytes(await read(answer), body);
  });

  await step("head it, and wait for it", async () => {
    const answer = await client.send(new HeadObjectCommand({ Bucket, Key }));
    assert.equal(answer.ContentLength, body.length);
    assert.equal(answer.Metadata.note, canary);
    assert.equal(answer.ETag, stored.ETag);
    await waitUntilObjectExists({ client, maxWaitTime: 30 }, { Bucket, Key });
  });

  for (const [Range, from, to] of [
    ["bytes=0-0", 0, 1],
    ["bytes=65530-65550", 65_530, 65_551],
    ["bytes=131072-", 131_072, body.length],
    ["bytes=-17", body.length - 17, body.length],
    ["bytes=199999-999999999", 199_999, body.length],
  ]) {
    await step(`get the range ${Range}`, async () => {
      const answer = await client.send(new GetObjectCommand({ Bucket, Key, Range }));
      assert.equal(answer.$metadata.httpStatusCode, 206);
      assert.equal(answer.ContentRange, `bytes ${from}-${to - 1}/${body.length}`);
      assert.equal(answer.ContentLength, to - from);
      sameBytes(await read(answer), body.subarray(from, to));
    });
  }

  await step("no range behind the end", () =>
    refused(() => client.send(new GetObjectCommand({ Bucket, Key, Range: "bytes=200001-" })), "InvalidRange", 416),
  );

  for (const ChecksumAlgorithmName of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
    await step(`put and get with ${ChecksumAlgorithmName}`, async () => {
      const key = `checksums/${ChecksumAlgorithmName}`;
      const field = `Checksum${ChecksumAlgorithmName}`;
      const put = await client.send(
        new PutObjectCommand({
          Bucket,
          Key: key,
          Body: body,
          ChecksumAlgorithm: ChecksumAlgorithm[ChecksumAlgorithmName],
        }),
      );
      assert.ok(put[field]);
      const answer = await client.send(new GetObjectCommand({ Bucket, Key: key, ChecksumMode: "ENABLED" }));
      assert.equal(answer[field], put[field]);
      sameBytes(await read(answer), body);
    });
  }

  await step("put a checksum of the caller's own", async () => {
    const put = await client.send(
      new PutObjectCommand({ Bucket, Key: `checksums/own`, Body: body, ChecksumSHA256: sha256(body) }),
    );
    assert.equal(put.ChecksumSHA256, sha256(body));
  });

  await step("a wrong checksum leaves no object", async () => {
    const key = `checksums/wrong`;
    const ChecksumSHA256 = sha256("something else");
    await refused(
      () => client.send(new PutObjectCommand({ Bucket, Key: key, Body: body, ChecksumSHA256 })),
      ["BadDigest", "XAmzContentChecksumMismatch"], // the second is MinIO's own
      400,
    );
    await refused(() => client.send(new HeadObjectCommand({ Bucket, Key: key })), "NotFound", 404);
  });

  await step("put a stream of known length, its checksum in a trailer", async () => {
    const key = `stream`;
    const put = await client.send(
      new PutObjectCommand({ Bucket, Key: key, Body: unknownLength(body), ContentLength: body.length }),
    );
    assert.ok(put.ChecksumCRC32);
    sameBytes(await read(await client.send(new GetObjectCommand({ Bucket, Key: key }))), body);
  });

  await step("put and get an empty object", async () => {
    const key = `empty`;
    await client.send(new PutObjectCommand({ Bucket, Key: key, Body: "" }));
    const answer = await client.send(new GetObjectCommand({ Bucket, Key: key }));
    assert.equal(answer.ContentLength, 0);
    assert.equal((await read(answer)).length, 0);
  });

  await step("conditional writes", async () => {
    const key = `conditional`;
    const put = (Body, condition) =>
      client.send(new PutObjectCommand({ Bucket, Key: key, Body, ...condition }));
    const first = await put("first", { IfNoneMatch: "*" });
    await refused(() => put("second", { IfNoneMatch: "*" }), "PreconditionFailed", 412);
    const second = await put("second", { IfMatch: first.ETag });
    await refused(() => put("third", { IfMatch: first.ETag }), "PreconditionFailed", 412);
    const answer = await client.send(new GetObjectCommand({ Bucket, Key: key, IfMatch: second.ETag }));
    assert.equal(await answer.Body.transformToString(), "second");
  });

  await step("conditional reads", async () => {
    const get = (condition) => client.send(new GetObjectCommand({ Bucket, Key, ...condition }));
    await refused(() => get({ IfNoneMatch: stored.ETag }), null, 304);
    await refused(() => get({ IfMatch: '"0123456789abcdef0123456789abcdef"' }), "PreconditionFailed", 412);
    await refused(() => get({ IfModifiedSince: new Date() }), null, 304);
  });

  await step("copy, with the metadata and with other metadata", async () => {
    const CopySource = `${bucket}/${encodeURIComponent(Key)}`;
    const copy = await client.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource }));
    assert.ok(copy.CopyObjectResult.ETag);
    const copied = await client.send(new GetObjectCommand({ Bucket, Key: "copy" }));
    assert.equal(copied.Metadata.note, canary);
    sameBytes(await read(copied), body);
    await client.send(
      new CopyObjectCommand({
        Bucket,
        Key: "copy with other metadata",
        CopySource,
        CopySourceIfMatch: stored.ETag,
        MetadataDirective: "REPLACE",
        ContentType: "text/html",
        Metadata: { other: canary },
      }),
    );
    const other = await client.send(new GetObjectCommand({ Bucket, Key: `copy with other metadata` }));
    assert.equal(other.ContentType, "text/html");
    assert.deepEqual(other.Metadata, { other: canary });
    sameBytes(await read(other), body);
  });

  // MinIO has no "a//b"; the conformance suite tries it where the storage has it.
  await step("keys of every kind", async () => {
    for (const name of ["a+b", "a b", "100%", "%2F", "ä/ö/ü", "日本語", "<&>'\"", "~!*'()", "tab\there"]) {
      const key = `keys/${name}`;
      const bytes = Buffer.from(`${canary} ${name}`);
      await client.send(new PutObjectCommand({ Bucket, Key: key, Body: bytes }));
      sameBytes(await read(await client.send(new GetObjectCommand({ Bucket, Key: key }))), bytes);
      const { objects: found } = await everyKey(client, { Prefix: key });
      assert.deepEqual(
        found.map((object) => [object.Key, object.Size]),
        [[key, bytes.length]],
      );
    }
  });

  await step("page through a listing, with the sizes of the plaintext", async () => {
    const sizes = new Map();
    for (let number = 0; number < 25; number += 1) {
      const key = `pages/${String(number).padStart(2, "0")}`;
      sizes.set(key, number * 5_000);
      await client.send(new PutObjectCommand({ Bucket, Key: key, Body: content(number * 5_000) }));
    }
    const { objects: found, pages } = await everyKey(client, { Prefix: "pages/" }, 10);
    assert.equal(pages, 3);
    assert.deepEqual(new Map(found.map((object) => [object.Key, object.Size])), sizes);
    const folders = [];
    for await (const page of paginateListObjectsV2({ client }, { Bucket, Delimiter: "/" })) {
      folders.push(...(page.CommonPrefixes ?? []).map((folder) => folder.Prefix));
    }
    assert.deepEqual(folders, ["checksums/", "keys/", "pages/"]);
  });

  await step("tag an object", async () => {
    const TagSet = [{ Key: "project", Value: "blue" }];
    await client.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging: { TagSet } }));
    const answer = await client.send(new GetObjectTaggingCommand({ Bucket, Key }));
    assert.deepEqual(answer.TagSet, TagSet);
    sameBytes(await read(await client.send(new GetObjectCommand({ Bucket, Key }))), body);
  });

  await step("delete one and many", async () => {
    const Objects = [];
    for (let number = 5; number < 25; number += 1) {
      Objects.push({ Key: `pages/${String(number).padStart(2, "0")}` });
    }
    const answer = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.equal(answer.Errors, undefined);
    assert.deepEqual(answer.Deleted.map(({ Key: key }) => key).sort(), Objects.map(({ Key: key }) => key).sort());
    await client.send(new DeleteObjectCommand({ Bucket, Key: "pages/04" }));
    const { objects: left } = await everyKey(client, { Prefix: "pages/" });
    assert.equal(left.length, 4);
  });
};
