// @openai/agents-realtime's session over its WebSocket transport against a server: `node agents_client.mjs`.
//
// The server is where COMPAT_URL says, its key in COMPAT_KEY. The session is made as its user would make it: an agent with
// a tool of its own, an address, a key.

import { RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import { z } from "zod";

import { checkDialect, checkNoCalls, end, spoken } from "./answers.mjs";
import { GA } from "./dialects.mjs";
import { expect, step, within } from "./reporting.mjs";
import { pieces, silence, tone } from "./sound.mjs";
import { Talk, names } from "./talk.mjs";

const { COMPAT_URL: url, COMPAT_KEY: key } = process.env;
const PATIENCE_S = 20;
const SENTENCES = Array.from({ length: 40 }, (_, number) => `This is sentence number ${number} of a long speech.`);
const LONG_SPEECH = `Say exactly: ${SENTENCES.join(" ")}`;
const serverVad = { type: "server_vad", silenceDurationMs: 300, createResponse: true, interruptResponse: true };

const asked = [];
const weather = tool({
  name: "get_weather",
  description: "Get the current weather in a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    asked.push(city);
    return "It is sunny there, 21 degrees.";
  },
});
const agent = new RealtimeAgent({ name: "Guide", instructions: "You guide visitors.", tools: [weather] });
const config = { audio: { input: { turnDetection: serverVad } } };
const session = new RealtimeSession(agent, { transport: "websocket", model: "gpt-realtime", config });
const talk = new Talk(GA, (event) => session.transport.sendEvent(event));
const troubles = [];
const interruptions = [];
let heardBytes = 0;
session.transport.on("*", (event) => talk.came(event));
session.on("audio", (event) => (heardBytes += event.data.byteLength));
session.on("audio_interrupted", () => interruptions.push(talk.events.length));
session.on("error", (error) => troubles.push(error));

const speak = (sound) => {
  for (const piece of pieces(sound)) {
    session.sendAudio(piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.length));
  }
};
const messages = (role) => session.history.filter((item) => item.type === "message" && item.role === role);
const said = (item) => item.content.map((part) => part.transcript ?? part.text ?? "").join("");

async function historySays(text) {
  const holds = async () => {
    while (!messages("assistant").some((item) => said(item).includes(text))) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await within(PATIENCE_S, holds(), `"${text}" in the history`);
}

async function connect() {
  await session.connect({ apiKey: key, url: `${url.replace("http", "ws")}/v1/realtime?model=gpt-realtime` });
  // The client configures the session before it is there, and once more, for its traces, when it is.
  let events = await talk.until("session.updated");
  expect(`${names(events)}` === "session.created,session.updated", "not in order", names(events));
  const { session: effective } = events.at(-1);
  expect(effective.instructions.includes("You guide visitors."), "not the agent's instructions", effective);
  expect(`${effective.tools.map((entry) => entry.name)}` === "get_weather", "not the agent's tools", effective.tools);
  expect(effective.audio.input.turn_detection.silence_duration_ms === 300, "not its turn detection", effective);
  events = await talk.until("session.updated");
  expect(events.at(-1).session.tracing === "auto", "no tracing", events.at(-1).session);
  return { session: effective.id };
}

async function museumQuestion() {
  session.sendMessage("Who founded the museum?");
  const events = await talk.until("response.done");
  const words = spoken(events, GA);
  expect(words.includes("Ottilie Marsh"), "the fact is not in the answer", words);
  checkNoCalls(events);
  await historySays("Ottilie Marsh");
  expect(session.history.every((item) => item.type === "message"), "a call in the history", session.history);
  expect(heardBytes > 48_000, "no sound came to the application", heardBytes);
  return { said: words, audio_bytes: heardBytes };
}

async function toolCall() {
  session.sendMessage("What is the weather in Paris?");
  const [call] = end(await talk.until("response.done")).output;
  expect(call.type === "function_call" && call.name === "get_weather", "not the call", call);
  const words = spoken(await talk.until("response.done"), GA);
  expect(`${asked}` === "Paris", "the tool was not run once with its argument", asked);
  expect(words.includes("21 degrees"), "the result is not spoken", words);
  const calls = session.history.filter((item) => item.type === "function_call");
  expect(calls.length === 1 && calls[0].output.includes("21 degrees"), "not in the history", calls);
  return { said: words, arguments: call.arguments };
}

async function audioTurn() {
  speak(Buffer.concat([silence(300), tone(800), silence(900)]));
  const events = await talk.until("response.done");
  const heard = names(events.filter((event) => event.type.startsWith("input_audio_buffer.")));
  const steps = ["speech_started", "speech_stopped", "committed"].map((name) => `input_audio_buffer.${name}`);
  expect(`${heard}` === `${steps}`, "not a turn", names(events));
  const users = messages("user");
  expect(users.at(-1).content[0].type === "input_audio", "the speech is not in the history", users);
  return { said: spoken(events, GA) };
}

async function bargeIn() {
  talk.send({ type: "response.create", response: { instructions: LONG_SPEECH } });
  for (let number = 0; number < 4; number += 1) await talk.until("response.output_audio.delta");
  const before = interruptions.length;
  speak(tone(700));
  const events = await talk.until("response.done");
  const { status, status_details: details, output } = end(events);
  expect(status === "cancelled" && details.reason === "turn_detected", "not interrupted", details);
  // The client truncates by itself, and asks for the item once more to learn what is left of it.
  const wanted = ["conversation.item.truncated", "conversation.item.retrieved"];
  const find = (name) => events.find((event) => event.type === name);
  while (!wanted.every(find)) events.push(...(await talk.until((event) => wanted.includes(event.type))));
  const truncated = find(wanted[0]);
  expect(truncated.item_id === output[0].id && truncated.audio_end_ms >= 0, "not this item", truncated);
  expect(find(wanted[1]).item.id === output[0].id, "not this item", find(wanted[1]));
  expect(interruptions.length > before, "the application was not told to stop playing");
  speak(silence(900));
  return { audio_end_ms: truncated.audio_end_ms, said: spoken(await talk.until("response.done"), GA) };
}

async function pushToTalk() {
  session.transport.updateSessionConfig({ audio: { input: { turnDetection: null } } });
  const { session: effective } = (await talk.until("session.updated")).at(-1);
  expect(effective.audio.input.turn_detection === null, "turn detection is on", effective);
  speak(tone(800));
  talk.send({ type: "input_audio_buffer.commit" });
  await talk.until("input_audio_buffer.committed");
  talk.send({ type: "response.create" });
  const events = await talk.until("response.done");
  expect(!names(events).includes("input_audio_buffer.speech_started"), "speech was detected", names(events));
  return { said: spoken(events, GA) };
}

async function close() {
  const socket = session.transport.connectionState.websocket;
  const closed = new Promise((resolve) => socket.on("close", (code) => resolve(code)));
  session.close();
  // The client gives no code, so there is none (RFC 6455, 7.1.5).
  const code = await within(PATIENCE_S, closed, "the close");
  expect(code === 1005, "not closed normally", code);
  expect(troubles.length === 0, "the client met troubles", troubles);
  return { code };
}

const steps = {
  connect, "museum question": museumQuestion, "tool call": toolCall, "audio turn": audioTurn, "barge in": bargeIn,
  "push to talk": pushToTalk, close,
};
for (const [name, play] of Object.entries(steps)) await step(name, play);
await step("dialect", async () => {
  checkDialect(talk.events, GA);
  return { events: talk.events.length };
});
process.exit(0);
