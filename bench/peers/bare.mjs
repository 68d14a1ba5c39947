// The requests that hours cannot do without, 32 GETs at a time, with their bytes dropped: the most that the
// store can serve.
import { BareS3, eachOf, encodeKey } from "../s3/client.mjs";

/**
 * With `sent`, an hour is a HEAD, a listing, its GETs and a PUT for each of these sizes. Without it, a
 * listing and GETs.
 */
const { bucket, prefixes, isPlain, sent, ...server } = JSON.parse(process.argv[2]);
const hoursAtATime = Math.min(prefixes.length, 4);
const client = new BareS3(server, 32, { isPlain });
const counted = { objects: 0, bytes: 0, seconds: { list: 0, get: 0 } };
const clock = () => performance.now() / 1000;

/** @param {string} prefix */
async function serve(prefix) {
  const target = `/${sent?.bucket}/${Date.now()}/${encodeKey(prefix)}`;
  // There is no such object, which is an error to this client.
  if (sent) await client.request("HEAD", `${target}0`).catch(() => {});
  const began = clock();
  /** @type {string[]} */
  const keys = [];
  for await (const page of client.list(bucket, prefix)) keys.push(...page);
  const listed = clock();
  await eachOf(keys, 32 / hoursAtATime, async (key) => {
    const sizeBytes = await client.drain(`/${bucket}/${encodeKey(key)}`);
    counted.objects++;
    counted.bytes += sizeBytes;
  });
  counted.seconds.list += listed - began;
  counted.seconds.get += clock() - listed;
  for (const [i, sizeBytes] of (sent?.sizesBytes ?? []).entries())
    await client.request("PUT", `${target}${i}`, "", Buffer.alloc(sizeBytes));
}

await eachOf(prefixes, hoursAtATime, serve);
await client.close();
process.stdout.write(`${JSON.stringify(counted)}\n`);
