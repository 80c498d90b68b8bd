import assert from "node:assert/strict";
import { test } from "node:test";

import { KEYS, meaning, shown } from "../../../actors/inspector/page/keys.js";

const event = (key, changes = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, ...changes });

test("no key means two things, and each has words for the help", () => {
  const keys = KEYS.flatMap((entry) => entry.keys);
  assert.equal(keys.length, new Set(keys).size);
  for (const { words, does } of KEYS) assert.ok(words && does);
});

test("keys with Ctrl, Alt or Meta are the browser's", () => {
  for (const held of ["ctrlKey", "metaKey", "altKey"]) assert.equal(meaning(event("r", { [held]: true }), "BODY", true), null);
});

test("in a field keys are text, but for Escape", () => {
  assert.equal(meaning(event("r"), "INPUT", false), null);
  assert.equal(meaning(event("Escape"), "TEXTAREA", false).does, "back");
});

test("arrows move the list only from within it", () => {
  assert.equal(meaning(event("ArrowDown"), "DIV", true).does, "next");
  assert.equal(meaning(event("ArrowDown"), "PRE", false), null);
  assert.equal(meaning(event("j"), "PRE", false).does, "next");
  assert.equal(meaning(event("Enter"), "BUTTON", true), null);
});

test("keys as they are written on them", () => {
  assert.deepEqual(["ArrowUp", "Escape", "j"].map(shown), ["↑", "Esc", "j"]);
});
