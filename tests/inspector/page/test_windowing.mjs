import assert from "node:assert/strict";
import { test } from "node:test";

import { keptScroll, scrollToRow, visibleRange } from "../../../actors/inspector/page/windowing.js";

const ids = (from, count) => Array.from({ length: count }, (_, index) => `${from + index}`);

test("only what is in sight, and a little more, is in the page", () => {
  const { first, last } = visibleRange(5000, 600, 50, 1000);
  assert.ok(first <= 100 && last >= 112 && last - first < 40);
  assert.deepEqual(visibleRange(0, 600, 50, 3), { first: 0, last: 3 });
  assert.deepEqual(visibleRange(9000, 600, 50, 3), { first: 3, last: 3 });
  assert.deepEqual(visibleRange(0, 0, 1, 0), { first: 0, last: 0 });
});

test("who is at the top stays there", () => {
  assert.equal(keptScroll(0, 50, ids(0, 10), ["new", ...ids(0, 10)]), 0);
});

test("who reads keeps what they read before their eyes", () => {
  assert.equal(keptScroll(230, 50, ids(0, 10), ["a", "b", ...ids(0, 10)]), 330);
  assert.equal(keptScroll(230, 50, ids(0, 10), ids(2, 8)), 130);
  assert.equal(keptScroll(230, 50, ids(0, 10), ["0", "1", "2", "3", "5", "6"]), 180);
});

test("a list that has nothing of what was read", () => {
  assert.equal(keptScroll(230, 50, ids(0, 10), ["x", "y"]), 50);
  assert.equal(keptScroll(230, 50, ids(0, 10), []), 0);
});

test("a row is brought into sight by the shortest way", () => {
  assert.deepEqual([scrollToRow(2, 300, 600, 50), scrollToRow(30, 300, 600, 50), scrollToRow(10, 300, 600, 50)], [100, 950, 300]);
});
