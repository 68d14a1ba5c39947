/** The objects of a ListObjectsV2 answer, taken out of it before the SDK reads the rest. */
import { describe, expect, it } from "vitest";
import { takeContents } from "../../src/store/s3-list.js";

const page = (contents: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` +
  `<Name>lake</Name><IsTruncated>true</IsTruncated>${contents}<EncodingType>url</EncodingType></ListBucketResult>`;
const AWS =
  "<Contents><Key>a/b.json</Key><LastModified>2022-07-26T00:00:00.000Z</LastModified>" +
  "<ETag>&quot;70ee1738b6b21e2c8a43f3a5ab0eee71&quot;</ETag><Size>11</Size><StorageClass>STANDARD</StorageClass></Contents>";
const MINIO =
  "<Contents><Key>a%26b+c</Key><LastModified>2022-07-26T00:00:00.000Z</LastModified><ETag>&#34;ab-2&#34;</ETag>" +
  "<Size>0</Size><Owner><ID>x</ID><DisplayName>y</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>";

describe("the objects of a listing", () => {
  it("are taken out in their order, and the rest is left for the SDK", () => {
    const prefixes = "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>";
    expect(takeContents(page(`${AWS}\n  ${MINIO}${prefixes}`))).toEqual({
      contents: [
        { Key: "a/b.json", Size: 11, ETag: '"70ee1738b6b21e2c8a43f3a5ab0eee71"' },
        { Key: "a%26b+c", Size: 0, ETag: '"ab-2"' },
      ],
      rest: page(`\n  ${prefixes}`),
    });
  });

  it("have their entities decoded once", () => {
    const key = (text: string) => takeContents(page(AWS.replace("a/b.json", text))).contents[0]?.Key;
    expect(key("a&amp;lt;b&lt;&#x1F600;&#233;&apos;")).toBe("a&lt;b<😀é'");
    expect(key("")).toBe("");
  });

  it.each([
    ["nothing is there", ""],
    ["a comment could hold anything", `<!-- ${AWS} -->`],
    ["an element is missing", AWS.replace(/<Size>.*<\/Size>/, "")],
    ["one is there twice", AWS.replace("<Size>", "<Size>1</Size><Size>")],
    ["a size is no number", AWS.replace("<Size>11", "<Size>1e3")],
    ["a key holds elements", AWS.replace("a/b.json", "<b>a</b>")],
    ["elements have attributes", AWS.replace("<Key>", '<Key a="b">')],
    ["an answer ends early", AWS.slice(0, -3)],
  ])("are all left for the SDK where %s", (_, contents) => {
    const xml = page(`${contents === "" ? "" : AWS}${contents}`);
    expect(takeContents(xml)).toEqual({ contents: [], rest: xml });
  });
});
