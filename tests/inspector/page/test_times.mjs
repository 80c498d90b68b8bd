import assert from "node:assert/strict";
import { test } from "node:test";

import { phases, step, total } from "../../../actors/inspector/page/times.js";

const short = (found) => found.map(({ kind, from, to, isOpen }) => [kind, from, to, isOpen]);

test("three phases of one that has ended", () => {
  const found = phases({ connected: 0.01, first_byte: 0.5, ended: 0.6 }, null);
  assert.deepEqual(short(found), [["reach", 0, 0.01, false], ["wait", 0.01, 0.5, false], ["receive", 0.5, 0.6, false]]);
  assert.equal(total(found), 0.6);
});

test("one that goes on is open where it is", () => {
  assert.deepEqual(short(phases({ connected: 0.01, first_byte: null, ended: null }, 2)), [["reach", 0, 0.01, false], ["wait", 0.01, 2, true]]);
});

test("one that never reached its service, or was answered without one", () => {
  assert.deepEqual(short(phases({ connected: null, first_byte: null, ended: 3 }, null)), [["reach", 0, 3, false]]);
  assert.deepEqual(short(phases({ connected: 1, first_byte: null, ended: 3 }, null)), [["reach", 0, 1, false], ["wait", 1, 3, false]]);
  assert.deepEqual(short(phases({ connected: null, first_byte: 1, ended: 3 }, null)), [["wait", 0, 1, false], ["receive", 1, 3, false]]);
});

test("an answer of the tunnel's own is called that, if nothing was reached", () => {
  assert.deepEqual(short(phases({ connected: null, first_byte: null, ended: 3 }, null, true)), [["wait", 0, 3, false]]);
  assert.equal(phases({ connected: 1, first_byte: null, ended: 3 }, null, true).length, 2);
});

test("times that stand in the wrong order make no negative lengths", () => {
  for (const { from, to } of phases({ connected: 2, first_byte: 1, ended: 1.5 }, null)) assert.ok(to >= from);
});

test("marks are round", () => {
  assert.deepEqual([1, 0.6, 3, 12, 0].map(step), [0.2, 0.2, 1, 5, 0]);
});
