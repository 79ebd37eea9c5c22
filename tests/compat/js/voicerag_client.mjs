// What the page of VoiceRAG (Azure-Samples/aisearch-openai-rag-audio) does with a server: `node voicerag_client.mjs`.
//
// Its WebSocket is the page's, react-use-websocket, in a component without a document; its frames are those that the
// page sends, and what is looked at is what the page reads. The page has no microphone here, and its origin is COMPAT_URL.

import { createElement } from "react";
import { act, create } from "react-test-renderer";
import websocketModule from "react-use-websocket";

import { checkDialect, checkNoCalls, end, spoken } from "./answers.mjs";
import { BETA } from "./dialects.mjs";
import { expect, step } from "./reporting.mjs";
import { pieces, silence, tone } from "./sound.mjs";
import { Talk, names } from "./talk.mjs";

const { COMPAT_URL: url } = process.env;
const useWebSocket = websocketModule.default ?? websocketModule;
const FACT = "Ottilie Marsh";
const TOOL_RESPONSE = "extension.middle_tier_tool_response";
const START = {
  type: "session.update",
  session: { turn_detection: { type: "server_vad" }, input_audio_transcription: { model: "whisper-1" } },
};
// The default of the service; the page does not set it.
const SILENCE_MS = 900;

// Its timers are those of a window.
globalThis.window = globalThis;

let socket;
let opened = 0;
let troubles = 0;
const talk = new Talk(BETA, (event) => socket.sendJsonMessage(event));

function Page() {
  socket = useWebSocket(`${url.replace("http", "ws")}/realtime`, {
    onOpen: () => (opened += 1),
    onError: () => (troubles += 1),
    onMessage: (message) => talk.came(JSON.parse(message.data)),
    shouldReconnect: () => true,
    reconnectInterval: 50,
  });
  return null;
}

const speak = (sound) => {
  for (const piece of pieces(sound)) talk.send({ type: "input_audio_buffer.append", audio: piece.toString("base64") });
};

async function greeted() {
  const { session } = (await talk.until("session.created")).at(-1);
  expect(!("type" in session) && session.object === "realtime.session", "not in the beta's shape", session);
  expect(session.tools.length === 0, "the server's tools show", session.tools);
  BETA.settings(session);
  return session;
}

async function started() {
  talk.send(START);
  const { session } = (await talk.until("session.updated")).at(-1);
  expect(session.turn_detection.type === "server_vad", "not the turn detection set", session);
  expect(session.input_audio_transcription.model === "whisper-1", "no transcription", session);
  return session;
}

async function spokenQuestion() {
  speak(Buffer.concat([silence(300), tone(800), silence(SILENCE_MS)]));
  const events = await talk.until("response.done");
  const said = spoken(events, BETA);
  expect(said.includes(FACT), "the fact is not in the answer", said);
  // What the page makes of it.
  const shown = end(events).output.map((item) => item.content?.map((part) => part.transcript).join(" ")).join(" ");
  expect(shown.includes(FACT), "the page has nothing to show", shown);
  expect(names(events).includes("input_audio_buffer.speech_started"), "the page is not told to be quiet", names(events));
  checkNoCalls(events);
  const sources = grounded(events);
  const kind = "conversation.item.input_audio_transcription.completed";
  const heard = events.find((event) => event.type === kind) ?? (await talk.until(kind)).at(-1);
  expect(heard.transcript === "Who founded the museum?", "not what was said", heard);
  return { said, sources };
}

/** How many sources the page shows as buttons. */
function grounded(events) {
  const found = events.filter((event) => event.type === TOOL_RESPONSE);
  expect(found.length === 1, "not one tool response", names(events));
  const { previous_item_id: previous, tool_name: tool, tool_result: result } = found[0];
  expect(typeof previous === "string" && typeof tool === "string", "not what the page reads", found[0]);
  const { sources } = JSON.parse(result);
  const whole = sources.every((source) => source.chunk_id && source.title && source.chunk);
  expect(sources.length > 0 && whole, "not sources as the page shows them", sources);
  expect(sources.some((source) => source.chunk.includes(FACT)), "the fact is in no source", sources);
  return sources.length;
}

/** The page stops its player at `speech_started`, and truncates nothing. */
async function bargeIn() {
  speak(Buffer.concat([tone(800), silence(SILENCE_MS)]));
  await talk.until("response.audio.delta");
  speak(tone(800));
  const events = await talk.until("response.done");
  const { status, status_details: details } = end(events);
  expect(status === "cancelled" && details.reason === "turn_detected", "not interrupted", status, names(events));
  expect(names(events).includes("input_audio_buffer.speech_started"), "no speech_started", names(events));
  speak(silence(SILENCE_MS));
  return { next: spoken(await talk.until("response.done"), BETA) };
}

/** The button is pressed twice: the microphone stops, and a session begins anew on the same socket. */
async function stopAndStart() {
  talk.send({ type: "input_audio_buffer.clear" });
  await talk.until("input_audio_buffer.cleared");
  await started();
  return spokenQuestion();
}

/** The socket is lost; the page's own takes another. */
async function reconnect() {
  const before = opened;
  socket.getWebSocket().close();
  await greeted();
  expect(opened === before + 1, "not another socket", opened);
  await started();
  const result = await spokenQuestion();
  expect(troubles === 0, "the socket met troubles", troubles);
  return result;
}

let page;
const steps = {
  connect: async () => {
    await act(async () => (page = create(createElement(Page))));
    const { id } = await greeted();
    return { session: id };
  },
  start: async () => ({ voice: (await started()).voice }),
  "spoken question": spokenQuestion,
  "barge in": bargeIn,
  "stop and start": stopAndStart,
  reconnect,
  dialect: async () => {
    checkDialect(
      talk.events.filter((event) => event.type !== TOOL_RESPONSE && event.type !== "conversation.created"),
      BETA,
    );
    page.unmount();
    return { events: talk.events.length };
  },
};
for (const [name, play] of Object.entries(steps)) {
  const held = await step(name, play);
  if (name === "connect" && !held) break;
}
process.exit(0);
