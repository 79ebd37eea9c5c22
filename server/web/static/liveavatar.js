/**
 * LiveAvatar's client: one conversation with a talking avatar. It draws nothing; a face follows what it tells.
 *
 *     import { LiveAvatar } from "./liveavatar.js";
 *     const avatar = new LiveAvatar({ kb: "museum" });
 *     avatar.on("caption", ({ text }) => (caption.textContent = text));
 *     avatar.on("sources", ({ sources }) => show(sources));
 *     await avatar.connect();
 *     await avatar.ask("When does it open?"); // from a click or a key, so that the browser lets it be heard
 *
 * No dependencies; needs `resumption.js`, `playback-worklet.js` and `capture-worklet.js` beside it. The wire is
 * docs/client-wire.md.
 *
 * @module
 */

import { Resumption, tabStorage } from "./resumption.js";

/** Samples a second of all sound on the wire (16 bit, one channel). */
export const SAMPLE_RATE = 24000;

// What was heard is told this often while the avatar speaks: what the model believes it said is never older.
const ACKNOWLEDGE_MS = 150;
const OPEN_TIMEOUT_MS = 15000;
// How long a new question waits for the answer before it to be given up.
const CANCEL_TIMEOUT_MS = 1500;
// Microphone sound that a slow line has not taken yet: beyond four seconds of it, newer sound is dropped.
const MOST_UNSENT_BYTES = 256 * 1024;
// A turn that the microphone was switched off in ends by itself when this much silence follows.
const CLOSING_SILENCE_MS = 900;
const FRAMES_KEPT = 400;
const LISTEN_S = 0.034;
const REMEMBERED_ITEMS = 64;
const BACK_OFF_MS = [500, 1000, 2000, 4000, 8000, 15000];
const LATER_MS = 30000;
// The last try to come back to a session is made this long before the server stops waiting.
const LAST_TRY_MS = 1000;
// What the microphone hears while there is no connection is kept up to this long, and said when there is one.
const UNSAID_S = 10;
const UNSAID_PIECE_S = 0.5;
// Positions told again after a connection was lost: of the item that was heard then, and of those just before it.
const POSITIONS_KEPT = 4;
// The page is left and may be back in a moment (1000 and 1001 would end the session).
const PAGE_LEFT = 4001;
// Loudness on a scale for eyes: this many dB below full scale is silence, and this many is as loud as speech gets.
const QUIETEST_DB = -48;
const LOUDEST_DB = -14;

/**
 * What a close code means: a plain sentence, and what to do: "resume" the session, begin "anew", try again with
 * "back-off" or "later" (and resume the session if it is still there), or "no".
 * @type {Record<number, {text: string, then: string}>}
 */
export const CLOSINGS = {
  1000: { text: "The conversation has ended.", then: "no" },
  1001: { text: "The server is going away or has ended this session.", then: "resume" },
  1002: { text: "The connection broke the rules of the protocol.", then: "no" },
  1003: { text: "The server got a message that it cannot read.", then: "no" },
  1006: { text: "The connection to the server is lost.", then: "resume" },
  1007: { text: "The server got a message that it cannot read.", then: "no" },
  1009: { text: "A message was too large for the server.", then: "no" },
  1011: { text: "Something went wrong in the server.", then: "back-off" },
  1012: { text: "The server is restarting.", then: "resume" },
  1013: { text: "The server has no room for another conversation right now.", then: "back-off" },
  3000: { text: "The server needs a valid key.", then: "no" },
  4000: { text: "The server did not accept the request.", then: "no" },
  4004: { text: "The model that was asked for does not exist.", then: "no" },
  4401: { text: "The server needs a valid key.", then: "no" },
  4402: { text: "The budget for conversations is spent for now.", then: "no" },
  4403: { text: "The server does not allow this.", then: "no" },
  4404: { text: "There is no such knowledge base.", then: "no" },
  4408: { text: "The session ended because nothing was said for a long time.", then: "no" },
  4409: { text: "This conversation was taken over by another window or tab.", then: "no" },
  4410: { text: "The conversation could not be continued: the server has ended it, or was restarted.", then: "anew" },
  4413: { text: "This connection is too slow for the avatar's voice.", then: "resume" },
  4429: { text: "There are too many conversations or questions at once.", then: "later" },
  4502: { text: "The speech service behind the avatar cannot be reached.", then: "back-off" },
  4504: { text: "The speech service behind the avatar does not keep up.", then: "back-off" },
};

const SERVICE_LOST = "The server has lost its speech service and looks for it; the conversation goes on in a moment.";
// A session that was ended on purpose after so long is not begun again without being asked.
const DURATION_REACHED = { text: "The conversation has reached its longest duration.", then: "no" };
// With the right key the session can still be resumed.
const KEY_WANTED = new Set([3000, 4401]);
// Where our own sentence says it all, the server's is not put behind it.
const SAID_ALL = new Set([1001, 1012, 4408, 4409, 4410, 4413]);

/** Something that could not be done; `code` is for programs, `message` for people. */
export class LiveAvatarError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = "LiveAvatarError";
    this.code = code;
  }
}

/**
 * @typedef {object} Options
 * @property {string} [url] the server's `/ws`; default: of the server that this file came from
 * @property {string|null} [kb] the knowledge base; default: the server's own default
 * @property {string|((about: {resuming: boolean}) => string|null|Promise<string|null>)} [token] the credential, or what
 *   fetches one: it is asked before every connection. `resuming`: for one that goes on with a conversation; where that
 *   was begun with a ticket or client secret none is needed. A ticket opens one connection, so it takes a function
 * @property {boolean|((about: {code: number, attempt: number, delayMs: number}) => number|false)} [reconnect]
 *   false: stay closed; a function: gives the milliseconds to wait, or false
 * @property {"tab"|null} [persist] "tab": the conversation also survives a reload of the page, within the server's
 *   window for it; what is needed for that lies in the tab's `sessionStorage`
 */

