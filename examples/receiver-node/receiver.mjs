#!/usr/bin/env node
// The smallest endpoint that loses nothing, in Node.js: one file of audio for each channel, proven by its digest.
//
//     npm install
//     node receiver.mjs --certificate cert.pem --key key.pem [--port 8443] [--out DIR] [--token TOKEN]
//
// `sidestream listen` makes certificates and does much more; this is a page of code to start your own from.
// What it does that a receiver must (docs/stream-protocol.md):
//
// * messages are put in order and de-duplicated by `sequenceNumber`, over all connections of a stream;
// * `ack` says what is stored, so that a lost connection costs nothing;
// * `close.totals` is compared with what was stored.
import { createHash, timingSafeEqual } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";

const SUBPROTOCOL = "sidestream.v1";
const ACK_EVERY = 50; // messages: one second of two channels
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const { values: options } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "8443" },
    out: { type: "string", default: "received" },
    certificate: { type: "string" },
    key: { type: "string" },
    token: { type: "string" },
  },
});
if (!options.certificate || !options.key) {
  console.error("receiver: --certificate and --key are needed; `sidestream listen` makes a pair in DIR/tls");
  process.exit(2);
}

/** What was received of one stream, over all its connections. */
class Stream {
  last = 0;
  channels = new Map();

  constructor(id) {
    this.id = id;
  }

  /** Store a message; the verdict when it was the last one. */
  take(message) {
    const { event, sequenceNumber } = message;
    // `connect` and `start` of a later connection come before the replayed messages, with higher numbers.
    if (event === "connect" || event === "start" || sequenceNumber <= this.last) return null;
    this.last = sequenceNumber;
    const body = message[event];
    if (event === "media") this.store(body.channel, Buffer.from(body.payload, "base64"));
    else if (event === "close") return this.verdict(body);
    else console.log(`${this.id} ${event} ${JSON.stringify(body)}`);
    return null;
  }

  /** Append one frame of a channel to its file: headerless audio in the encoding that `start` named. */
  store(channel, payload) {
    if (!Number.isInteger(channel)) throw new TypeError("channel is no number");
    if (!this.channels.has(channel)) {
      const file = openSync(join(options.out, `${this.id}-${channel}.raw`), "w");
      this.channels.set(channel, { file, digest: createHash("sha256") });
    }
    const { file, digest } = this.channels.get(channel);
    writeSync(file, payload);
    digest.update(payload);
  }

  /** Say whether what was stored is what was sent. */
  verdict({ reason, totals }) {
    const empty = createHash("sha256").digest("hex");
    const stored = new Map();
    for (const [channel, { file, digest }] of this.channels) {
      closeSync(file);
      stored.set(channel, digest.digest("hex"));
    }
    const whole = totals.every(({ channel, sha256 }) => (stored.get(channel) ?? empty) === sha256);
    return `${this.id} closed: ${reason}; ${whole ? "all stored" : "AUDIO IS MISSING"}`;
  }
}

const streams = new Map();

/** Take one message of a connection, and acknowledge now and then. */
function receive(socket, data, isBinary) {
  if (isBinary) throw new TypeError("a binary frame");
  const message = JSON.parse(data.toString());
  const { streamId } = message;
  // The identifier becomes a file's name, so nothing but a UUID will do.
  if (!UUID.test(streamId) || !Number.isInteger(message.sequenceNumber)) throw new TypeError("no stream's message");
  if (!streams.has(streamId)) streams.set(streamId, new Stream(streamId));
  const stream = streams.get(streamId);
  const verdict = stream.take(message);
  socket.unacknowledged = (socket.unacknowledged ?? 0) + 1;
  if (verdict || socket.unacknowledged >= ACK_EVERY) {
    socket.send(JSON.stringify({ event: "ack", sequenceNumber: stream.last }));
    socket.unacknowledged = 0;
  }
  if (verdict) {
    console.log(verdict);
    streams.delete(streamId);
  }
}

/** Whether a connection has the token; digests are compared, so that the time tells nothing. */
function admitted(request) {
  const digest = (text) => createHash("sha256").update(text).digest();
  const given = request.headers.authorization ?? "";
  return !options.token || timingSafeEqual(digest(given), digest(`Bearer ${options.token}`));
}

mkdirSync(options.out, { recursive: true });
const server = createServer({
  cert: readFileSync(options.certificate),
  key: readFileSync(options.key),
  minVersion: "TLSv1.2",
});
const endpoint = new WebSocketServer({
  server,
  maxPayload: 1_000_000,
  perMessageDeflate: false,
  handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  // 401 is not tried again for the call.
  verifyClient: ({ req }, done) => (admitted(req) ? done(true) : done(false, 401, "the bearer token is wrong")),
});
endpoint.on("connection", (socket) => {
  socket.on("error", (error) => console.log(`a connection failed: ${error.message}`)); // it comes back
  socket.on("message", (data, isBinary) => {
    try {
      receive(socket, data, isBinary);
    } catch (error) {
      console.log(`a message that is none of the protocol: ${error.message}`);
      socket.close(1007);
    }
  });
});
server.listen(Number(options.port), options.host, () => {
  console.log(`wss://${options.host}:${server.address().port}`);
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    for (const socket of endpoint.clients) socket.close(1001);
    endpoint.close();
    server.close();
  });
}
