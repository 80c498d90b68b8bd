import assert from "node:assert/strict";
import { test } from "node:test";

import { looksLikeJson, pieces } from "../../../actors/inspector/page/json.js";

const text = (source) => pieces(source).map(([, piece]) => piece).join("");
const bad = (source) => pieces(source).filter(([kind]) => kind === "bad").map(([, piece]) => piece);

test("it is laid out as JSON.stringify does it", () => {
  for (const value of [{ a: 1, b: [true, null, "x\"y", { c: [] }], d: {} }, [], {}, "a", 1, null, [[[]]], [1, [2]]]) {
    assert.equal(text(JSON.stringify(value)), JSON.stringify(value, null, 2));
    assert.equal(text(JSON.stringify(value, null, 7)), JSON.stringify(value, null, 2));
  }
});

test("numbers keep their digits, keys their order, and doubles stay", () => {
  assert.equal(text('{"b":12345678901234567890.10,"a":1E+2,"b":0}'), '{\n  "b": 12345678901234567890.10,\n  "a": 1E+2,\n  "b": 0\n}');
});

test("kinds", () => {
  assert.deepEqual(pieces('{"k":"v"}').filter(([kind]) => kind !== "mark"), [["key", '"k"'], ["string", '"v"']]);
  assert.deepEqual(pieces("[-1.5e3,true]").filter(([kind]) => kind !== "mark"), [["number", "-1.5e3"], ["word", "true"]]);
});

test("what was cut off is laid out as far as it goes", () => {
  assert.equal(text('{"a":[1,{"b":"cut'), '{\n  "a": [\n    1,\n    {\n      "b": "cut');
  assert.deepEqual(bad('{"a":"cut'), ['"cut']);
});

test("what is no JSON is shown, and marked", () => {
  assert.deepEqual(bad("{a: undefined, 01, 'x', ]}"), ["a", "undefined", "01", "'", "x", "'", "]"]);
  const odd = '<script>alert("x")</script>';
  assert.equal(text(odd).replaceAll(/\s/g, ""), odd);
});

test("values one after the other stand in lines of their own", () => {
  assert.equal(text('{"a":1}\n{"b":2}\n3'), '{\n  "a": 1\n}\n{\n  "b": 2\n}\n3');
});

test("nothing but brackets does not grow with its square", () => {
  assert.ok(text("[".repeat(65536)).length < 6e6);
});

test("what looks like JSON without being told so", () => {
  assert.deepEqual(['{"a":1}', " [1]", "{a}", "12", '"x"', "[cut"].map(looksLikeJson), [true, true, false, false, false, false]);
});
