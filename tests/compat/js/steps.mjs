// What a client of the openai package does with a server, step by step, on one connection.

import { checkNoCalls, end, spoken, written } from "./answers.mjs";
import { GA, SERVER_VAD, WEATHER } from "./dialects.mjs";
import { expect } from "./reporting.mjs";
import { silence, tone } from "./sound.mjs";
import { joined, names, soundBytes } from "./talk.mjs";

const QUESTION = "Who founded the museum?";
const FACT = "Ottilie Marsh";
const SENTENCES = Array.from({ length: 40 }, (_, number) => `This is sentence number ${number} of a long speech.`);
const LONG_SPEECH = `Say exactly: ${SENTENCES.join(" ")}`;
const PLAYED_MS = 400;
const TRANSCRIBED = "conversation.item.input_audio_transcription.completed";

/** The session takes what the client sets, and shows the client's tool only. */
async function configure(talk) {
  const session = await talk.update([WEATHER]);
  expect(session.tools.length === 1 && session.tools[0].name === "get_weather", "not the client's tools", session);
  const { turn_detection: turnDetection, ...settings } = talk.dialect.settings(session);
  expect(turnDetection === null, "turn detection is on", session);
  for (const [name, value] of Object.entries(talk.dialect.effective)) {
    expect(settings[name] === value, `the session's ${name} is not what was set`, settings);
  }
  return settings;
}

/** A greeting in writing, answered in writing. */
async function textTurn(talk) {
  return { said: written(await talk.ask("Hello!", talk.dialect.textOnly), talk.dialect) };
}

/** A question that the server's own search answers, unseen. */
async function museumQuestion(talk) {
  const events = await talk.ask(QUESTION);
  const said = spoken(events, talk.dialect);
  expect(said.includes(FACT), "the fact is not in the answer", said);
  checkNoCalls(events);
  return { said, audio_bytes: soundBytes(events, talk.dialect.audio) };
}

/** Speech, then silence: the server takes the turn. */
async function audioTurn(talk) {
  const shown = talk.dialect.settings(await talk.update([WEATHER], SERVER_VAD)).turn_detection;
  expect(shown.type === "server_vad" && shown.silence_duration_ms === 300, "not the turn detection set", shown);
  expect(shown.create_response && shown.interrupt_response, "not its defaults", shown);
  talk.speak(Buffer.concat([silence(300), tone(800), silence(900)]));
  const events = await talk.until("response.done");
  const itemId = heardSpeech(events, talk.dialect);
  const said = spoken(events, talk.dialect);
  expect(said.includes(FACT), "not what was asked for", said);
  checkNoCalls(events);
  return { said, heard: await transcribed(talk, events, itemId) };
}

/** The words of an item, whenever they come. */
async function transcribed(talk, events, itemId) {
  const found = events.find((event) => event.type === TRANSCRIBED) ?? (await talk.until(TRANSCRIBED)).at(-1);
  expect(found.item_id === itemId && found.transcript === QUESTION, "not what was said", found);
  return found.transcript;
}

function heardSpeech(events, dialect) {
  const heard = events.filter((event) => event.type.startsWith("input_audio_buffer."));
  const steps = ["speech_started", "speech_stopped", "committed"].map((name) => `input_audio_buffer.${name}`);
  expect(`${names(heard)}` === `${steps}`, "not a turn", names(events));
  const itemId = heard[0].item_id;
  expect(heard.every((event) => event.item_id === itemId), "not of one item", heard);
  expect(0 <= heard[0].audio_start_ms && heard[0].audio_start_ms < heard[1].audio_end_ms, "not in time", heard);
  const told = events.filter((event) => event.item?.id === itemId);
  expect(`${told.map((event) => event.type)}` === `${dialect.itemBegins}`, "the item is told wrongly", told);
  expect(told[0].item.content[0].type === "input_audio", "not an item of sound", told[0]);
  const types = events.map((event) => event.type);
  const created = types.indexOf("response.created");
  expect(types.indexOf(steps[2]) < types.indexOf(told[0].type), "not in order", names(events));
  expect(types.indexOf(told[0].type) < created, "not in order", names(events));
  return itemId;
}

/** Speech while a button is held; what was said before it is thrown away. */
async function pushToTalk(talk) {
  await talk.update([WEATHER]);
  talk.speak(tone(300));
  talk.send({ type: "input_audio_buffer.clear" });
  await talk.until("input_audio_buffer.cleared");
  talk.speak(tone(800));
  talk.send({ type: "input_audio_buffer.commit" });
  const committed = await talk.until(talk.dialect.itemBegins.at(-1));
  // Where transcription and rate limits come is nobody's promise.
  const told = names(committed).filter((name) => !name.includes("transcription") && name !== "rate_limits.updated");
  expect(`${told}` === `${["input_audio_buffer.committed", ...talk.dialect.itemBegins]}`, "no item", told);
  const events = await talk.respond();
  expect(!names(events).includes("input_audio_buffer.speech_started"), "speech was detected", names(events));
  const said = spoken(events, talk.dialect);
  expect(said.includes(FACT), "not what was asked for", said);
  return { said, heard: await transcribed(talk, [...committed, ...events], committed.at(-1).item.id) };
}

