// What programs in Node do to find a tunnel: ask the agent at a port, and take the address of what is there.
// node finds_tunnel.mjs http://127.0.0.1:4040

const agent = process.argv[2];

const { tunnels } = await (await fetch(`${agent}/api/tunnels`)).json();
const tunnel = tunnels.find((each) => each.proto === "https" || each.proto === "http");
const { requests } = await (await fetch(`${agent}/api/requests/http?limit=1`)).json();
const raw = Buffer.from(requests[0].request.raw, "base64").toString();
console.log(
  JSON.stringify({ url: tunnel.public_url, origin: tunnel.config.addr, last: requests[0].request.uri, raw }),
);
