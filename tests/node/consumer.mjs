// Prints a tunnel's events as lines of JSON until the last one, and after each `stats` what the metrics socket says.
// Usage: node consumer.mjs EVENTS_ENDPOINT METRICS_ENDPOINT
import { decode } from "@msgpack/msgpack"
import { Request, Subscriber } from "zeromq"

const [eventsEndpoint, metricsEndpoint] = process.argv.slice(2)
const events = new Subscriber({ linger: 0 })
events.connect(eventsEndpoint)
events.subscribe("") // every type
// Relaxed: after a question without an answer another one may be asked.
const metrics = new Request({ linger: 0, receiveTimeout: 2000, relaxed: true, correlate: true })
metrics.connect(metricsEndpoint)

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

async function printSnapshot() {
  await metrics.send("snapshot")
  try {
    const [answer] = await metrics.receive()
    print({ type: "snapshot", ...JSON.parse(answer) })
  } catch (error) {
    if (error.code !== "EAGAIN") throw error // no answer: the tunnel is just ending
  }
}

for await (const [topic, payload] of events) {
  const event = decode(payload)
  if (event.type !== topic.toString()) throw new Error(`a ${event.type} under the topic ${topic}`)
  print(event)
  if (event.type === "stats") await printSnapshot()
  if (event.type === "stopped") break
}
events.close()
metrics.close()