/**
 * One avatar. Events (`avatar.on(name, listener)`, where the listener gets the detail):
 *
 * | event         | detail                                                                                           |
 * |---------------|--------------------------------------------------------------------------------------------------|
 * | `state`       | `state`: idle, connecting, listening, hearing, thinking, searching, speaking, reconnecting, closed; `detail` |
 * | `session`     | `sessionId, kb, profile: {title, greeting, voice, language, sample_questions}, again, recovered`   |
 * | `resumed`     | `sessionId, recovered, messages`: the same session by a new connection. All that was missed follows; or `recovered` is false, and `messages: [{itemId, role, text, spoken}]` is the conversation so far |
 * | `anew`        | `code, message`: the conversation could not be continued; the `session` behind it is a new one     |
 * | `question`    | `itemId, text, spoken, final`: what the person said, `text` null where it was not understood       |
 * | `caption`     | `itemId, text, delta, done`: the words of the answer so far                                        |
 * | `sources`     | `itemId, sources: [{id, title, uri, snippet, score}]`                                              |
 * | `answered`    | `itemId, status, message, usage, firstTextMs, firstSoundMs`: the answer is complete, or why not    |
 * | `sound`       | `itemId, firstSoundMs, at`: an answer was first heard, so long after its question, at `performance.now()` |
 * | `usage`       | tokens of an answer, as `avatar.usage` gives them                                                  |
 * | `interrupted` | `by, heard: [{itemId, playedMs}], silentAfterMs`                                                   |
 * | `visemes`     | `avatar.visemes` as it came                                                                        |
 * | `level`       | `level, peak`: the microphone, 0 to 1, every 30 ms                                                 |
 * | `microphone`  | `on, muted`                                                                                        |
 * | `error`       | `code, message`: something was refused or failed, the conversation goes on                         |
 * | `closed`      | `code, message, error, retryInMs` (null: it stays closed), `attempt` (0: the first), `resumes` (the conversation may still go on), `byUs` (`close` was called) |
 * | `event`       | every event of the server                                                                          |
 */
export class LiveAvatar extends EventTarget {
  #options;
  #socket = null;
  #wanted = false;
  #attempt = 0;
  #retryTimer = 0;
  #openWaiters = [];
  #lastError = null;
  #retryAfterMs = 0;
  #goingAwayMs = 0;
  #sessions = 0;
  #resumption;
  #claimed = null;
  #confirmed = false;
  #lost = null;
  #pageLeft = false;
  #offlineAt = 0;
  #leaving = null;
  #state = "idle";
  #detail = null;
  #serverState = "listening";
  #hearing = false;
  #counter = 0;
  #own = new Map();
  #turn = null;
  #waitingForEnd = [];
  #cutItems = new Set();
  #cutResponses = new Set();
  #response = null;
  #captions = new Map();
  #positions = new Map();
  #foreignItems = new Set();
  #joinedItems = new Set();
  #cancelOwed = false;
  #unasked = null;
  #unsaid = [];
  #unsaidSamples = 0;
  #sound = null;
  #microphone = null;
  #volume = 1;

  /** @param {Options} [options] */
  constructor(options = {}) {
    super();
    this.#options = { url: defaultUrl(), kb: null, token: null, reconnect: true, persist: null, ...options };
    const storage = this.#options.persist === "tab" ? tabStorage() : null;
    this.#resumption = new Resumption(storage, `liveavatar ${this.#options.url}`);
    this.#resumption.restore(this.#options.kb);
    this.profile = null;
    this.kb = this.#options.kb;
    this.sessionId = null;
  }

  /** Whether this browser can play the avatar's voice here; false on plain http pages from other machines. */
  static get canPlay() {
    return typeof AudioContext === "function" && typeof AudioWorkletNode === "function" && isSecureContext;
  }

  /** Whether this browser can give us a microphone here. */
  static get canRecord() {
    return LiveAvatar.canPlay && Boolean(navigator.mediaDevices?.getUserMedia);
  }

  /** What the avatar is doing; see the `state` event. */
  get state() {
    return this.#state;
  }

  get connected() {
    return this.#socket?.ready === true;
  }

  get microphoneOn() {
    return this.#microphone !== null;
  }

  get muted() {
    return this.#microphone?.muted ?? false;
  }

  /** How loud the avatar is, 0 to 1. */
  get volume() {
    return this.#volume;
  }

  set volume(value) {
    this.#volume = Math.max(0, Math.min(1, value));
    this.#sound?.setVolume(this.#volume);
  }

  /**
   * Listens to an event.
   * @param {string} name @param {(detail: any) => void} listener
   * @returns {() => void} stops listening
   */
  on(name, listener) {
    const handler = (event) => listener(event.detail);
    this.addEventListener(name, handler);
    return () => this.removeEventListener(name, handler);
  }

