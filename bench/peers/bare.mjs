// Lists a prefix and GETs every object, 32 at a time, and throws the bytes away: what the store can serve at most.
import { BareS3, eachOf, encodeKey } from "../s3/client.mjs";

const { bucket, prefix, isPlain, ...server } = JSON.parse(process.argv[2]);
const client = new BareS3(server, 32, { isPlain });
const started = performance.now();
const keys = [];
for await (const page of client.list(bucket, prefix)) keys.push(...page);
const listed = performance.now();
let bytes = 0;
await eachOf(keys, 32, async (key) => {
  const sizeBytes = await client.drain(`/${bucket}/${encodeKey(key)}`);
  bytes += sizeBytes;
});
const ended = performance.now();
await client.close();
const seconds = { list: (listed - started) / 1000, get: (ended - listed) / 1000 };
process.stdout.write(`${JSON.stringify({ objects: keys.length, bytes, seconds })}\n`);
