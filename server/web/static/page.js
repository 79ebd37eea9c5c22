/** The demo page: puts LiveAvatar, its face and the conversation together. Everything that is said is set as text. */

import { ConversationLog } from "./conversation.js";
import { canDictate, Dictation } from "./dictation.js";
import { explain, explainStatus, NO_KEY_YET } from "./endings.js";
import { LiveAvatar } from "./liveavatar.js";
import { face } from "./portrait.js";

export { face };

const at = (id) => document.getElementById(id);

const STATES = {
  idle: "Not connected",
  connecting: "Connecting…",
  listening: "Ready for your question",
  hearing: "Listening to you…",
  thinking: "Thinking…",
  searching: "Looking it up…",
  speaking: "Speaking",
  reconnecting: "Connecting again…",
  closed: "Not connected",
};
const CONNECTIONS = { idle: "Not connected", connecting: "Connecting…", reconnecting: "Connection lost, trying again…", closed: "Not connected" };
const SERVICE_LOST = "One moment, please…";
// A connection that is there again sooner than this was hardly missed.
const HARDLY_MISSED_MS = 1200;
// The caption is two lines under the face.
const CAPTION_CHARS = 150;
const SENTENCE_END = /[.!?…]["'”’»)\]]*\s+|[。！？]/g;

let key = null;
let showsKeyItself = false; // it may not make tickets
let listDenied = false;

/** What opens the next connection: a ticket that is good for one, from this page, and for a minute. */
async function credential({ resuming }) {
  if (!key || showsKeyItself) return key;
  if (resuming) return null; // what is kept of the conversation stands for its ticket
  const response = await fetch("/api/tickets", {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify({ origin: location.origin }),
  });
  if (response.ok) return (await response.json()).ticket;
  // A wrong key is refused by the connection as well, which says so.
  if (response.status === 401) return key;
  showsKeyItself = response.status === 403;
  if (showsKeyItself) return key;
  throw new Error(explainStatus(response.status));
}

/** The conversation; it and the face are for the page's tests and for the curious. */
export const avatar = new LiveAvatar({ kb: new URLSearchParams(location.search).get("kb"), token: credential, persist: "tab" });
face.follow(() => avatar.mouth());

const log = new ConversationLog(at("log"), (passageId) => {
  const path = `/api/knowledge-bases/${encodeURIComponent(avatar.kb)}/passages`;
  return fetchApi(`${path}?id=${encodeURIComponent(passageId)}`);
});

let knowledge = { knowledge_bases: [], default_kb_id: null, hears_speech: true };
let answering = null; // {itemId, text} of the answer that is being spoken
let dictation = null;
let lastAnswer = null;
let retryAt = 0;
let lostAt = 0;
let lastError = null; // {code, note} of the newest error in the log
let beganAnew = null;

function fetchApi(path) {
  return fetch(path, { headers: key ? { Authorization: `Bearer ${key}` } : {} });
}

// What the server has

async function loadKnowledge() {
  let response;
  try {
    response = await fetchApi("/api/knowledge-bases");
  } catch {
    return; // the connection tells the same, with what to do
  }
  if (!response.ok) {
    listDenied = response.status === 401;
    if (listDenied) askForKeyAgain();
    else showNotice({ text: explainStatus(response.status) });
    return;
  }
  listDenied = false;
  knowledge = await response.json();
  const chooser = at("knowledge-base");
  const options = knowledge.knowledge_bases.map(({ kb_id, title }) => new Option(title, kb_id));
  chooser.replaceChildren(...options);
  chooser.disabled = options.length === 0;
  if (!options.length) {
    chooser.replaceChildren(new Option("nothing yet", ""));
    showNotice({ text: "This server has no knowledge base yet. Fill one with “liveavatar ingest NAME FOLDER”." });
  }
  chooseShown();
  showHearing();
}

// A conversation that survived a reload needs no key; the key itself did not survive.
function askForKeyAgain() {
  if (!listDenied || key || !avatar.connected) return;
  const text = "This server needs a key again to show sources and other subjects. The conversation goes on without it.";
  showNotice({ text, needsKey: true });
}

function chooseShown() {
  const chooser = at("knowledge-base");
  const wanted = avatar.kb ?? knowledge.default_kb_id;
  chooser.value = wanted;
  // A name from the address that the server does not know must not look as if it were another one.
  if (chooser.selectedIndex < 0 && wanted) {
    const unknown = new Option(`${wanted} (unknown)`, wanted, false, true);
    unknown.disabled = true;
    chooser.prepend(unknown);
  }
}

at("knowledge-base").addEventListener("change", async ({ target }) => {
  const address = new URL(location.href);
  address.searchParams.set("kb", target.value);
  history.replaceState(null, "", address);
  log.clear();
  at("caption").textContent = "";
  hideNotice();
  await avatar.use(target.value).catch(() => {});
});

// The conversation

avatar.on("session", ({ profile, again, kb }) => {
  hideNotice();
  document.title = `${profile.title} · LiveAvatar`;
  at("title").textContent = profile.title;
  at("title").lang = profile.language || "en";
  log.language = profile.language;
  if (again && at("log").childElementCount) {
    log.note(`${beganAnew ?? "Connected again."} This is a new conversation: the avatar does not remember what was said before.`);
  } else if (beganAnew) {
    log.note(`${beganAnew} This is a new conversation.`);
    if (profile.greeting) log.greeting(profile.greeting);
  } else {
    log.clear();
    if (profile.greeting) log.greeting(profile.greeting);
  }
  showSamples(profile.sample_questions);
  avatar.kb = kb;
  chooseShown();
  at("microphone").disabled = false;
  beganAnew = null;
  lostAt = 0;
});

avatar.on("anew", ({ message }) => (beganAnew = message));
avatar.on("resumed", ({ messages }) => {
  hideNotice();
  askForKeyAgain();
  lostAt = 0;
  if (messages) log.rebuild(messages);
});

avatar.on("state", ({ state }) => {
  face.state = state;
  at("state").textContent = state === "reconnecting" && avatar.connected ? SERVICE_LOST : STATES[state];
  at("state").dataset.state = state;
  const connection = state in CONNECTIONS && !avatar.connected ? state : "connected";
  if (at("connection").dataset.state !== connection) {
    at("connection").dataset.state = connection;
    at("connection-text").textContent = CONNECTIONS[state] ?? "Connected";
  }
  at("stop").disabled = !(avatar.speaking || ["thinking", "searching", "speaking"].includes(state));
  if (dictation) dictation.paused = state === "speaking";
  if (state !== "speaking" && state !== "thinking" && answering?.over) answering = null;
});

avatar.on("question", ({ itemId, text, spoken, final }) => log.question(itemId, text, spoken, final));
avatar.on("caption", ({ itemId, text, done }) => {
  if (answering?.itemId !== itemId) answering = { itemId, text, over: false };
  answering.text = text;
  answering.over = done;
  log.caption(itemId, text);
});
avatar.on("sources", ({ itemId, sources }) => log.sources(itemId, sources));
avatar.on("answered", ({ itemId, responseId, status, message, usage, firstSoundMs }) => {
  log.answered(itemId, status, message);
  if (itemId) log.facts(itemId, { firstSoundMs, usage });
  lastAnswer = { itemId, responseId };
});
// It comes behind the answer that it is about. The built-in engine costs nothing, and then nothing is said of it.
avatar.on("usage", ({ response_id, cost_usd, session_cost_usd }) => {
  if (!lastAnswer?.itemId || lastAnswer.responseId !== response_id || Number(session_cost_usd) === 0) return;
  log.facts(lastAnswer.itemId, { cost: `${dollars(cost_usd)}, ${dollars(session_cost_usd)} so far` });
});
// To a hundredth of a cent: an answer costs a few of those.
const dollars = (usd) => `$${Number(usd).toFixed(4)}`;
avatar.on("sound", ({ itemId, firstSoundMs }) => log.facts(itemId, { firstSoundMs }));
avatar.on("interrupted", ({ heard }) => {
  for (const { itemId } of heard) log.interrupted(itemId, avatar.heard(itemId).share);
  answering = null;
  at("caption").textContent = "";
});
avatar.on("error", ({ code, message }) => {
  if (code === "sound_blocked") showNotice({ text: message });
  // Before there is a session the message at the top says what is wrong, once and not at every attempt.
  else if (avatar.connected) lastError = { code, note: log.note(message) };
});

// Under the face stands the sentence that is being said now, as far as that is known.
function showCaption() {
  requestAnimationFrame(showCaption);
  if (!answering || !avatar.speaking) return;
  const { text, itemId } = answering;
  const shown = sentenceAt(text, Math.round(avatar.heard(itemId).share * text.length));
  if (at("caption").textContent !== shown) at("caption").textContent = shown;
}
requestAnimationFrame(showCaption);

function sentenceAt(text, position) {
  let start = 0;
  for (const { index, 0: end } of text.matchAll(SENTENCE_END)) {
    if (index + end.length > position) return shortened(text.slice(start, index + end.length), position - start);
    start = index + end.length;
  }
  return shortened(text.slice(start), position - start);
}

// Of a sentence that is too long, the part around a place in it.
function shortened(sentence, position) {
  if (sentence.length <= CAPTION_CHARS) return sentence.trim();
  const start = Math.max(0, Math.min(position - CAPTION_CHARS / 2, sentence.length - CAPTION_CHARS));
  const part = sentence.slice(start, start + CAPTION_CHARS).split(" ");
  return `${start > 0 ? "… " : ""}${part.slice(start > 0 ? 1 : 0, -1).join(" ")} …`.trim();
}

function showSamples(questions) {
  const buttons = questions.map((question) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = question;
    button.addEventListener("click", () => ask(question));
    return button;
  });
  at("samples").replaceChildren(...buttons);
  at("samples").hidden = !buttons.length;
}