  /**
   * Opens the conversation. Resolves when the avatar listens; rejects when it is closed for good. A connection that is
   * lost later is opened again by itself (see the `reconnect` option), and the conversation goes on.
   * @returns {Promise<void>}
   */
  connect() {
    this.#wanted = true;
    this.#watchPage();
    if (this.connected) return Promise.resolve();
    const opened = new Promise((resolve, reject) => this.#openWaiters.push({ resolve, reject }));
    opened.catch(() => {});
    if (!this.#socket) {
      clearTimeout(this.#retryTimer);
      this.#open();
    }
    return opened;
  }

  /** Ends the conversation and lets go of microphone and sound. */
  close() {
    this.#wanted = false;
    clearTimeout(this.#retryTimer);
    this.stopMicrophone();
    this.#sound?.flush();
    this.#giveUp();
    this.#leaving?.abort();
    this.#leaving = null;
    this.#socket?.close(1000);
    if (!this.#socket) this.#setState("closed");
  }

  /**
   * Talks to another knowledge base, in a new session.
   * @param {string} kb
   */
  async use(kb) {
    this.#options.kb = kb;
    this.#sound?.flush();
    clearTimeout(this.#retryTimer);
    this.#attempt = 0;
    if (this.#socket) this.#socket.abandon(1000);
    this.#socket = null;
    this.#giveUp();
    await this.connect();
  }

  /**
   * Makes the browser's sound ready. Browsers allow that only from a click, a touch or a key; `ask` and
   * `startMicrophone` do it too.
   */
  async unlock() {
    if (!LiveAvatar.canPlay) return false;
    try {
      this.#sound ??= new Playback(this.#volume, (message) => this.#onPlayback(message));
      return await this.#sound.ready();
    } catch (error) {
      this.#sound = null;
      this.#emit("error", { code: "sound_unavailable", message: `This browser cannot play sound: ${error.message}` });
      return false;
    }
  }

  /**
   * Asks a typed question; an answer that is being given is interrupted. Resolves when the question is on its way.
   * @param {string} text
   */
  async ask(text) {
    const question = text.trim();
    if (!question) return;
    const unlocking = this.unlock();
    const asked = { itemId: newItemId(), text: question };
    this.#emit("question", { ...asked, spoken: false, final: true });
    if (!this.connected) await this.connect();
    if (this.#turn || this.speaking) {
      await this.interrupt("question");
      await this.#answerEnded();
    }
    await unlocking;
    this.#hearing = false;
    this.#begin(false, asked);
    this.#put(asked);
    this.#send({ type: "response.create" }, "answer");
    if (this.connected) this.#setState("thinking");
  }

  #put({ itemId, text }) {
    const item = { id: itemId, type: "message", role: "user", content: [{ type: "input_text", text }] };
    this.#send({ type: "conversation.item.create", item }, "question");
  }

  /** Whether speech is being played or waits to be. */
  get speaking() {
    return this.#sound?.busy ?? false;
  }

  /**
   * Silences the avatar at once, and gives up the answer.
   * @param {string} [by] who or what interrupts; told in the event
   * @returns {Promise<void>} resolves when it is silent
   */
  async interrupt(by = "person") {
    const turn = this.#turn;
    const speaking = this.speaking;
    if (!turn && !speaking) return;
    if (this.#response) this.#cut(this.#cutResponses, this.#response);
    if (turn) turn.cancelled = true;
    const silenced = this.#silence(by);
    // What was heard is told before the answer is given up: the server truncates it by that.
    await silenced;
    // Told again after a lost connection, until the server has answered it.
    this.#cancelOwed = true;
    if (this.connected) this.#send({ type: "response.cancel" }, "cancel");
    this.#updateState();
  }

  /**
   * Lets the avatar hear. Rejects with a LiveAvatarError (`microphone_refused`, `microphone_missing`,
   * `microphone_busy`, `microphone_unsupported`) whose message says what to do.
   */
  async startMicrophone() {
    if (this.#microphone) return;
    if (!LiveAvatar.canRecord) {
      const why = isSecureContext ? "This browser is too old" : "Browsers give a microphone to https pages only";
      throw new LiveAvatarError("microphone_unsupported", `${why}; you can type your questions.`);
    }
    const unlocking = this.unlock();
    const microphone = new Microphone((frame) => this.#onMicrophone(frame), () => this.stopMicrophone());
    this.#microphone = microphone;
    try {
      await Promise.all([microphone.start(), unlocking]);
    } catch (error) {
      if (this.#microphone === microphone) this.#microphone = null;
      this.#emit("microphone", { on: false, muted: false });
      throw microphoneError(error);
    }
    this.#emit("microphone", { on: true, muted: false });
  }

  /** Lets the avatar hear no more, and gives the microphone back. */
  stopMicrophone() {
    const microphone = this.#microphone;
    if (!microphone) return;
    this.#microphone = null;
    microphone.stop();
    if (this.#hearing) this.#say(new Int16Array((SAMPLE_RATE * CLOSING_SILENCE_MS) / 1000));
    this.#emit("microphone", { on: false, muted: false });
  }

  /**
   * Makes the microphone silent without giving it back. Silence goes on being sent, so that a turn can end.
   * @param {boolean} [muted]
   */
  mute(muted = true) {
    if (!this.#microphone) return;
    this.#microphone.muted = muted;
    this.#emit("microphone", { on: true, muted });
  }

  /**
   * What is heard at this moment, for a face: `loudness` 0 to 1, `brightness` 0 (dull, "oo") to 1 (sharp, "ss"), and the
   * visemes around it where the server sends them: `{from, to, mix}`, Azure's ids, `mix` 0 to 1 between the two.
   * @returns {{loudness: number, brightness: number, rms: number, visemes: {from: number, to: number, mix: number}|null}}
   */
  mouth() {
    return this.#sound?.mouth() ?? { loudness: 0, brightness: 0, rms: 0, visemes: null };
  }

  /**
   * How much of an answer was heard: milliseconds, and as a share of what has come of it.
   * @param {string} itemId
   */
  heard(itemId) {
    return this.#sound?.heard(itemId) ?? { ms: 0, share: 0 };
  }

  /** Sends an event of the Realtime protocol as it is, for what this class does not do. @param {object} event */
  send(event) {
    if (!this.connected) throw new LiveAvatarError("not_connected", "The avatar is not connected.");
    this.#send(event);
  }

  // The connection

  async #open() {
    const again = this.#sessions > 0 || this.#attempt > 0;
    this.#setState(again ? "reconnecting" : "connecting");
    const socket = new Connection(this.#options.url, OPEN_TIMEOUT_MS);
    this.#socket = socket;
    socket.onEvent = (event) => this.#socket === socket && this.#onEvent(event);
    socket.onClose = (code, reason) => this.#socket === socket && this.#onClose(code, reason);
    try {
      const { token, kb } = this.#options;
      const claim = this.#resumption.claim;
      const credential = typeof token === "function" ? await token({ resuming: claim !== null }) : token;
      if (this.#socket !== socket) return;
      const init = { type: "session.init" };
      if (kb) init.kb_id = kb;
      if (credential) init.token = credential;
      if (claim) init.resume = claim;
      this.#claimed = claim?.session_id ?? null;
      socket.open(init);
    } catch (error) {
      if (this.#socket === socket) this.#onClose(1006, String(error.message ?? error));
    }
  }

  #onClose(code, reason) {
    this.#socket = null;
    const told = this.#lastError;
    this.#lastError = null;
    const closing = closingOf(code, told);
    // Somebody else than the person may have ended it; no error is told for that.
    const why = code === 1000 ? reason : code >= 1011 && !SAID_ALL.has(code) ? told?.message : null;
    const message = why ? `${closing.text} ${why}` : closing.text;
    const byUs = !this.#wanted;
    const hadConversation = this.#sessions > 0 || this.#claimed !== null;
    if (closing.then === "anew" || (closing.then === "no" && !KEY_WANTED.has(code))) this.#resumption.forget();
    else this.#resumption.lost();
    const attempt = this.#attempt;
    const retryInMs = this.#wanted ? this.#delay(code, closing.then) : null;
    const mayResume = this.#resumption.claim !== null;
    const resumes = retryInMs !== null && mayResume;
    if (!mayResume) this.#forget();
    if (retryInMs === null) {
      this.#wanted = false;
      this.#lost = this.#unasked = null;
      this.stopMicrophone();
      this.#setState("closed", closing.text);
      const error = new LiveAvatarError(told?.code ?? `closed_${code}`, message);
      for (const { reject } of this.#openWaiters.splice(0)) reject(error);
    } else {
      if (!resumes && hadConversation) this.#lost ??= { code, message: closing.text };
      this.#setState("reconnecting", closing.text);
      if (!this.#pageLeft) this.#retryTimer = setTimeout(() => this.#open(), retryInMs);
    }
    this.#emit("closed", { code, reason, message, error: told?.code ?? null, retryInMs, attempt, resumes, byUs });
  }

  // Full jitter: everybody was lost at the same moment; they must not all come back at the same moment.
  #delay(code, then) {
    const { reconnect } = this.#options;
    if (reconnect === false || then === "no") return null;
    // A server that refuses a claim is there: it is not waited for any more.
    if (then === "anew" && this.#claimed !== null) this.#attempt = 0;
    const attempt = this.#attempt++;
    const longest = this.#goingAwayMs || BACK_OFF_MS[Math.min(attempt, BACK_OFF_MS.length - 1)];
    const soonest = this.#retryAfterMs || (then === "later" ? LATER_MS : 0);
    this.#retryAfterMs = this.#goingAwayMs = 0;
    let delayMs = soonest ? soonest * (1 + Math.random() / 4) : longest * Math.random();
    const { leftMs } = this.#resumption;
    if (leftMs > LAST_TRY_MS && !soonest) delayMs = Math.min(delayMs, leftMs - LAST_TRY_MS);
    delayMs = Math.round(delayMs);
    if (typeof reconnect !== "function") return delayMs;
    const chosen = reconnect({ code, attempt, delayMs });
    return typeof chosen === "number" ? chosen : null;
  }

  /** Tries again now instead of at the end of the wait. */
  retryNow() {
    if (this.#socket || this.connected) return;
    clearTimeout(this.#retryTimer);
    this.#wanted = true;
    this.#watchPage();
    this.#open();
  }

  #watchPage() {
    if (this.#leaving) return;
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    addEventListener("offline", () => (this.#offlineAt = performance.now()), { signal });
    addEventListener("online", () => this.#wanted && this.#online(), { signal });
    if (this.#options.persist !== "tab") return;
    addEventListener("pagehide", () => this.#leavePage(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.#showPage(), { signal });
  }

  // The network is back. A connection of before may be dead without knowing it.
  #online() {
    const socket = this.#socket;
    if (socket && this.#offlineAt && socket.heardAt < this.#offlineAt) {
      socket.abandon(PAGE_LEFT);
      this.#onClose(1006, "");
    }
    this.#offlineAt = 0;
    if (!this.#pageLeft) this.retryNow();
  }

  #leavePage() {
    this.#pageLeft = true;
    this.#resumption.lost();
    this.#socket?.close(PAGE_LEFT);
  }

  // Out of the browser's cache of pages, just as it was left.
  #showPage() {
    this.#pageLeft = false;
    if (this.#wanted) this.retryNow();
  }

  // The conversation is over for us.
  #giveUp() {
    this.#resumption.forget();
    this.#lost = null;
    this.#forget();
    this.#unasked = null;
  }

  // What belonged to a session that does not go on. What has come of its speech is still played.
  #forget() {
    const { question, begun } = this.#turn ?? {};
    this.#unasked = question && !begun ? question : this.#unasked;
    this.#hearing = false;
    this.#turn = null;
    this.#response = null;
    this.#cancelOwed = this.#confirmed = false;
    this.#serverState = "listening";
    this.#own.clear();
    this.#positions.clear();
    this.#unsaid = [];
    this.#unsaidSamples = 0;
    for (const itemId of this.#sound?.waiting() ?? []) this.#cut(this.#foreignItems, itemId);
    this.#sound?.endAll();
    for (const resolve of this.#waitingForEnd.splice(0)) resolve();
  }

  #send(event, purpose = null) {
    const eventId = `la_${++this.#counter}`;
    if (purpose) {
      this.#own.set(eventId, purpose);
      if (this.#own.size > REMEMBERED_ITEMS) this.#own.delete(this.#own.keys().next().value);
    }
    this.#socket?.send({ event_id: eventId, ...event });
    return eventId;
  }

  // From the server

  #onEvent(event) {
    if (event.type === "avatar.session") this.#socket.greeted = true;
    // Before the greeting an event belongs to no session yet, and is no place in one.
    if (this.#socket.greeted && !this.#resumption.take(event)) return;
    if (event.type !== "error") this.#lastError = null;
    this.#emit("event", event);
    switch (event.type) {
      case "avatar.session":
        return this.#greeted(event);
      case "session.created":
        return this.#opened();
      case "avatar.state":
        this.#serverState = event.state;
        if (event.detail) this.#emit("error", { code: event.state, message: event.detail });
        return this.#updateState();
      case "avatar.citations":
        return this.#emit("sources", { itemId: event.item_id, responseId: event.response_id, sources: event.sources });
      case "avatar.usage":
        return this.#emit("usage", event);
      case "avatar.visemes":
        // Counted from an item's start, they fit no sound whose beginning was missed.
        if (!this.#joinedItems.has(event.item_id)) this.#sound?.addVisemes(event);
        return this.#emit("visemes", event);
      case "avatar.going_away":
        this.#goingAwayMs = (event.reconnect_within_s ?? 0) * 1000;
        return this.#emit("error", { code: "going_away", message: "The server will restart in a moment." });
      case "input_audio_buffer.speech_started":
        this.#hearing = true;
        if (this.speaking || this.#turn) this.#silence("speech");
        return this.#updateState();
      case "input_audio_buffer.speech_stopped":
        this.#hearing = false;
        this.#begin(true);
        return this.#updateState();
      case "conversation.item.added":
        return this.#itemAdded(event.item);
      case "conversation.item.retrieved":
        if (event.item?.id === this.#turn?.question?.itemId) this.#replayed(true);
        return;
      case "conversation.item.input_audio_transcription.completed":
        return this.#emit("question", { itemId: event.item_id, text: event.transcript, spoken: true, final: true });
      case "conversation.item.input_audio_transcription.failed":
        return this.#emit("question", { itemId: event.item_id, text: null, spoken: true, final: true });
      case "response.created":
        this.#response = event.response.id;
        if (!this.#turn) this.#begin(false);
        this.#turn.begun = true;
        if (this.#turn.cancelled) this.#cut(this.#cutResponses, this.#response);
        return this.#updateState();
      case "response.output_audio_transcript.delta":
      case "response.output_text.delta":
        return this.#words(event);
      case "response.output_audio_transcript.done":
      case "response.output_text.done":
        return this.#wordsDone(event, event.transcript ?? event.text);
      case "response.output_audio.delta":
        return this.#audio(event);
      case "response.output_audio.done":
        return this.#sound?.end(event.item_id);
      case "response.done":
        return this.#done(event.response);
      case "error":
        return this.#error(event.error);
      default:
    }
  }

  // The server's first event: a session of its own, or ours again.
  #greeted(greeting) {
    const { session_id: sessionId, kb_id: kb, profile, recovered, snapshot } = greeting;
    const isOurs = this.#claimed !== null && this.#claimed === sessionId;
    Object.assign(this, { sessionId, kb, profile });
    this.#resumption.welcomed(greeting, this.#options.kb);
    if (!isOurs) {
      if (this.#claimed !== null || this.#confirmed) this.#lost ??= { code: 4410, message: CLOSINGS[4410].text };
      this.#forget();
    } else if (recovered ? this.#confirmed : snapshot?.session) this.#resumed(recovered ? null : snapshot);
    // Else its confirmation follows: nothing was said in it yet.
  }

  #opened() {
    this.#confirmed = true;
    this.#ready();
    const lost = this.#lost;
    this.#lost = null;
    if (lost) this.#emit("anew", lost);
    const again = this.#sessions++ > 0;
    this.#emitSession(again, null);
    const unasked = this.#unasked;
    this.#unasked = null;
    if (unasked) {
      this.#begin(false, unasked);
      this.#put(unasked);
      this.#send({ type: "response.create" }, "answer");
    }
    this.#updateState(lost?.message);
    for (const { resolve } of this.#openWaiters.splice(0)) resolve();
  }

  // The same session, by another connection. Without a snapshot all that was missed follows.
  #resumed(snapshot) {
    this.#confirmed = true;
    this.#ready();
    const messages = snapshot && this.#rebuild(snapshot);
    // After a reload the page knows nothing of it yet.
    if (this.#sessions === 0) {
      this.#sessions = 1;
      this.#emitSession(false, false);
    }
    this.#emit("resumed", { sessionId: this.sessionId, recovered: !snapshot, messages });
    for (const [itemId, { contentIndex, playedMs }] of this.#positions) this.#tell(itemId, contentIndex, playedMs);
    this.#sayUnsaid();
    // What was said last may not have arrived. The answer to this comes behind all that was missed, and then it shows.
    const question = this.#turn?.begun ? null : this.#turn?.question;
    if (question || this.#cancelOwed) {
      this.#send({ type: "conversation.item.retrieve", item_id: question?.itemId ?? newItemId() }, "replayed");
    }
    this.#updateState();
    for (const { resolve } of this.#openWaiters.splice(0)) resolve();
  }

  #ready() {
    this.#socket.ready = true;
    this.#attempt = 0;
    this.#lastError = null;
  }

  #emitSession(again, recovered) {
    const { sessionId, kb, profile } = this;
    this.#emit("session", { sessionId, kb, profile, again, recovered });
  }

  // The conversation as the server tells it, where it cannot tell what was missed.
  #rebuild({ items, response_id: responseId, state }) {
    const messages = items.filter(({ type }) => type === "message").map(messageOf);
    this.#hearing = false;
    this.#serverState = state ?? "listening";
    this.#response = responseId;
    this.#captions.clear();
    for (const { itemId, role, text } of messages) if (role === "assistant") this.#captions.set(itemId, text ?? "");
    for (const { id, status } of items) {
      if (status === "completed") this.#sound?.end(id);
      else this.#cut(this.#joinedItems, id);
    }
    if (responseId) {
      this.#turn ?? this.#begin(false);
      this.#turn.begun = true;
    } else {
      this.#sound?.endAll();
      const place = messages.findIndex(({ itemId }) => itemId === this.#turn?.question?.itemId);
      const answered = place >= 0 && messages.slice(place).some(({ role }) => role === "assistant");
      if (answered || !this.#turn?.question) this.#turn = null;
      for (const resolve of this.#waitingForEnd.splice(0)) resolve();
    }
    return messages;
  }

  // All that was missed has come by now. What the server did not get before is said again.
  #replayed(hasQuestion) {
    if (this.#cancelOwed) this.#send({ type: "response.cancel" }, "cancel");
    const { question, begun } = this.#turn ?? {};
    if (!question || begun) return;
    if (!hasQuestion) this.#put(question);
    if (hasQuestion && ["thinking", "searching", "speaking"].includes(this.#serverState)) return;
    this.#send({ type: "response.create" }, "answer again");
  }

  #itemAdded(item) {
    if (item.role !== "user") return;
    const { itemId, text, spoken } = messageOf(item);
    this.#emit("question", { itemId, text, spoken, final: !spoken });
  }

  #words(event) {
    if (this.#isCut(event)) return;
    const known = this.#captions.get(event.item_id) ?? "";
    const text = known + event.delta;
    this.#captions.set(event.item_id, text);
    if (this.#captions.size > REMEMBERED_ITEMS) this.#captions.delete(this.#captions.keys().next().value);
    if (this.#turn && this.#turn.firstTextMs === null) this.#turn.firstTextMs = performance.now() - this.#turn.askedAt;
    this.#emit("caption", { itemId: event.item_id, text, delta: event.delta, done: false });
  }

  #wordsDone(event, text) {
    if (this.#isCut(event)) return;
    this.#captions.set(event.item_id, text);
    this.#emit("caption", { itemId: event.item_id, text, delta: "", done: true });
  }

  #audio(event) {
    if (this.#isCut(event) || !this.#sound) return;
    if (this.#turn) this.#turn.firstDeltaAt ??= performance.now();
    this.#sound.add(event.item_id, event.content_index, fromBase64(event.delta));
    this.#updateState();
  }

  #isCut(event) {
    return this.#cutItems.has(event.item_id) || this.#cutResponses.has(event.response_id);
  }

  #done(response) {
    if (this.#response === response.id) this.#response = null;
    if (response.status === "cancelled") this.#cancelOwed = false;
    for (const item of response.output ?? []) if (item.id) this.#sound?.end(item.id);
    const turn = this.#turn;
    for (const resolve of this.#waitingForEnd.splice(0)) resolve();
    if (turn?.again) {
      turn.again = turn.begun = false;
      this.#send({ type: "response.create" }, "answer");
      return;
    }
    this.#turn = null;
    const item = (response.output ?? []).find((output) => output.type === "message");
    const failure = response.status_details?.error;
    this.#emit("answered", {
      itemId: item?.id ?? null,
      responseId: response.id,
      status: response.status,
      message: failure?.message ?? failure?.code ?? response.status_details?.reason ?? null,
      usage: response.usage ?? null,
      firstTextMs: turn?.firstTextMs ?? null,
      firstSoundMs: turn?.firstSoundMs ?? null,
    });
    this.#updateState();
  }

  #error(error) {
    const purpose = this.#own.get(error.event_id);
    if (error.retry_after) this.#retryAfterMs = error.retry_after * 1000;
    if (purpose === "replayed") return this.#replayed(false);
    if (purpose === "answer again" && error.code === "conversation_already_has_active_response") return;
    // Nothing was left to cancel, or to tell of: the answer was over by then.
    if (purpose === "playback") return;
    if (purpose === "cancel") {
      this.#cancelOwed = false;
      for (const resolve of this.#waitingForEnd.splice(0)) resolve();
      if (this.#turn?.cancelled) this.#turn = null;
      return this.#updateState();
    }
    if (purpose === "answer" && error.code === "conversation_already_has_active_response" && this.#turn) {
      this.#turn.again = true;
      return;
    }
    if (purpose) {
      this.#turn = null;
      this.#updateState();
    }
    this.#lastError = { code: error.code, message: error.message };
    this.#emit("error", { code: error.code ?? "error", message: error.message });
  }

  // Turns

  #begin(spoken, question = null) {
    this.#turn = {
      askedAt: performance.now(), spoken, question, begun: false, firstTextMs: null, firstSoundMs: null, firstDeltaAt: null,
      cancelled: false, again: false,
    };
  }

  #answerEnded() {
    if (!this.#turn) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waitingForEnd.push(resolve);
      setTimeout(resolve, CANCEL_TIMEOUT_MS);
    });
  }

  #cut(set, id) {
    set.add(id);
    if (set.size > REMEMBERED_ITEMS) set.delete(set.values().next().value);
  }

  // Silence at once: what waits is thrown away, and what still comes of it is not played.
  async #silence(by) {
    const askedAt = performance.now();
    for (const itemId of this.#sound?.waiting() ?? []) this.#cut(this.#cutItems, itemId);
    const flushed = (await this.#sound?.flush()) ?? { cut: [] };
    for (const { itemId, contentIndex, playedMs } of flushed.cut) {
      this.#cut(this.#cutItems, itemId);
      this.#acknowledge(itemId, contentIndex, playedMs);
    }
    const heard = flushed.cut.map(({ itemId, playedMs }) => ({ itemId, playedMs: Math.round(playedMs) }));
    this.#emit("interrupted", { by, heard, silentAfterMs: performance.now() - askedAt });
    this.#updateState();
  }

  // Playback

  #onPlayback(message) {
    if (message.type === "audible") {
      const turn = this.#turn;
      const first = turn?.firstSoundMs === null ? message.heardAt - turn.askedAt : null;
      if (first !== null) turn.firstSoundMs = first;
      this.#emit("sound", { itemId: message.itemId, firstSoundMs: first, at: message.heardAt });
    } else if (message.type === "heard") {
      this.#acknowledge(message.itemId, message.contentIndex, message.playedMs);
    } else if (message.type === "overflow") {
      this.#emit("error", { code: "answer_too_long", message: "The answer is too long to be played to its end." });
    } else if (message.type === "blocked") {
      this.#emit("error", {
        code: "sound_blocked",
        message: "The browser keeps the sound off until you click or press a key on this page.",
      });
    }
    this.#updateState();
  }

  #acknowledge(itemId, contentIndex, playedMs) {
    // Of another session's speech this one knows nothing.
    if (this.#foreignItems.has(itemId)) return;
    this.#positions.delete(itemId);
    this.#positions.set(itemId, { contentIndex, playedMs });
    if (this.#positions.size > POSITIONS_KEPT) this.#positions.delete(this.#positions.keys().next().value);
    if (this.connected) this.#tell(itemId, contentIndex, playedMs);
  }

  #tell(itemId, contentIndex, playedMs) {
    const event = { type: "avatar.playback", item_id: itemId, content_index: contentIndex, played_ms: Math.round(playedMs) };
    this.#send(event, "playback");
  }

  #onMicrophone({ pcm, level, peak }) {
    this.#emit("level", { level, peak });
    this.#say(pcm);
  }

  // What the person says: to the server, or kept for when it is there again, the oldest given up first.
  #say(pcm) {
    if (this.connected && this.#socket.isOpen) {
      if (this.#socket.unsent > MOST_UNSENT_BYTES) return;
      this.#send({ type: "input_audio_buffer.append", audio: toBase64(pcm) });
      return;
    }
    if (!this.#wanted || !this.#confirmed || !this.#resumption.claim) return;
    this.#unsaid.push(pcm);
    this.#unsaidSamples += pcm.length;
    while (this.#unsaidSamples > UNSAID_S * SAMPLE_RATE) this.#unsaidSamples -= this.#unsaid.shift().length;
  }

  #sayUnsaid() {
    const unsaid = this.#unsaid;
    this.#unsaid = [];
    this.#unsaidSamples = 0;
    while (unsaid.length) {
      const piece = [];
      let samples = 0;
      while (unsaid.length && samples < UNSAID_PIECE_S * SAMPLE_RATE) {
        piece.push(unsaid[0]);
        samples += unsaid.shift().length;
      }
      const pcm = new Int16Array(samples);
      let at = 0;
      for (const frame of piece) {
        pcm.set(frame, at);
        at += frame.length;
      }
      // However slow the line is: what was kept is bounded already.
      this.#send({ type: "input_audio_buffer.append", audio: toBase64(pcm) });
    }
  }

  // State

  #updateState(detail = null) {
    if (!this.connected) return;
    if (this.#hearing) this.#setState("hearing");
    else if (this.speaking) this.#setState("speaking", detail);
    else if (this.#serverState === "reconnecting") this.#setState("reconnecting", SERVICE_LOST);
    else if (this.#turn?.cancelled) this.#setState("listening");
    else if (this.#serverState === "speaking") this.#setState(this.#turn ? "thinking" : "listening");
    else if (["thinking", "searching"].includes(this.#serverState)) this.#setState(this.#serverState);
    else this.#setState(this.#turn ? "thinking" : "listening", detail);
  }

  #setState(state, detail = null) {
    if (state === this.#state && (detail === null || detail === this.#detail)) return;
    this.#state = state;
    this.#detail = detail;
    this.#emit("state", { state, detail });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// One WebSocket, from its first frame on.
class Connection {
  ready = false;
  greeted = false;
  heardAt = 0;
  onEvent = null;
  onClose = null;
  #url;
  #timeoutMs;
  #socket = null;
  #timer = 0;

  constructor(url, timeoutMs) {
    this.#url = url;
    this.#timeoutMs = timeoutMs;
  }

  open(init) {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#timer = setTimeout(() => !this.ready && socket.close(), this.#timeoutMs);
    socket.onopen = () => socket.send(JSON.stringify(init));
    socket.onmessage = ({ data }) => {
      this.heardAt = performance.now();
      let event;
      try {
        event = JSON.parse(data);
      } catch {
        return; // no event of this protocol, so nothing that we could miss
      }
      this.onEvent?.(event);
    };
    socket.onclose = ({ code, reason }) => {
      clearTimeout(this.#timer);
      this.ready = false;
      this.onClose?.(code, reason);
    };
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  get unsent() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  send(event) {
    if (this.isOpen) this.#socket.send(JSON.stringify(event));
  }

  close(code) {
    if (this.#socket) this.#socket.close(code);
    else this.onClose?.(code, "");
  }

  abandon(code) {
    this.onEvent = this.onClose = null;
    clearTimeout(this.#timer);
    this.ready = false;
    this.#socket?.close(code);
  }
}

// The avatar's voice: what came, what was rendered, what was heard.
class Playback {
  #context;
  #node = null;
  #gain;
  #loading;
  #listener;
  #items = new Map();
  #visemes = new Map();
  #frames = [];
  #flushes = new Map();
  #flushId = 0;
  #acknowledgeTimer = 0;
  #lastAcknowledged = null;
  #blockedTold = false;

  constructor(volume, listener) {
    this.#listener = listener;
    this.#context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
    this.#gain = new GainNode(this.#context, { gain: volume });
    this.#gain.connect(this.#context.destination);
    this.#loading = this.#load();
  }

  async #load() {
    await this.#context.audioWorklet.addModule(new URL("./playback-worklet.js", import.meta.url));
    const options = { numberOfInputs: 0, outputChannelCount: [1] };
    this.#node = new AudioWorkletNode(this.#context, "liveavatar-playback", options);
    this.#node.port.onmessage = ({ data }) => this.#take(data);
    this.#node.connect(this.#gain);
  }

  async ready() {
    if (this.#context.state !== "running") this.#context.resume().catch(() => {});
    await this.#loading;
    return this.#context.state === "running";
  }

  setVolume(value) {
    this.#gain.gain.setTargetAtTime(value, this.#context.currentTime, 0.015);
  }

  /** Milliseconds from the rendering of a sample to its sound. */
  get latencyMs() {
    const context = this.#context;
    return 1000 * (context.outputLatency || context.baseLatency || 0);
  }

  get busy() {
    for (const item of this.#items.values()) if (!item.finished) return true;
    return false;
  }

  waiting() {
    return [...this.#items].filter(([, item]) => !item.finished).map(([itemId]) => itemId);
  }

  add(itemId, contentIndex, pcm) {
    let item = this.#items.get(itemId);
    if (!item) {
      item = { contentIndex, receivedMs: 0, renderedMs: 0, ended: false, finished: false };
      this.#items.set(itemId, item);
      if (this.#items.size > REMEMBERED_ITEMS) this.#items.delete(this.#items.keys().next().value);
    }
    item.receivedMs += (pcm.length / SAMPLE_RATE) * 1000;
    this.#post({ type: "audio", itemId, contentIndex, pcm }, [pcm.buffer]);
    if (!this.#acknowledgeTimer) this.#acknowledgeTimer = setInterval(() => this.#acknowledge(), ACKNOWLEDGE_MS);
    if (this.#context.state === "suspended" && !this.#blockedTold) {
      this.#blockedTold = true;
      this.#context.resume().catch(() => {});
      setTimeout(() => this.#context.state === "suspended" && this.#listener({ type: "blocked" }), 300);
    }
  }

  end(itemId) {
    const item = this.#items.get(itemId);
    if (!item || item.ended) return;
    item.ended = true;
    this.#post({ type: "end", itemId });
  }

  endAll() {
    for (const itemId of this.#items.keys()) this.end(itemId);
  }

  flush() {
    if (!this.#node || this.#context.state !== "running" || !this.busy) {
      // Nothing sounds. What waits must not sound later either.
      const cut = this.waiting().map((itemId) => ({ itemId, ...this.#items.get(itemId), playedMs: this.#items.get(itemId).renderedMs }));
      for (const { itemId } of cut) this.#items.get(itemId).finished = true;
      this.#post({ type: "flush", id: 0 });
      return Promise.resolve({ cut });
    }
    const id = ++this.#flushId;
    return new Promise((resolve) => {
      this.#flushes.set(id, resolve);
      this.#post({ type: "flush", id });
    });
  }

  #post(message, transfer = []) {
    if (this.#node) this.#node.port.postMessage(message, transfer);
    else this.#loading.then(() => this.#node.port.postMessage(message, transfer)).catch(() => {});
  }

  #take(message) {
    if (message.type === "report") return this.#report(message);
    if (message.type === "finished") return this.#finished(message);
    if (message.type === "flushed") {
      for (const { itemId, playedMs } of message.cut) {
        const item = this.#items.get(itemId);
        if (item) Object.assign(item, { renderedMs: playedMs, finished: true, ended: true });
      }
      for (const item of this.#items.values()) item.finished = true;
      this.#flushes.get(message.id)?.(message);
      this.#flushes.delete(message.id);
    }
    const heardAt = message.time === undefined ? null : performance.now() + this.#untilHeard(message.time);
    return this.#listener({ ...message, heardAt });
  }

  // Milliseconds from now until what was rendered at a time of the context is heard; negative where it was by now.
  #untilHeard(time) {
    return (time - this.#context.currentTime) * 1000 + this.latencyMs;
  }

  #report({ itemId, playedMs, frames }) {
    const item = this.#items.get(itemId);
    if (item) item.renderedMs = playedMs;
    this.#frames.push(...frames);
    if (this.#frames.length > FRAMES_KEPT) this.#frames.splice(0, this.#frames.length - FRAMES_KEPT);
  }

  // Rendered to its end; heard to its end a moment later.
  #finished({ itemId, contentIndex, playedMs, time }) {
    const item = this.#items.get(itemId);
    if (!item) return;
    item.renderedMs = playedMs;
    setTimeout(() => {
      const wasCut = item.finished;
      item.finished = true;
      if (!wasCut) this.#listener({ type: "heard", itemId, contentIndex, playedMs });
      else this.#listener({ type: "settled" });
    }, Math.max(0, this.#untilHeard(time)));
  }

  #acknowledge() {
    if (!this.busy) {
      clearInterval(this.#acknowledgeTimer);
      this.#acknowledgeTimer = 0;
      return;
    }
    const frame = this.#frameNow();
    const item = frame && this.#items.get(frame.itemId);
    if (!item || item.finished) return;
    const playedMs = Math.round(this.#positionOf(frame));
    const mark = `${frame.itemId} ${playedMs}`;
    if (mark === this.#lastAcknowledged || playedMs <= 0) return;
    this.#lastAcknowledged = mark;
    this.#listener({ type: "heard", itemId: frame.itemId, contentIndex: item.contentIndex, playedMs });
  }

  // The window of sound that is heard now: rendered one latency ago.
  #frameNow() {
    const at = this.#context.currentTime - this.latencyMs / 1000;
    const frames = this.#frames;
    for (let i = frames.length - 1; i >= 0; i--) if (frames[i].time <= at) return frames[i];
    return null;
  }

  // The sound around a time, over more than one period of a low voice: shorter windows flicker with its pitch.
  #around(time) {
    const near = this.#frames.filter((frame) => Math.abs(frame.time - time) <= LISTEN_S / 2);
    const mean = (name) => Math.sqrt(near.reduce((sum, frame) => sum + frame[name] ** 2, 0) / near.length);
    return { rms: mean("rms"), low: mean("low"), high: mean("high") };
  }

  #positionOf(frame) {
    const at = this.#context.currentTime - this.latencyMs / 1000;
    const since = Math.max(0, Math.min(0.1, at - frame.time)) * 1000;
    return Math.min(frame.playedMs + since, this.#items.get(frame.itemId)?.receivedMs ?? Infinity);
  }

  heard(itemId) {
    const item = this.#items.get(itemId);
    if (!item) return { ms: 0, share: 0 };
    let ms = item.renderedMs;
    const frame = item.finished ? null : this.#frameNow();
    if (frame && frame.itemId === itemId) ms = this.#positionOf(frame);
    return { ms, share: item.receivedMs ? Math.min(1, ms / item.receivedMs) : 0 };
  }

  addVisemes({ item_id: itemId, start_ms: startMs, visemes }) {
    const track = this.#visemes.get(itemId) ?? [];
    for (const [offsetMs, id] of visemes) track.push([startMs + offsetMs, id]);
    track.sort((a, b) => a[0] - b[0]);
    this.#visemes.set(itemId, track);
    if (this.#visemes.size > 8) this.#visemes.delete(this.#visemes.keys().next().value);
  }

  mouth() {
    const frame = this.#frameNow();
    const stale = !frame || this.#context.currentTime - this.latencyMs / 1000 - frame.time > 0.15;
    if (stale || frame.rms === 0) return { loudness: 0, brightness: 0, rms: 0, visemes: null };
    const { rms, low, high } = this.#around(frame.time);
    const db = 20 * Math.log10(rms + 1e-6);
    const loudness = Math.max(0, Math.min(1, (db - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB)));
    const brightness = Math.max(0, Math.min(1, high / (low + high + 1e-6)));
    return { loudness, brightness, rms, visemes: this.#visemesAt(frame) };
  }

  #visemesAt(frame) {
    const track = this.#visemes.get(frame.itemId);
    if (!track) return null;
    const at = this.#positionOf(frame);
    let low = 0;
    let high = track.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (track[middle][0] <= at) low = middle + 1;
      else high = middle;
    }
    const from = track[low - 1] ?? [0, 0];
    const to = track[low] ?? from;
    const span = to[0] - from[0];
    // The mouth is on its way to the next sound in the last part of this one, at most 80 ms of it.
    const move = Math.min(80, span);
    const mix = span > 0 ? Math.max(0, Math.min(1, 1 - (to[0] - at) / move)) : 0;
    return { from: from[1], to: to[1], mix };
  }
}

// The microphone as frames of PCM16.
class Microphone {
  #onFrame;
  #onEnded;
  #stream = null;
  #context = null;
  #stopped = false;
  #muted = false;

  constructor(onFrame, onEnded) {
    this.#onFrame = onFrame;
    this.#onEnded = onEnded;
  }

  async start() {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    this.#stream = await navigator.mediaDevices.getUserMedia({ audio });
    if (this.#stopped) return this.stop();
    for (const track of this.#stream.getAudioTracks()) track.onended = () => this.#onEnded();
    // At the microphone's own rate: some browsers refuse to connect it to a context of another one.
    this.#context = new AudioContext({ latencyHint: "interactive" });
    await this.#context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
    if (this.#stopped) return this.stop();
    const source = this.#context.createMediaStreamSource(this.#stream);
    const node = new AudioWorkletNode(this.#context, "liveavatar-capture", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => !this.#stopped && this.#onFrame(data);
    source.connect(node);
    await this.#context.resume();
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  stop() {
    this.#stopped = true;
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    if (this.#context && this.#context.state !== "closed") this.#context.close().catch(() => {});
  }
}

function microphoneError(error) {
  if (error instanceof LiveAvatarError) return error;
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new LiveAvatarError(
        "microphone_refused",
        "The microphone was refused. Allow it in the browser's address bar, or type your questions.",
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return new LiveAvatarError("microphone_missing", "No microphone was found. Plug one in, or type your questions.");
    case "NotReadableError":
    case "AbortError":
      return new LiveAvatarError(
        "microphone_busy",
        "The microphone is in use by another program, or does not work. Close that program, or type your questions.",
      );
    default:
      return new LiveAvatarError("microphone_failed", `The microphone cannot be used (${error.message}). Type your questions.`);
  }
}

function closingOf(code, told) {
  if (code === 4410 && told?.code === "max_duration") return DURATION_REACHED;
  if (code === 1005 || code === PAGE_LEFT) return CLOSINGS[1006];
  return CLOSINGS[code] ?? CLOSINGS[1011];
}

// The server keeps an item under the id that it was given. 32 characters at most.
function newItemId() {
  const random = crypto.getRandomValues(new Uint8Array(8));
  return `item_web_${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function messageOf({ id, role, content }) {
  const parts = content ?? [];
  const text = parts.map((part) => part.text ?? part.transcript ?? "").join(" ").trim() || null;
  return { itemId: id, role, text, spoken: parts.some(({ type }) => type === "input_audio") };
}

function defaultUrl() {
  const url = new URL("/ws", import.meta.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** PCM16 from base64; samples are little-endian on the wire and in every browser. @param {string} text */
function fromBase64(text) {
  const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
}

/** @param {Int16Array} pcm */
function toBase64(pcm) {
  const bytes = new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength);
  if (bytes.toBase64) return bytes.toBase64();
  let binary = "";
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(binary);
}
