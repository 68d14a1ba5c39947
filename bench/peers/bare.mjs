// The requests that hours cannot do without, 32 GETs at a time, and the bytes thrown away: what the store can serve at most.
import { BareS3, eachOf, encodeKey } from "../s3/client.mjs";

/** `sent`: an hour is a HEAD, a listing, its GETs and a PUT of each of so many bytes; without it, a listing and GETs. */
const { bucket, prefixes, isPlain, sent, ...server } = JSON.parse(process.argv[2]);
const hoursAtATime = Math.min(prefixes.length, 4);
const client = new BareS3(server, 32, { isPlain });
const counted = { objects: 0, bytes: 0, seconds: { list: 0, get: 0 } };
const clock = () => performance.now() / 1000;

/** @param {string} prefix */
async function serve(prefix) {
  const target = `/${sent?.bucket}/${Date.now()}/${encodeKey(prefix)}`;
  // There is none: that is an error to this client.
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
