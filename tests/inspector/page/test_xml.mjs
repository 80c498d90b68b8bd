import assert from "node:assert/strict";
import { test } from "node:test";

import { laidOut, pieces, tokens } from "../../../actors/inspector/page/xml.js";

const text = (found) => found.map(([, piece]) => piece).join("");

test("nothing is lost that is not laid out", () => {
  for (const source of ['<a b="c>d" e=\'f\'>x &lt; y<br/></a>', "<!doctype html><p>a<b>c", "a < b > c", "<", "<a", '<a b="never closed', "<!-- cut", "<![CDATA[<x>]]>", "<a/ b=1>", "</>"]) {
    assert.equal(text(pieces(source)), source);
  }
});

test("elements have a line each, and text stays with its own", () => {
  const source = '<?xml version="1.0"?><a x="1"><b>text</b>\n <c/><d></d><!-- note --><e><f>1</f></e></a>';
  assert.equal(text(laidOut(source)), '<?xml version="1.0"?>\n<a x="1">\n  <b>text</b>\n  <c/>\n  <d></d>\n  <!-- note -->\n  <e>\n    <f>1</f>\n  </e>\n</a>');
});

test("kinds", () => {
  assert.deepEqual(pieces('<a b="c"/>'), [["tag", "<a"], ["mark", " "], ["key", "b"], ["mark", "="], ["string", '"c"'], ["tag", "/>"]]);
  assert.deepEqual(tokens("<a>t<!--c--></a>").map(({ kind }) => kind), ["open", "text", "aside", "close"]);
});

test("text within CDATA is no markup", () => {
  assert.deepEqual(tokens("<a><![CDATA[<b>]]></a>").map(({ text: each }) => each), ["<a>", "<![CDATA[<b>]]>", "</a>"]);
});

test("hostile markup takes no longer than its length", () => {
  for (const source of ["<a ".repeat(30_000), '<a b="'.repeat(20_000), "<".repeat(60_000), "<!--".repeat(20_000), "<a>".repeat(20_000), `<a ${"x=".repeat(30_000)}`, `<a ${"x".repeat(60_000)}>`, `<a ${"x ".repeat(30_000)}>`, `<a x${" ".repeat(60_000)}>`]) {
    assert.ok(text(laidOut(source)).length < 3e6);
  }
});
