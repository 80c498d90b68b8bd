import assert from "node:assert/strict";
import { test } from "node:test";

import { parts } from "../../../actors/inspector/page/multipart.js";

const utf8 = (text) => new TextEncoder().encode(text);
const told = (body, type = "multipart/form-data; boundary=X") =>
  parts(utf8(body), type).map((part) => [part.name, part.filename, part.type, new TextDecoder().decode(part.bytes), part.isComplete]);

const FORM =
  '--X\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n' +
  '--X\r\nContent-Disposition: form-data; name="f"; filename="x \\"y\\".png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--Xy\r\n' +
  "\r\n--X--\r\nepilogue";

test("fields and files, with bodies that have line breaks and half a boundary", () => {
  const [field, file] = told(FORM);
  assert.deepEqual(field, ["a", null, "text/plain", "one", true]);
  assert.equal(file[1], 'x "y".png');
  assert.equal(file[2], "image/png");
});

test("a boundary counts only at the begin of a line, and only as a whole", () => {
  const body = "--X\r\n\r\na --X b\r\n--X--";
  assert.deepEqual(told(body).map((part) => part[3]), ["a --X b"]);
});

test("preamble and epilogue are no parts; a quoted boundary works", () => {
  assert.deepEqual(told('pre\r\n--a b\r\n\r\n1\r\n--a b--\r\npost', 'multipart/mixed; boundary="a b"').map((part) => part[3]), ["1"]);
});

test("what was cut off is a part that is not complete", () => {
  const cut = told(FORM.slice(0, 150));
  assert.deepEqual(cut.map((part) => part[4]), [true, false]);
});

test("line breaks of LF alone", () => {
  assert.deepEqual(told("--X\nContent-Disposition: form-data; name=n\n\nbody\n--X--\n"), [["n", null, "text/plain", "body", true]]);
});

test("a part without a head", () => {
  assert.deepEqual(told("--X\r\n\r\n\r\n--X--").map((part) => part[3]), [""]);
});

test("names in other alphabets", () => {
  const body = "--X\r\nContent-Disposition: form-data; name=n; filename*=UTF-8''%e2%82%ac.txt\r\n\r\n\r\n--X--";
  assert.equal(told(body)[0][1], "€.txt");
  assert.equal(told(body.replace("%e2", "%zz"))[0][1], "%zz%82%ac.txt");
});

test("no boundary, no parts; nothing but boundaries, not too many", () => {
  assert.deepEqual(told("--X\r\n\r\na\r\n--X--", "multipart/form-data"), []);
  assert.deepEqual(told("no such boundary"), []);
  assert.ok(told("--X\r\n\r\n\r\n".repeat(20_000)).length <= 100);
});
