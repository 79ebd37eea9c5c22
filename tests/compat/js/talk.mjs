// One connection and what came over it. Knows how to send and to wait; judges nothing but errors that nobody expects.

import { expect, within } from "./reporting.mjs";
import { pieces } from "./sound.mjs";

// Whatever a server owes comes within this, on a machine that others use too.
const PATIENCE_S = 20;

export class Talk {
  /** `send` says one event. Whoever makes it calls `came` for each event that arrives. */
  constructor(dialect, send) {
    this.dialect = dialect;
    this.send = send;
    this.events = [];
    this.read = 0;
    this.arrived = () => {};
  }

  came(event) {
    this.events.push(event);
    this.arrived();
  }

  /** The next event. */
  async receive() {
    if (this.read === this.events.length) {
      await within(PATIENCE_S, new Promise((resolve) => (this.arrived = resolve)), "the next event");
    }
    this.read += 1;
    return this.events[this.read - 1];
  }

  /** Everything up to the next event of one of these types, or that fits. Another error fails the step. */
  async until(wanted) {
    const fits = typeof wanted === "string" ? (event) => event.type === wanted : wanted;
    const start = this.read;
    for (;;) {
      const event = await this.receive().catch((error) => {
        throw new Error(`${wanted}: ${error.message}; ${names(this.events.slice(start))}`);
      });
      if (fits(event)) return this.events.slice(start, this.read);
      expect(event.type !== "error", "an error came", event, names(this.events.slice(start)));
    }
  }

  async update(tools = [], turnDetection = null) {
    this.send({ type: "session.update", session: this.dialect.session(tools, turnDetection) });
    return (await this.until("session.updated")).at(-1).session;
  }

  async create(item) {
    this.send({ type: "conversation.item.create", item });
    return this.until(this.dialect.itemBegins.at(-1));
  }

  async write(text, more = {}) {
    return this.create({ type: "message", role: "user", content: [{ type: "input_text", text }], ...more });
  }

  speak(sound) {
    for (const piece of pieces(sound)) {
      this.send({ type: "input_audio_buffer.append", audio: piece.toString("base64") });
    }
  }

  async respond(response) {
    this.send(response ? { type: "response.create", response } : { type: "response.create" });
    return this.until("response.done");
  }

  async ask(question, response) {
    await this.write(question);
    return this.respond(response);
  }
}

/** The types, deltas of one kind in a row as one. */
export const names = (events) =>
  events.map((event) => event.type).filter((type, place, types) => type !== types[place - 1]);

const deltas = (events, kind) => events.filter((event) => event.type === `${kind}.delta`).map((event) => event.delta);

/** The text of all deltas of a kind. */
export const joined = (events, kind) => deltas(events, kind).join("");

/** How much sound came. */
export const soundBytes = (events, kind) =>
  deltas(events, kind).reduce((sum, delta) => sum + Buffer.from(delta, "base64").length, 0);
