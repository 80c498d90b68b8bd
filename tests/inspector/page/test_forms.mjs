import assert from "node:assert/strict";
import { test } from "node:test";

import { pairs, query } from "../../../actors/inspector/page/forms.js";

test("pairs keep their order and their doubles", () => {
  assert.deepEqual(pairs("b=2&a=1&b=3&&flag&=x"), [["b", "2"], ["a", "1"], ["b", "3"], ["flag", ""], ["", "x"]]);
});

test("escapes are undone, and what is none stays", () => {
  assert.deepEqual(pairs("a+b=%C3%BC+%F0%9F%99%82&p=100%&q=%zz&r=%ff"), [["a b", "ü 🙂"], ["p", "100%"], ["q", "%zz"], ["r", "\ufffd"]]);
});

test("a query is what follows the first question mark", () => {
  assert.deepEqual([query("/a?b=c?d"), query("/a")], [[["b", "c?d"]], []]);
});
