// What every scenario uses: the settings that tests/clients/run hands over, steps with one line each, and data to store.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";

import { S3Client } from "@aws-sdk/client-s3";

const required = (name) => {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set; tests/clients/run sets it`);
    process.exit(2);
  }
  return value;
};

export const endpoint = required("S3_ENDPOINT");
export const region = required("AWS_REGION");
export const baseDomain = required("S3_BASE_DOMAIN");
export const bucket = `${required("BUCKET_PREFIX")}files`;
export const canary = required("CANARY");

/** Credentials come from the environment, as the SDK's standard chain finds them. */
export const connect = (more = {}) => new S3Client({ endpoint, region, forcePathStyle: true, ...more });

/** Runs one step and says that it held. The first that does not ends the program. */
export const step = async (name, action) => {
  try {
    await action();
  } catch (error) {
    console.log(`fail\t${name}\t${String(error).replaceAll(/\s+/g, " ")}`);
    console.error(error, error?.$metadata ?? "", error?.$response?.headers ?? "");
    process.exit(1);
  }
  console.log(`ok\t${name}`);
};

/** "length" bytes that hold the canary again and again, with a counter so that no two pieces are alike. */
export const content = (length, seed = 0) => {
  const lines = [];
  let total = 0;
  for (let line = seed; total < length; line += 1) {
    const text = `${canary} ${line}\n`;
    lines.push(text);
    total += text.length;
  }
  return Buffer.from(lines.join(""), "latin1").subarray(0, length);
};

/** A stream whose length nobody knows beforehand, in pieces of odd sizes. */
export const unknownLength = (bytes) =>
  Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += 70_001) yield bytes.subarray(at, at + 70_001);
    })(),
    { objectMode: false },
  );

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("base64");

export const read = async (answer) => Buffer.from(await answer.Body.transformToByteArray());

/** Equal bytes; a difference is told by its position, not by megabytes of output. */
export const sameBytes = (actual, expected) => {
  if (Buffer.compare(actual, expected) === 0) return;
  const length = Math.min(actual.length, expected.length);
  let at = 0;
  while (at < length && actual[at] === expected[at]) at += 1;
  assert.fail(`${actual.length} bytes instead of ${expected.length}, different from byte ${at}`);
};

/** The error that "action" must end with: its name (one of several, or null where the answer has no body
 * to name it in) and its status. */
export const refused = async (action, name, status) => {
  let error;
  try {
    await action();
  } catch (caught) {
    error = caught;
  }
  assert.ok(error, `nothing was refused; ${name} was expected`);
  if (!error.$metadata) throw error;
  if (name) assert.ok([name].flat().includes(error.name), `${error.name} instead of ${name}`);
  assert.equal(error.$metadata.httpStatusCode, status);
  return error;
};
