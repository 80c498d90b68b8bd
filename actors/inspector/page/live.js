/* What happens, as it happens: the inspector's event stream, and the whole list each time it was interrupted. */

import * as api from "./api.js";

const TRY_AGAIN_MS = 2000; // after the browser has given up by itself
const MOST_ASKED = 100_000; // the ring's own bound is lower

/**
 * Keep a store as the server has it, for as long as the page lives.
 *
 * @param store the `Store`
 * @param told {changed(summary or null, what was known of it), cleared(), status(status), connection(isUp)}: what is called
 */
export function follow(store, told) {
  let source = null;

  function connect() {
    source = new EventSource("/api/events");
    source.onopen = () => {
      told.connection(true);
      load();
    };
    source.onerror = () => {
      told.connection(false);
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, TRY_AGAIN_MS);
    };
    source.addEventListener("exchange", (event) => {
      const summary = JSON.parse(event.data);
      told.changed(summary, store.put(summary));
    });
    source.addEventListener("removed", (event) => {
      store.remove(JSON.parse(event.data));
      told.changed(null);
    });
    source.addEventListener("cleared", () => {
      store.clear();
      told.cleared();
    });
    source.addEventListener("status", (event) => takeStatus(JSON.parse(event.data)));
  }

  function takeStatus(status) {
    store.most = status.limits?.count ?? Infinity;
    told.status(status);
  }

  async function load() {
    try {
      takeStatus(await api.status());
      const { exchanges, sequence } = await api.list({ limit: MOST_ASKED });
      store.replace(exchanges, sequence);
      told.changed(null);
    } catch {
      told.connection(false); // the stream breaks as well, and begins again
    }
  }

  connect();
}