async function ask(question) {
  const text = question.trim();
  if (!text) return;
  document.body.dataset.talking = "";
  try {
    await avatar.ask(text);
  } catch {
    log.note("Your question could not be sent: there is no connection. See the message at the top of the page.");
  }
}

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = at("question");
  ask(field.value);
  field.value = "";
});

at("stop").addEventListener("click", () => avatar.interrupt("stop button"));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing) avatar.interrupt("escape key");
});

// Speech

function showHearing() {
  const note = at("hearing-note");
  at("dictation-choice").hidden = !canDictate;
  if (!LiveAvatar.canPlay) {
    note.textContent = isSecureContext
      ? "This browser is too old to play the avatar’s voice. Its answers are shown as text."
      : "Browsers allow sound and microphone on https pages only. Type your questions; the answers are shown as text.";
  } else if (!knowledge.hears_speech) {
    note.textContent =
      "The built-in engine notices when you speak, but understands typed questions only. A cloud speech service understands both.";
  } else note.textContent = "";
  at("hearing").hidden = !note.textContent && !canDictate;
  // Never closed here: somebody may have opened it while the knowledge bases were still being asked for.
  if (!LiveAvatar.canPlay) at("hearing").open = true;
}

at("microphone").addEventListener("click", async () => {
  if (dictation) return dictation.stop();
  if (avatar.microphoneOn) return avatar.stopMicrophone();
  avatar.unlock();
  if (at("dictation").checked) return startDictation();
  // Now it matters what the engine can do with what it hears.
  if (!knowledge.hears_speech) at("hearing").open = true;
  try {
    await avatar.startMicrophone();
    hideNotice();
  } catch (error) {
    showNotice({ text: error.message });
  }
});

