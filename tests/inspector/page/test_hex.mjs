import assert from "node:assert/strict";
import { test } from "node:test";

import { lines } from "../../../actors/inspector/page/hex.js";

test("sixteen bytes a line, in two groups", () => {
  const [first, second] = lines(new TextEncoder().encode("0123456789abcdef<\n"), 0x20);
  assert.equal(first, "00000020  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef");
  assert.equal(second, "00000030  3c 0a                                             <.");
});

test("no bytes, no lines", () => {
  assert.deepEqual(lines(new Uint8Array()), []);
});
