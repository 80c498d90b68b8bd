/* The form in which a request is changed before it is sent again. */

import * as api from "./api.js";
import { byId } from "./dom.js";
import { inField, order } from "./edits.js";
import { asLines, value } from "./fields.js";
import { bytes as size } from "./format.js";
import { looksLikeJson, pieces } from "./json.js";
import { decoded, isText } from "./text.js";

export class EditDialog {
  /** @param onSent called with the id of the new exchange */
  constructor(onSent) {
    this.onSent = onSent;
    this.dialog = byId("edit-dialog");
    this.form = byId("edit-form");
    this.field = this.form.elements;
    this.original = null;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    byId("edit-cancel").addEventListener("click", () => this.dialog.close());
    byId("edit-lay-out").addEventListener("click", () => {
      const laidOut = pieces(this.field.body.value).map(([, piece]) => piece);
      this.field.body.value = laidOut.join("");
    });
    this.field.replaced.addEventListener("change", () => {
      this.field.body.disabled = !this.field.replaced.checked;
    });
  }

  /** Open it for an exchange, of which the detail is given. */
  async open(detail) {
    const { fields, body } = detail.request;
    const type = body.type ?? value(fields, "content-type");
    const { bytes, isDecoded } = body.kept ? await api.body(detail.id, "request") : { bytes: new Uint8Array(), isDecoded: true };
    const text = isDecoded && isText(bytes, type) ? decoded(bytes, type) : null;
    const isComplete = body.kept === body.size;
    this.original = { id: detail.id, method: detail.method, target: detail.target, fields, body: text, isComplete };
    this.field.method.value = detail.method;
    this.field.target.value = detail.target;
    this.field.headers.value = asLines(fields);
    this.field.body.value = inField(text ?? "");
    this.field.body.disabled = text === null;
    this.field.replaced.checked = false;
    byId("edit-replaced").hidden = text !== null;
    byId("edit-lay-out").hidden = !looksLikeJson(text ?? "");
    byId("edit-body-hint").textContent = hint(text, isComplete, body, bytes);
    byId("edit-masked").hidden = !fields.some((field) => field[2]);
    this.fail("");
    this.dialog.showModal();
    this.field.target.focus();
  }

  async send() {
    const { original, field } = this;
    const edited = {
      method: field.method.value,
      target: field.target.value,
      lines: field.headers.value,
      body: field.body.disabled ? null : field.body.value,
    };
    this.field.send.disabled = true;
    try {
      const { id } = await api.replay(original.id, order(edited, original));
      this.dialog.close();
      this.onSent(id);
    } catch (error) {
      this.fail(error.message);
    }
    this.field.send.disabled = false;
  }

  fail(words) {
    const place = byId("edit-error");
    place.textContent = words;
    place.hidden = !words;
  }
}

function hint(text, isComplete, body, bytes) {
  if (!isComplete) return `Only the first ${size(body.kept)} of ${size(body.size)} were kept: what stands here is all that would be sent.`;
  if (text === null) return `${size(bytes.length)} that are no text: they are sent as they came.`;
  return "";
}