avatar.on("microphone", ({ on, muted }) => {
  showMicrophone(on);
  at("live").hidden = !on;
  at("mute").setAttribute("aria-pressed", String(muted));
  at("mute").textContent = muted ? "Muted" : "Mute";
  if (!on || muted) showLevel(0);
});
avatar.on("level", ({ level }) => showLevel(avatar.muted ? 0 : level));
at("mute").addEventListener("click", () => avatar.mute(!avatar.muted));

function showMicrophone(on) {
  at("microphone").setAttribute("aria-pressed", String(on));
  at("microphone-label").textContent = on ? "Listening" : "Talk";
}

function showLevel(level) {
  // The ear's scale: 60 dB from the quietest to the loudest.
  const shown = level > 0 ? Math.max(0, Math.min(1, 1 + (20 * Math.log10(level)) / 60)) : 0;
  at("meter").style.setProperty("--level", shown.toFixed(3));
  at("meter").setAttribute("aria-valuenow", String(Math.round(shown * 100)));
}

function startDictation() {
  const words = (text, final) => {
    at("question").value = final ? "" : text;
    if (final && text) ask(text);
  };
  const stopped = (why) => {
    dictation = null;
    at("question").value = "";
    showMicrophone(false);
    if (why) showNotice({ text: why });
  };
  dictation = new Dictation({ words, stopped }, avatar.profile?.language ?? "");
  showMicrophone(true);
  dictation.start();
}

// When something is wrong

avatar.on("closed", (closed) => {
  if (closed.byUs) return;
  // What ended the conversation is said at the top of the page, and not in the conversation too.
  if (closed.error && lastError?.code === closed.error) lastError.note.remove();
  lastError = null;
  const { text, action, needsKey } = explain(closed);
  retryAt = closed.retryInMs === null ? 0 : performance.now() + closed.retryInMs;
  const bad = !closed.resumes && closed.error !== NO_KEY_YET;
  const show = () => showNotice({ text, action, needsKey, bad });
  const isNew = !lostAt;
  lostAt ||= performance.now();
  if (!closed.resumes || performance.now() - lostAt > HARDLY_MISSED_MS) return show();
  if (isNew) setTimeout(() => lostAt && at("notice").hidden && !avatar.connected && show(), HARDLY_MISSED_MS);
});

function showNotice({ text, action = null, needsKey = false, bad = false }) {
  if (at("notice-text").textContent !== text) at("notice-text").textContent = text;
  at("notice").classList.toggle("bad", bad);
  at("notice-action").hidden = !action;
  at("notice-action").textContent = action ?? "";
  at("key-form").hidden = !needsKey;
  at("notice").hidden = false;
  if (needsKey) at("key").focus();
}

function hideNotice() {
  at("notice").hidden = true;
  at("notice-text").textContent = "";
  retryAt = 0;
}

setInterval(() => {
  const left = Math.ceil((retryAt - performance.now()) / 1000);
  at("notice-wait").textContent = retryAt && left > 0 ? `Trying again in ${left} s` : "";
}, 250);

at("notice-action").addEventListener("click", () => avatar.retryNow());
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = at("key").value.trim() || null;
  showsKeyItself = false;
  at("key").value = "";
  hideNotice();
  loadKnowledge();
  avatar.retryNow();
});

// The first click or key lets the browser play sound; what comes later then starts at once.
for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => avatar.unlock(), { once: true });

loadKnowledge();
avatar.connect().catch(() => {});
