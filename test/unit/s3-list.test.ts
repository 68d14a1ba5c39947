/** What we read from a ListObjectsV2 answer, and what we leave to the SDK. */
import { describe, expect, it } from "vitest";
import { pageOf, takeContents } from "../../src/store/s3/list.js";

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

describe("a whole page", () => {
  const whole = (more: string, isTruncated = "false") =>
    page(more).replace("<IsTruncated>true", `<IsTruncated>${isTruncated}`);
  const prefixes = "<CommonPrefixes><Prefix>a/b%20c/</Prefix></CommonPrefixes>";

  it("has objects, prefixes and the next page's token", () => {
    const token = "<NextContinuationToken>1&amp;2</NextContinuationToken>";
    expect(pageOf(whole(`${token}${MINIO}${prefixes}\n${prefixes.replace("a/", "d/")}`, "true"))).toEqual({
      objects: [{ key: "a&b c", sizeBytes: 0, etag: "ab-2" }],
      prefixes: ["a/b c/", "d/b c/"],
      token: "1&2",
    });
    expect(pageOf(whole(""))).toEqual({ objects: [], prefixes: [], token: undefined });
  });

  it("takes keys as they stand where the store does not say that it encoded them", () => {
    const plain = whole(AWS.replace("a/b.json", "50%+1")).replace("<EncodingType>url</EncodingType>", "");
    expect(pageOf(plain)?.objects).toMatchObject([{ key: "50%+1" }]);
  });

  it.each([
    ["one of its objects is odd", whole(AWS + AWS.replace("<Size>11", "<Size>x"))],
    ["a comment could hold anything", whole(`<!-- ${AWS} -->`)],
    ["it goes on and does not say where", whole(AWS, "true")],
    ["it does not say whether it goes on", whole(AWS).replace(/<IsTruncated>.*?<\/IsTruncated>/, "")],
    ["it says so twice", whole(`${AWS}<IsTruncated>true</IsTruncated>`)],
    ["a prefix is missing", whole("<CommonPrefixes></CommonPrefixes>")],
    ["it is another answer", "<Error><Code>SlowDown</Code><IsTruncated>false</IsTruncated></Error>"],
    ["it ends early", whole(AWS).slice(0, 200)],
  ])("is left for the SDK where %s", (_, xml) => {
    expect(pageOf(xml)).toBeUndefined();
  });
});