/** A function of the client's own is called, answered, and its result spoken. */
async function toolCall(talk) {
  const events = await talk.ask("What is the weather in Paris?");
  const [call] = end(events).output;
  expect(call.type === "function_call" && call.name === "get_weather", "not the call", end(events));
  expect(JSON.parse(call.arguments).city === "Paris", "not the arguments", call);
  const done = events.find((event) => event.type === "response.function_call_arguments.done");
  expect(done.arguments === call.arguments && done.call_id === call.call_id, "not its call", done, call);
  expect("name" in done === (talk.dialect === GA), "the name is there in GA only", done);
  expect(joined(events, "response.function_call_arguments") === call.arguments, "the deltas are others", call);
  const { item } = events.find((event) => event.type === "response.output_item.done");
  expect(item.call_id === call.call_id && item.arguments === call.arguments, "not its item", item);
  const output = '{"message":"Sunny, 21 degrees."}';
  await talk.create({ type: "function_call_output", call_id: call.call_id, output });
  const said = spoken(await talk.respond(), talk.dialect);
  expect(said.includes("21 degrees"), "the result is not spoken", said);
  return { arguments: call.arguments, said };
}

/** An answer is stopped by the client, and the next one is given. */
async function cancelledAnswer(talk) {
  talk.send({ type: "response.create", response: { instructions: LONG_SPEECH } });
  await talk.until(`${talk.dialect.audio}.delta`);
  talk.send({ type: "response.cancel" });
  const response = end(await talk.until("response.done"));
  expect(response.status === "cancelled", "not cancelled", response);
  expect(response.status_details.reason === "client_cancelled", "not by the client", response);
  return { next: spoken(await talk.ask(QUESTION), talk.dialect) };
}

/** The person speaks into an answer: it ends, the client says what was heard, and the next answer comes. */
async function bargeIn(talk) {
  await talk.update([WEATHER], SERVER_VAD);
  talk.send({ type: "response.create", response: { instructions: LONG_SPEECH } });
  let delta;
  for (let number = 0; number < 4; number += 1) delta = (await talk.until(`${talk.dialect.audio}.delta`)).at(-1);
  talk.speak(tone(700));
  const events = await talk.until("response.done");
  expect(names(events).includes("input_audio_buffer.speech_started"), "no speech_started", names(events));
  const response = end(events);
  expect(response.status === "cancelled", "not cancelled", response);
  expect(response.status_details.reason === "turn_detected", "not by the person", response);
  expect(response.output[0].status === "incomplete", "the item is complete", response);
  const where = { item_id: delta.item_id, content_index: delta.content_index, audio_end_ms: PLAYED_MS };
  talk.send({ type: "conversation.item.truncate", ...where });
  const truncated = (await talk.until("conversation.item.truncated")).at(-1);
  for (const [name, value] of Object.entries(where)) expect(truncated[name] === value, "not what was said", truncated);
  talk.speak(silence(900));
  const said = spoken(await talk.until("response.done"), talk.dialect);
  await talk.update([WEATHER]);
  return { said, reason: response.status_details.reason };
}

/** An item under the client's own id is told, given out again, and deleted. */
async function items(talk) {
  const id = "item_of_the_client";
  await talk.write("Remember the number 7.", { id });
  talk.send({ type: "conversation.item.retrieve", item_id: id });
  const { item } = (await talk.until("conversation.item.retrieved")).at(-1);
  expect(item.id === id && item.content[0].text === "Remember the number 7.", "not the item", item);
  talk.send({ type: "conversation.item.delete", item_id: id });
  expect((await talk.until("conversation.item.deleted")).at(-1).item_id === id, "not deleted");
  talk.send({ type: "conversation.item.retrieve", item_id: id });
  const { error } = (await talk.until("error")).at(-1);
  expect(error.code === "item_retrieve_invalid_item_id", "not the service's code", error);
  return { code: error.code };
}

/** What the service refuses is an error event that names the client's, and no more. */
async function refusedEvent(talk) {
  // Silence that was left from a turn would make a commit good.
  talk.send({ type: "input_audio_buffer.clear" });
  await talk.until("input_audio_buffer.cleared");
  talk.send({ type: "input_audio_buffer.commit", event_id: "mine" });
  const { error } = (await talk.until("error")).at(-1);
  expect(error.code === "input_audio_buffer_commit_empty", "not the service's code", error);
  expect(error.event_id === "mine", "not of the client's event", error);
  return { code: error.code, said: spoken(await talk.ask("Thank you!"), talk.dialect) };
}

/** An answer beside the conversation, known by its metadata. */
async function outOfBand(talk) {
  const response = end(await talk.respond({ conversation: "none", metadata: { topic: "aside" }, ...talk.dialect.textOnly }));
  expect(response.metadata?.topic === "aside", "not its metadata", response);
  expect(response.conversation_id === null, "in the conversation", response);
  return { status: response.status };
}

export const STEPS = {
  configure,
  "text turn": textTurn,
  "museum question": museumQuestion,
  "audio turn": audioTurn,
  "push to talk": pushToTalk,
  "tool call": toolCall,
  "cancelled answer": cancelledAnswer,
  "barge in": bargeIn,
  items,
  "refused event": refusedEvent,
  "out of band": outOfBand,
};
