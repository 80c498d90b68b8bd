import assert from "node:assert/strict";
import { test } from "node:test";

import { Store } from "../../../actors/inspector/page/store.js";

const summary = (id, changes = {}) => ({ id, sequence: 1, started: Number(id), state: "open", method: "GET", replay_of: null, ...changes });
const all = (store) => store.shown(() => true);

test("the newest is the first, however they come in", () => {
  const store = new Store();
  for (const id of ["1", "3", "2"]) assert.equal(store.put(summary(id)), undefined);
  assert.deepEqual(all(store), ["3", "2", "1"]);
});

test("a newer word replaces an older one, whichever comes last", () => {
  const store = new Store();
  store.put(summary("1", { sequence: 5, state: "answered" }));
  assert.equal(store.put(summary("1", { sequence: 4 })).sequence, 5);
  assert.equal(store.get("1").state, "answered");
  store.put(summary("1", { sequence: 5, state: "ended" }));
  store.put(summary("1", { sequence: 5, state: "open" }));
  assert.equal(store.get("1").state, "ended");
});

test("it holds no more than the server does", () => {
  const store = new Store();
  store.most = 2;
  for (const id of ["1", "2", "3"]) store.put(summary(id));
  assert.deepEqual([all(store), store.size], [["3", "2"], 2]);
});

test("what the server let go of is gone", () => {
  const store = new Store();
  for (const id of ["1", "2", "3"]) store.put(summary(id));
  store.remove(["2", "unknown"]);
  assert.deepEqual(all(store), ["3", "1"]);
  store.clear();
  assert.deepEqual(all(store), []);
});

test("the whole list: what it does not name is gone, but for what came since", () => {
  const store = new Store();
  store.put(summary("1", { sequence: 1 }));
  store.put(summary("9", { sequence: 9 }));
  store.replace([summary("3", { sequence: 3 }), summary("2", { sequence: 2 })], 8);
  assert.deepEqual(all(store), ["9", "3", "2"]);
});

test("methods and replays", () => {
  const store = new Store();
  store.put(summary("1", { method: "PUT" }));
  store.put(summary("2", { replay_of: "1" }));
  store.put(summary("3", { replay_of: "1" }));
  assert.deepEqual(store.methods(), ["GET", "PUT"]);
  assert.deepEqual(store.replaysOf("1").map(({ id }) => id), ["2", "3"]);
});
