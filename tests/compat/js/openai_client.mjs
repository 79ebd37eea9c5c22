// One client of the openai package against a server: `node openai_client.mjs SOCKET MODULE SERVICE`.
//
// SOCKET is ws or websocket (the native one), MODULE realtime or beta/realtime, SERVICE openai or azure. The server is where
// COMPAT_URL says (https: the package makes wss of every address), its key in COMPAT_KEY; with COMPAT_OPEN it asks for none.

import OpenAI, { AzureOpenAI } from "openai";

import { checkDialect } from "./answers.mjs";
import { BETA, GA, WEATHER } from "./dialects.mjs";
import { expect, step, within } from "./reporting.mjs";
import { STEPS } from "./steps.mjs";
import { Talk } from "./talk.mjs";

const [socketKind, moduleName, service] = process.argv.slice(2);
const { COMPAT_URL: url, COMPAT_KEY: key, COMPAT_OPEN: open } = process.env;
const PATIENCE_S = 20;
const NORMAL = 1000;
const model = "gpt-realtime";
const speaks = moduleName.startsWith("beta") ? BETA : GA;
const classes = await import(`openai/${moduleName}/${socketKind}`);
const Realtime = socketKind === "ws" ? classes.OpenAIRealtimeWS : classes.OpenAIRealtimeWebSocket;

/** The package's Realtime client as its user would make it. */
async function realtime(apiKey) {
  if (service === "openai") return new Realtime({ model }, new OpenAI({ apiKey, baseURL: `${url}/v1` }));
  const endpoint = url;
  const client = new AzureOpenAI({ apiKey, endpoint, apiVersion: "2024-10-01-preview", deployment: model });
  return Realtime.azure(client);
}

/** A connection, its events from the first on, and what it ends with. */
async function opened(apiKey) {
  const connection = await realtime(apiKey);
  const talk = new Talk(speaks, (event) => connection.send(event));
  const closed = new Promise((resolve) => {
    if (socketKind === "ws") connection.socket.on("close", (code) => resolve(code));
    else connection.socket.addEventListener("close", (event) => resolve(event.code));
  });
  const troubles = [];
  connection.on("event", (event) => talk.came(event));
  const broken = new Promise((resolve) => {
    connection.on("error", (error) => {
      // The package says errors of the service here too; those are among the events.
      if (!error.error) resolve(troubles.push(`${error.message}`));
    });
  });
  return { connection, talk, closed, broken, troubles };
}

async function connect() {
  const client = await opened(key);
  const { talk } = client;
  const first = await Promise.race([talk.receive(), client.closed]);
  expect(first?.type === "session.created", "not session.created first", first, client.troubles);
  const { session } = first;
  // Azure's dated path begins in beta whatever the client speaks; what it sends first decides.
  client.greeting = new URL(client.connection.url).pathname === "/openai/realtime" ? BETA : speaks;
  expect(session.object === "realtime.session" && session.id, "not a session", session);
  expect(session.model && session.tools.length === 0, "no model, or tools that are not the client's", session);
  expect("type" in session === (client.greeting === GA), "in the wrong shape", session);
  client.greeting.settings(session);
  return client;
}

async function wrongKey() {
  const { connection, talk, closed, broken, troubles } = await opened("not-the-key-of-the-server");
  // A native socket of Node 20 that is refused at the handshake has an error, and no close.
  const code = await within(PATIENCE_S, Promise.race([closed, broken.then(() => undefined)]), "the close");
  connection.close();
  const told = talk.events.map((event) => event.error?.code);
  // A native socket does not read an HTTP status; one that offers its key as a subprotocol is let in to be told.
  const refused = troubles.some((trouble) => trouble.includes("401"));
  const turnedAway = code === 3000 && `${told}` === "invalid_api_key";
  const unread = service === "azure" && socketKind === "websocket" && troubles.length > 0 && told.length === 0;
  expect(refused || turnedAway || unread, "not refused for its key", code, told, troubles);
  return { code, told, troubles };
}

const events = [];
let client;
const connected = await step("connect", async () => {
  client = await connect();
  return { session: client.talk.events[0].session.id };
});
if (!connected) process.exit(1);
for (const [name, play] of Object.entries(STEPS)) {
  const held = await step(name, async () => {
    if (!client) {
      client = await connect();
      await client.talk.update([WEATHER]);
    }
    return play(client.talk);
  });
  if (!held && client) {
    events.push(...client.talk.events);
    client.connection.close();
    client = undefined;
  }
}
await step("close", async () => {
  client ??= await connect();
  client.connection.close();
  const code = await within(PATIENCE_S, client.closed, "the close");
  events.push(...client.talk.events);
  expect(code === NORMAL, "not closed normally", code);
  expect(client.troubles.length === 0, "the package met troubles", client.troubles);
  return { code };
});
if (!open) await step("wrong key", wrongKey);
await step("dialect", async () => {
  checkDialect(events.filter((event) => client.greeting === speaks || event.type !== "conversation.created"), speaks);
  return { events: events.length };
});
process.exit(0);
