import assert from "node:assert/strict";
import { test } from "node:test";

import { decoded, fromBase64, isText } from "../../../actors/inspector/page/text.js";

const utf8 = (text) => new TextEncoder().encode(text);

test("the charset is the one that is named, or UTF-8", () => {
  assert.equal(decoded(Uint8Array.of(0xe9), "text/plain; charset=iso-8859-1"), "é");
  assert.equal(decoded(utf8("é"), "text/plain; charset=nobody-knows"), "é");
});

test("text is told from anything else", () => {
  assert.ok(isText(utf8("grün\t日本\r\n\x1b[0m"), ""));
  assert.ok(isText(new Uint8Array(), ""));
  assert.ok(!isText(utf8("a".repeat(1000) + "\0"), ""));
  assert.ok(!isText(Uint8Array.from({ length: 256 }, (_, index) => 255 - index), ""));
});

test("a sample that ends within a character is text all the same", () => {
  assert.ok(isText(utf8(`a${"日".repeat(3000)}`), ""));
});

test("base64", () => {
  assert.deepEqual([...fromBase64("AP8=")], [0, 255]);
});
