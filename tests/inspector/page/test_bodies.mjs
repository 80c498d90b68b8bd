import assert from "node:assert/strict";
import { test } from "node:test";

import { imageType, views } from "../../../actors/inspector/page/bodies.js";

const utf8 = (text) => new TextEncoder().encode(text);
const of = (body, type) => views(typeof body === "string" ? utf8(body) : Uint8Array.from(body), type);

test("the type says how a text is shown", () => {
  const first = (type) => of("x", type)[0];
  const types = ["application/json", "application/problem+json; charset=utf-8", "application/x-ndjson", "text/xml", "application/soap+xml", "text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", ""];
  assert.deepEqual(types.map(first), ["json", "json", "json", "xml", "xml", "html", "form", "parts", "text", "text"]);
});

test("what is JSON without being called so is shown as such", () => {
  assert.deepEqual(of('{"a":1}', "text/plain"), ["json", "text", "hex"]);
  assert.deepEqual(of('{"a":1}', ""), ["json", "text", "hex"]);
});

test("images are known by their bytes, and never by what they are called", () => {
  const png = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0];
  assert.deepEqual(of(png, "text/plain"), ["image", "hex", "text"]);
  assert.deepEqual(of("<svg onload=alert(1)>", "image/svg+xml"), ["xml", "text", "hex"]);
  assert.equal(imageType(utf8("<html>")), null);
  assert.equal(imageType(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0)), "image/jpeg");
  assert.equal(imageType(utf8("RIFF....WEBP")), "image/webp");
  assert.equal(imageType(utf8("....ftypavif")), "image/avif");
  assert.equal(imageType(utf8("GIF89a")), "image/gif");
});

test("other bytes are shown as such", () => {
  assert.deepEqual(of([0, 1, 2, 255], "application/json"), ["hex", "text"]);
});
