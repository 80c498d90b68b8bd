import assert from "node:assert/strict";
import { test } from "node:test";

import { Rate, SECONDS } from "../../../actors/inspector/page/rate.js";

test("a bar a second, the newest last", () => {
  const rate = new Rate();
  for (const started of [100.1, 100.9, 101.5]) rate.came(started);
  rate.failed(100.9);
  rate.failed(7); // long forgotten
  const bars = rate.bars(101.7);
  assert.equal(bars.length, SECONDS);
  assert.deepEqual(bars.slice(-3), [{ all: 0, failed: 0 }, { all: 2, failed: 1 }, { all: 1, failed: 0 }]);
});

test("the rate is that of the last whole seconds", () => {
  const rate = new Rate();
  for (let second = 90; second < 100; second += 1) for (let each = 0; each < 3; each += 1) rate.came(second);
  assert.equal(rate.perSecond(100.5), 3);
});

test("what is older than the bars is forgotten", () => {
  const rate = new Rate();
  rate.came(1);
  rate.bars(1000);
  assert.equal(rate.counts.size, 0);
});
