import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, clock, duration, outcome, plural, shortType, splitTarget, statusText, visible } from "../../../actors/inspector/page/format.js";

test("sizes have two digits that matter", () => {
  const said = [null, 0, 999, 1000, 1234, 9949, 9960, 999_499, 999_500, 34_000_000, 5e15].map(bytes);
  assert.deepEqual(said, ["–", "0 B", "999 B", "1.0 kB", "1.2 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "34 MB", "5000 TB"]);
});

test("lengths of time go from parts of a millisecond to hours", () => {
  const said = [null, 0, 0.0004, 0.023, 0.9996, 1.2, 12.34, 59.97, 125, 7260].map(duration);
  assert.deepEqual(said, ["–", "0.0 ms", "0.4 ms", "23 ms", "1.00 s", "1.20 s", "12.3 s", "1 min 0 s", "2 min 5 s", "2 h 1 min"]);
});

test("the time of day is this machine's", () => {
  const date = new Date(2026, 10, 26, 4, 3, 9, 42);
  assert.equal(clock(date.getTime() / 1000), "04:03:09.042");
});

test("an outcome is what the colour says", () => {
  const of = (status, state) => outcome({ status, state });
  assert.deepEqual([of(101, "open"), of(204, "ended"), of(599, "ended"), of(999, "ended")], ["s1", "s2", "s5", "failed"]);
  assert.deepEqual([of(null, "open"), of(null, "ended")], ["open", "failed"]);
  assert.deepEqual([statusText({ status: null, state: "open" }), statusText({ status: null, state: "ended" })], ["…", "✕"]);
});

test("what cannot be seen in a stranger's text is made visible", () => {
  assert.equal(visible("a\r\nb\0c\u202Etxt.exe\u200b\ufeff\x7f"), "a␍␊b␀c⟨202E⟩txt.exe⟨200B⟩⟨FEFF⟩␡");
  assert.equal(visible("grün 日本 🙂"), "grün 日本 🙂");
});

test("short types", () => {
  const said = ["application/problem+json; charset=utf-8", "text/html", "multipart/form-data; boundary=x", "image/svg+xml", "application/x-www-form-urlencoded", "application/javascript", null].map(shortType);
  assert.deepEqual(said, ["json", "html", "multipart", "xml", "form", "js", ""]);
});

test("a target is parted at its first question mark", () => {
  assert.deepEqual([splitTarget("/a?b?c"), splitTarget("/a")], [["/a", "?b?c"], ["/a", ""]]);
});

test("one request, two requests", () => {
  assert.deepEqual([plural(1, "request"), plural(1200, "request")], ["1 request", "1,200 requests"]);
});
