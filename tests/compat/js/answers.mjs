// What every answer must be, whatever was asked: one response from its creation to its end, in order and consistent.

import { expect } from "./reporting.mjs";
import { joined, names, soundBytes } from "./talk.mjs";

// Half a second: less is no answer.
const SOUND_BYTES_MIN = 24_000;

/** The words of the one completed answer in sound among `events`. */
export function spoken(events, dialect) {
  const text = words(events, dialect, dialect.transcript, dialect.audioContent, "transcript");
  const heard = soundBytes(events, dialect.audio);
  expect(heard >= SOUND_BYTES_MIN && heard % 2 === 0, "too little sound, or half a sample", heard);
  expect(names(events).includes(`${dialect.audio}.done`), "the end of the sound is missing", names(events));
  return text;
}

/** The words of the one completed answer in writing among `events`. */
export function written(events, dialect) {
  const text = words(events, dialect, dialect.text, dialect.textContent, "text");
  expect(soundBytes(events, dialect.audio) === 0, "sound in a written answer");
  return text;
}

/** The one response that ends among `events`. */
export function end(events) {
  const done = events.filter((event) => event.type === "response.done").map((event) => event.response);
  expect(done.length === 1, "not one response.done", names(events));
  return done[0];
}

function words(events, dialect, kind, content, field) {
  const response = end(events);
  expect(response.status === "completed", "not completed", response);
  const begun = events.filter((event) => event.type === "response.created").map((event) => event.response.id);
  expect(begun.length === 1 && begun[0] === response.id, "not one response.created, of this response", begun);
  const own = events.filter((event) => (event.response_id ?? event.response?.id) === response.id);
  inOrder(own, kind);
  const text = joined(own, kind);
  expect(text, "no words", names(own));
  const finished = own.filter((event) => event.type === `${kind}.done`);
  expect(finished.length === 1 && finished[0][field] === text, "the words at the end are others", finished, text);
  const [item, ...more] = response.output;
  expect(more.length === 0 && item.type === "message" && item.role === "assistant", "not one message", response);
  const part = item.content[0];
  expect(part.type === content && part[field] === text, "not these words in the response", part, text);
  expect(response.usage.output_tokens > 0 && response.usage.input_tokens > 0, "no usage", response);
  const told = events.filter((event) => event.item?.id === item.id && event.type.startsWith("conversation."));
  expect(`${told.map((event) => event.type)}` === `${dialect.itemBegins}`, "told wrongly", names(told));
  return text;
}

function inOrder(own, kind) {
  const types = own.map((event) => event.type);
  const wanted = [
    "response.created", "response.output_item.added", "response.content_part.added", `${kind}.delta`, `${kind}.done`,
    "response.content_part.done", "response.output_item.done", "response.done",
  ];
  const places = wanted.map((name) => types.indexOf(name));
  const sorted = places.every((place, index) => place > (places[index - 1] ?? -1));
  expect(sorted && places[0] === 0 && places.at(-1) === types.length - 1, "not in order", names(own));
}

/** Nothing of the other dialect, and nothing of this server's own. */
export function checkDialect(events, dialect) {
  const never = [...dialect.foreign, "avatar.", "extension."];
  const strange = events.map((event) => event.type).filter((type) => never.some((name) => type.startsWith(name)));
  expect(strange.length === 0, `not for a ${dialect.name} client`, [...new Set(strange)]);
  const ids = events.map((event) => event.event_id);
  expect(ids.every(Boolean) && new Set(ids).size === ids.length, "events without an id of their own");
}

/** No trace of a function call. */
export function checkNoCalls(events) {
  const calls = events.filter((event) => event.type.includes("function_call") || event.item?.type?.startsWith("function"));
  expect(calls.length === 0, "a server tool shows", calls.slice(0, 2));
}
