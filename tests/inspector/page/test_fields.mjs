import assert from "node:assert/strict";
import { test } from "node:test";

import { asLines, fromLines, parameters, value, values } from "../../../actors/inspector/page/fields.js";

test("names have no case", () => {
  const fields = [["Set-Cookie", "a=1"], ["X", "y"], ["set-cookie", "b=2"]];
  assert.deepEqual(values(fields, "SET-COOKIE"), ["a=1", "b=2"]);
  assert.equal(value(fields, "none"), "");
});

test("parameters are taken apart, quotes and all", () => {
  const told = parameters('Form-Data; name="a;b\\"c"; filename=x.txt; NAME=second; flag');
  assert.equal(told.type, "form-data");
  assert.deepEqual({ ...told.parameters }, { name: 'a;b"c', filename: "x.txt" });
  assert.deepEqual(parameters('a/b; boundary="never closed').parameters, { boundary: "never closed" });
  assert.deepEqual(parameters(null), { type: "", parameters: {} });
});

test("a person's lines become fields again", () => {
  const fields = [["Content-Type", "a/b"], ["X-Empty", ""]];
  assert.deepEqual(fromLines(asLines(fields)), fields);
  assert.deepEqual(fromLines("a: b:c\r\n\n  d :e "), [["a", "b:c"], ["d", "e"]]);
});

test("a line that is no field is named", () => {
  for (const text of ["fine: yes\nno colon", "ok: 1\n: value", "ok: 1\na b: c"]) assert.throws(() => fromLines(text), /Line 2/);
});
