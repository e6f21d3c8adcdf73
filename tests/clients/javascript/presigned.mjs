// Presigned URLs, used by fetch as a browser does it.

import assert from "node:assert/strict";

import { GetObjectCommand, HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

import { bucket, content, read, refused, sameBytes, step } from "./steps.mjs";

const Bucket = bucket;

export const presigned = async (client) => {
  const Key = "presigned ü.txt";
  const body = content(100_000, 5);

  await step("PUT by a presigned URL", async () => {
    const url = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key, ContentType: "text/plain" }), {
      expiresIn: 300,
      signableHeaders: new Set(["content-type"]),
    });
    const wrong = await fetch(url, { method: "PUT", body, headers: { "content-type": "text/html" } });
    assert.equal(wrong.status, 403, "another content type than the signed one");
    await wrong.text();
    const answer = await fetch(url, { method: "PUT", body, headers: { "content-type": "text/plain" } });
    assert.equal(answer.status, 200, await answer.text());
    const stored = await client.send(new GetObjectCommand({ Bucket, Key }));
    assert.equal(stored.ContentType, "text/plain");
    sameBytes(await read(stored), body);
  });

  await step("GET by a presigned URL, whole and a range", async () => {
    const url = await getSignedUrl(
      client,
      new GetObjectCommand({ Bucket, Key, ResponseContentDisposition: 'attachment; filename="letter.txt"' }),
    );
    const whole = await fetch(url);
    assert.equal(whole.status, 200);
    assert.equal(whole.headers.get("content-disposition"), 'attachment; filename="letter.txt"');
    sameBytes(Buffer.from(await whole.arrayBuffer()), body);
    const range = await fetch(url, { headers: { range: "bytes=70000-70099" } });
    assert.equal(range.status, 206);
    assert.equal(range.headers.get("content-range"), `bytes 70000-70099/${body.length}`);
    sameBytes(Buffer.from(await range.arrayBuffer()), body.subarray(70_000, 70_100));
  });

  await step("HEAD by a presigned URL", async () => {
    const url = await getSignedUrl(client, new HeadObjectCommand({ Bucket, Key }));
    const answer = await fetch(url, { method: "HEAD" });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-length"), String(body.length));
  });

  await step("an altered URL is refused", async () => {
    const url = new URL(await getSignedUrl(client, new GetObjectCommand({ Bucket, Key })));
    url.searchParams.set("X-Amz-Expires", "604800");
    const answer = await fetch(url);
    assert.equal(answer.status, 403);
    assert.match(await answer.text(), /<Code>SignatureDoesNotMatch<\/Code>/);
    // A header that turns the upload into a copy, and that nobody signed.
    const put = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: `laundered` }));
    const laundered = await fetch(put, {
      method: "PUT",
      headers: { "x-amz-copy-source": `${bucket}/${encodeURIComponent(Key)}` },
    });
    assert.equal(laundered.status, 403);
    await laundered.text();
    await refused(() => client.send(new HeadObjectCommand({ Bucket, Key: "laundered" })), "NotFound", 404);
  });
};
