import assert from "node:assert/strict";
import { test } from "node:test";

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { command, quoted } from "../../../actors/inspector/page/curl.js";

/** What a program called curl is given by a shell that runs the command: {words, input}. */
function given(text) {
  const folder = mkdtempSync(join(tmpdir(), "curl-"));
  try {
    const program = join(folder, "curl");
    writeFileSync(program, `#!/bin/sh\nfor word; do printf '%s\\0' "$word"; done > ${folder}/words\ncat > ${folder}/input\n`, { mode: 0o755 });
    writeFileSync(join(folder, "typed"), text);
    execFileSync("/bin/sh", [join(folder, "typed")], { env: { PATH: `${folder}:${process.env.PATH}` }, input: "" });
    const words = readFileSync(join(folder, "words")).toString().split("\0").slice(0, -1);
    return { words, input: readFileSync(join(folder, "input")) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const request = (changes) => ({
  method: "GET",
  base: "https://a.example",
  target: "/",
  fields: [["User-Agent", "u"], ["Accept", "*/*"]],
  body: new Uint8Array(),
  ...changes,
});
const utf8 = (text) => new TextEncoder().encode(text);
const AGENT = ["-H", "User-Agent: u", "-H", "Accept: */*"];

test("a word that needs no quotes has none", () => {
  assert.deepEqual(["a-b/c:1", "", "a b", "it's"].map(quoted), ["a-b/c:1", "''", "'a b'", "'it'\\''s'"]);
});

test("a shell reads every word as it was meant", () => {
  const nasty = `$(touch x) \`id\` "q" 'q' \\ ! * ? ~ # & ; | < > \t \n ü 🙂 %s {a,b}`;
  const { words } = given(command(request({ method: "POST", target: "/?q='$x&y", fields: [...request().fields, ["X", "it's $HOME"], ["Content-Type", "t/p"]], body: utf8(nasty) })));
  assert.deepEqual(words, ["https://a.example/?q='$x&y", ...AGENT, "-H", "X: it's $HOME", "-H", "Content-Type: t/p", "--data-raw", nasty]);
});

test("a body that begins with @ is no file", () => {
  assert.ok(command(request({ method: "POST", body: utf8("@/etc/passwd") })).includes("--data-raw @/etc/passwd"));
});

test("bytes that are no text come through a pipe, each of them", () => {
  const body = Uint8Array.from({ length: 512 }, (_, index) => index % 256);
  const { words, input } = given(command(request({ method: "PUT", body })));
  assert.deepEqual(new Uint8Array(input), body);
  assert.deepEqual(words.slice(0, 3), ["https://a.example/", "-X", "PUT"]);
  assert.deepEqual(words.slice(-2), ["--data-binary", "@-"]);
});

test("a body that is too long for an argument comes through a pipe", () => {
  const body = utf8("it's ü ".repeat(30_000));
  assert.deepEqual(new Uint8Array(given(command(request({ method: "POST", body }))).input), body);
});

test("methods are told only where curl would take another", () => {
  const has = (method, body, words) => assert.deepEqual(given(command(request({ method, body: utf8(body) }))).words.slice(1, 3), words);
  has("GET", "", AGENT.slice(0, 2));
  has("POST", "x", AGENT.slice(0, 2));
  has("POST", "", ["-X", "POST"]);
  has("GET", "x", ["-X", "GET"]);
  has("HEAD", "x", ["-X", "HEAD"]);
  assert.equal(given(command(request({ method: "HEAD" }))).words[1], "--head");
});

test("what curl and the edge make themselves is left out; what curl would add is taken off", () => {
  const fields = [["Host", "h"], ["Content-Length", "3"], ["CF-Ray", "1"], ["Cdn-Loop", "x"], ["X-Forwarded-For", "1"], ["Accept-Encoding", "gzip, br"], ["@file", "x"], ["X-Empty", ""]];
  const { words } = given(command(request({ method: "POST", fields, body: utf8("abc") })));
  assert.deepEqual(words.slice(1), ["-H", "X-Empty;", "-H", "User-Agent:", "-H", "Accept:", "-H", "Content-Type:", "--compressed", "--data-raw", "abc"]);
});

test("paths that curl would change", () => {
  assert.ok(command(request({ target: "/a/../b" })).includes("--path-as-is"));
  assert.ok(command(request({ target: "/a?b[]=1" })).includes("--globoff"));
  assert.deepEqual(given(command(request({ method: "OPTIONS", target: "*" }))).words.slice(0, 3), ["https://a.example/", "--request-target", "*"]);
});
