import assert from "node:assert/strict";
import { test } from "node:test";

import { inField, order, withItsBreaks } from "../../../actors/inspector/page/edits.js";
import { asLines } from "../../../actors/inspector/page/fields.js";

const original = (changes = {}) => ({
  method: "POST",
  target: "/hook",
  fields: [["Content-Type", "application/json", false], ["Authorization", "[masked]", true], ["Content-Length", "7", false]],
  body: '{"a":1}',
  isComplete: true,
  ...changes,
});
const edited = (changes = {}, from = original()) => ({
  method: from.method,
  target: from.target,
  lines: asLines(from.fields),
  body: inField(from.body ?? ""),
  ...changes,
});

test("what was not changed is not sent", () => {
  assert.deepEqual(order(edited(), original()), {});
});

test("method and path", () => {
  assert.deepEqual(order(edited({ method: " PUT ", target: "/x?y" }), original()), { method: "PUT", target: "/x?y" });
});

test("what cannot be sent is refused in words", () => {
  assert.throws(() => order(edited({ method: "A B" }), original()), /method/);
  for (const target of ["x", "/a b", ""]) assert.throws(() => order(edited({ target }), original()), /path/);
  assert.throws(() => order(edited({ lines: "nothing" }), original()), /Line 1/);
});

test("edited fields go as a whole, a mask as the mask", () => {
  const lines = edited().lines.replace("json", "xml");
  assert.deepEqual(order(edited({ lines }), original()).fields, [["Content-Type", "application/xml"], ["Authorization", "[masked]"], ["Content-Length", "7"]]);
});

test("a new body has a length and a coding of its own", () => {
  const from = original({ fields: [["Content-Encoding", "gzip", false], ["Content-Length", "7", false], ["X", "y", false]] });
  assert.deepEqual(order(edited({ body: "new" }, from), from), { body: "new", fields: [["X", "y"]] });
  const plain = original({ fields: [["X", "y", false]] });
  assert.deepEqual(order(edited({ body: "" }, plain), plain), { body: "" });
});

test("line breaks are the original's", () => {
  const from = original({ body: "a\r\nb\r\n", fields: [] });
  assert.deepEqual(order(edited({}, from), from), {});
  assert.equal(order(edited({ body: "a\nb\nc\n" }, from), from).body, "a\r\nb\r\nc\r\n");
  assert.equal(withItsBreaks("a\nb", "x\ny\r\n"), "a\nb");
});

test("bytes that are no text go as they were, or a text goes instead", () => {
  const from = original({ body: null, fields: [] });
  assert.deepEqual(order(edited({ body: null }, from), from), {});
  assert.deepEqual(order(edited({ body: "text" }, from), from), { body: "text" });
});

test("of a body that was cut off goes what stands in the form", () => {
  const from = original({ isComplete: false, fields: [] });
  assert.equal(order(edited({}, from), from).body, '{"a":1}');
});
