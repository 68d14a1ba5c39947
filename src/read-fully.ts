import type { FileHandle } from "node:fs/promises";

/** Reads as many bytes as there is room for. Throws if there are fewer. */
export async function readFully(file: FileHandle, start: number, into: Uint8Array): Promise<void> {
  const { bytesRead } = await file.read(into, 0, into.length, start);
  if (bytesRead !== into.length) throw new Error(`${bytesRead} of ${into.length} bytes are there`);
}
