import assert from "node:assert/strict";
import { test } from "node:test";

import { NOTHING, fromFragment, isOn, matcher, span, toFragment } from "../../../actors/inspector/page/filter.js";

const summary = (changes) => ({ id: "1", method: "GET", target: "/Hook?A=b", status: 200, state: "ended", started: 1000, ...changes });
const fits = (filter, changes = {}, ids = null) => matcher({ ...NOTHING, ...filter }, 1060, ids)(summary(changes));

test("nothing asked for: all are shown", () => {
  assert.ok(fits({}));
  assert.equal(isOn(NOTHING), false);
});

test("method, path and status", () => {
  assert.deepEqual([fits({ method: "GET" }), fits({ method: "POST" })], [true, false]);
  assert.deepEqual([fits({ path: "hook?a" }), fits({ path: "nope" })], [true, false]);
  assert.deepEqual([fits({ status: "2xx" }), fits({ status: "200" }), fits({ status: "4xx" })], [true, true, false]);
});

test("those without an answer: open or failed", () => {
  const open = { status: null, state: "open" };
  const failed = { status: null, state: "ended" };
  assert.deepEqual([fits({ status: "open" }, open), fits({ status: "open" }, failed)], [true, false]);
  assert.deepEqual([fits({ status: "error" }, open), fits({ status: "error" }, failed)], [false, true]);
  assert.equal(fits({ status: "2xx" }, open), false);
});

test("times: back from now, or between two", () => {
  assert.deepEqual([fits({ time: "60" }), fits({ time: "60" }, { started: 999 })], [true, false]);
  const local = "2026-11-26T10:00:00";
  const seconds = new Date(local).getTime() / 1000;
  assert.deepEqual(span({ time: "between", since: local, until: "" }, 0), { since: seconds, until: null });
  assert.deepEqual(span({ time: "between", since: "half", until: local }, 0), { since: null, until: seconds });
  assert.deepEqual([fits({ time: "between", since: local }, { started: seconds }), fits({ time: "between", until: local }, { started: seconds + 1 })], [true, false]);
});

test("a text is looked for by the server; until it answers nothing is hidden", () => {
  assert.deepEqual([fits({ text: "x" }), fits({ text: "x" }, {}, new Set()), fits({ text: "x" }, {}, new Set(["1"]))], [true, false, true]);
});

test("a filter goes into the address and comes back", () => {
  const filter = { ...NOTHING, path: "/ü&=#", status: "4xx" };
  assert.deepEqual(fromFragment(toFragment(filter, "ex-1")), { filter, selected: "ex-1" });
  assert.equal(toFragment(NOTHING, null), "");
  assert.deepEqual(fromFragment("__proto__=1&junk"), { filter: NOTHING, selected: null });
});
