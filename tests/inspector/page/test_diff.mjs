import assert from "node:assert/strict";
import { test } from "node:test";

import { fieldRows, folded, parted, rows } from "../../../actors/inspector/page/diff.js";

const short = (found) => found.map(({ kind, left, right }) => [kind[0], left, right]);

test("equal lists have no differences", () => {
  assert.deepEqual(short(rows(["a", "b"], ["a", "b"])), [["s", "a", "a"], ["s", "b", "b"]]);
  assert.deepEqual(rows([], []), []);
});

test("a line that changed stands beside what it became", () => {
  assert.deepEqual(short(rows(["a", "b", "c"], ["a", "B", "c"])), [["s", "a", "a"], ["c", "b", "B"], ["s", "c", "c"]]);
});

test("what came and what went has nothing beside it", () => {
  assert.deepEqual(short(rows(["a", "b"], ["b"])), [["r", "a", null], ["s", "b", "b"]]);
  assert.deepEqual(short(rows([], ["x"])), [["a", null, "x"]]);
});

test("either side can be read off the rows, whatever the lists", () => {
  let seed = 7;
  const chance = (most) => (seed = (seed * 1103515245 + 12345) % 2147483648) % most;
  for (let round = 0; round < 500; round += 1) {
    const list = () => Array.from({ length: chance(12) }, () => "abcd"[chance(4)]);
    const [left, right] = [list(), list()];
    const found = rows(left, right);
    assert.deepEqual(found.map((row) => row.left).filter((line) => line !== null), left);
    assert.deepEqual(found.map((row) => row.right).filter((line) => line !== null), right);
    for (const row of found) assert.equal(row.kind === "same", row.left === row.right);
  }
});

test("the shortest way is found", () => {
  const found = rows([..."ABCABBA"], [..."CBABAC"]);
  assert.equal(found.filter((row) => row.kind === "same").length, 4);
});

test("lists that have nothing in common end too", () => {
  const many = (letter) => Array.from({ length: 20_000 }, (_, index) => `${letter}${index}`);
  assert.equal(rows(many("a"), many("b")).length, 20_000);
});

test("fields are compared by name, and of several by value", () => {
  const found = fieldRows([["Date", "1"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=1"], ["Gone", "x"]], [["set-cookie", "b=1"], ["Set-Cookie", "a=2"], ["date", "1"], ["New", "y"]]);
  assert.deepEqual(found.map(({ kind, name }) => `${kind} ${name}`), ["same Date", "changed Set-Cookie", "same Set-Cookie", "removed Gone", "added New"]);
});

test("long equal runs are folded, and what is close to a difference is not", () => {
  const left = Array.from({ length: 30 }, (_, index) => `${index}`);
  const right = left.with(15, "other");
  const found = folded(rows(left, right));
  assert.deepEqual(found.map((row) => (row.kind === "folded" ? row.rows.length : row.kind)), [12, "same", "same", "same", "changed", "same", "same", "same", 11]);
  assert.deepEqual(found.flatMap((row) => row.rows ?? [row]), rows(left, right));
});

test("where two lines differ", () => {
  assert.deepEqual(parted('"n": 12,', '"n": 102,'), { left: ['"n": 1', "", "2,"], right: ['"n": 1', "0", "2,"] });
  assert.deepEqual(parted("aa", "a"), { left: ["a", "a", ""], right: ["a", "", ""] });
});
