/** The log of a conversation: questions, answers as they come, sources, and what was heard of them. It asks nothing. */

import { sourceList } from "./sources.js";

// A long afternoon. Older entries leave the page.
const MOST_ENTRIES = 200;
// Nearer to the end than this (in pixels) the reader follows the conversation.
const FOLLOWS_WITHIN = 80;

const CUT_SHORT = {
  content_filter: "It was stopped by a content filter.",
  max_output_tokens: "It was cut short because it was too long.",
};

/** Everything that was said, newest at the end. */
export class ConversationLog {
  #host;
  #fetchPassage;
  #language = "";
  #entries = new Map();
  #follows = true;

  /**
   * @param {HTMLElement} host an element with role="log"
   * @param {(passageId: string) => Promise<Response>} fetchPassage
   */
  constructor(host, fetchPassage) {
    this.#host = host;
    this.#fetchPassage = fetchPassage;
    // Who scrolls back to read is left there.
    host.addEventListener("click", ({ target }) => {
      if (target.closest("button")) this.#follows = false;
    });
    // Who follows the conversation goes on seeing its end when a message above it takes room.
    new ResizeObserver(() => this.#follows && (host.scrollTop = host.scrollHeight)).observe(host);
    host.addEventListener("scroll", () => {
      this.#follows = host.scrollHeight - host.scrollTop - host.clientHeight < FOLLOWS_WITHIN;
    });
  }

  /** The language of what the avatar says (BCP 47), or empty. @param {string} language */
  set language(language) {
    this.#language = language;
  }

  clear() {
    this.#entries.clear();
    this.#host.replaceChildren();
  }

  /** Something the page itself has to say. @param {string} text @returns {HTMLElement} it, to be taken away again */
  note(text) {
    const { element, text: words } = this.#add("note", null);
    words.textContent = text;
    this.#follow();
    return element;
  }

  /**
   * The conversation as the server knows it: entries that are there stay with all that belongs to them, others are made.
   * @param {{itemId: string, role: string, text: string|null, spoken: boolean}[]} messages
   */
  rebuild(messages) {
    let next = null;
    for (const { itemId, role, text, spoken } of messages.toReversed()) {
      const isNew = !this.#entries.has(itemId);
      if (role === "user") this.question(itemId, text, spoken, true);
      else if (text) this.caption(itemId, text);
      const { element } = this.#entries.get(itemId) ?? {};
      if (!element) continue;
      // What was missed may stand before what was not.
      if (isNew) this.#host.insertBefore(element, next);
      if (role !== "user") element.removeAttribute("aria-busy");
      next = element;
    }
    this.#follow();
  }

  /** What the avatar says before anything is asked. @param {string} text */
  greeting(text) {
    const entry = this.#add("avatar", null);
    entry.text.textContent = text;
    if (this.#language) entry.text.lang = this.#language;
  }

  /**
   * What the person said. `text` null: it was not understood.
   * @param {string} itemId @param {string|null} text @param {boolean} spoken @param {boolean} final
   */
  question(itemId, text, spoken, final) {
    this.#follows = true;
    const entry = this.#entries.get(itemId) ?? this.#add("person", itemId);
    const missing = final ? "You spoke. Your words could not be written down." : "You spoke.";
    entry.text.textContent = text ?? missing;
    entry.text.classList.toggle("quiet", text === null);
    if (spoken) entry.element.dataset.spoken = "";
    this.#follow();
  }

  /** The words of an answer so far. @param {string} itemId @param {string} text */
  caption(itemId, text) {
    const entry = this.#answer(itemId);
    if (entry.closed) return;
    entry.words = text;
    entry.text.textContent = text;
    this.#follow();
  }

  /** What the answer rests on. @param {string} itemId @param {import("./sources.js").Source[]} sources */
  sources(itemId, sources) {
    const entry = this.#answer(itemId);
    entry.sources?.remove();
    if (!sources.length) return;
    entry.sources = sourceList(sources, this.#fetchPassage, this.#language);
    entry.element.append(entry.sources, ...(entry.facts ? [entry.facts] : []));
    this.#follow();
  }

  /**
   * The answer is over: complete, or why not.
   * @param {string|null} itemId @param {string} status @param {string|null} message
   */
  answered(itemId, status, message) {
    const entry = itemId ? this.#entries.get(itemId) : null;
    entry?.element.removeAttribute("aria-busy");
    if (status === "failed") this.note(`The answer failed${message ? `: ${message}` : ""}. Ask again in a moment.`);
    if (status === "incomplete" && entry) {
      this.#remark(entry, CUT_SHORT[message] ?? "The speech service was lost here; the avatar goes on below.");
    }
  }

  /**
   * What an answer took and used, as far as it is known by now.
   * @param {string} itemId @param {{firstSoundMs?: number|null, usage?: object|null, cost?: string}} news
   */
  facts(itemId, news) {
    const entry = this.#entries.get(itemId);
    if (!entry) return;
    for (const [name, value] of Object.entries(news)) if (value !== null && value !== undefined) entry.known[name] = value;
    const { firstSoundMs, usage, cost } = entry.known;
    const parts = [];
    if (firstSoundMs !== undefined) parts.push(`First sound after ${(firstSoundMs / 1000).toFixed(2)} s`);
    if (usage) {
      const cached = usage.input_token_details?.cached_tokens ?? 0;
      parts.push(`${count(usage.total_tokens)} tokens${cached ? ` (${count(cached)} cached)` : ""}`);
    }
    if (cost) parts.push(cost);
    if (!parts.length) return;
    if (!entry.facts) {
      entry.facts = document.createElement("p");
      entry.facts.className = "facts";
      // Numbers for those who look; read aloud after every answer they would be in the way.
      entry.facts.setAttribute("aria-live", "off");
    }
    entry.facts.textContent = parts.join(" · ");
    entry.element.append(entry.facts);
    this.#follow();
  }

  /**
   * The answer was cut off; about this share of what had come was heard.
   * @param {string} itemId @param {number} share
   */
  interrupted(itemId, share) {
    const entry = this.#entries.get(itemId);
    if (!entry || entry.closed) return;
    entry.closed = true;
    entry.element.removeAttribute("aria-busy");
    const cut = wordBoundary(entry.words, Math.round(entry.words.length * share));
    const unheard = document.createElement("s");
    unheard.textContent = entry.words.slice(cut);
    entry.text.replaceChildren(entry.words.slice(0, cut), unheard);
    this.#remark(entry, cut < entry.words.length ? "Interrupted. What is crossed out was not heard (estimated)." : "Interrupted.");
  }

  #remark(entry, text) {
    const remark = document.createElement("p");
    remark.className = "remark";
    remark.textContent = text;
    entry.text.after(remark);
    this.#follow();
  }

  #answer(itemId) {
    const known = this.#entries.get(itemId);
    if (known) return known;
    const entry = this.#add("avatar", itemId);
    // A screen reader reads the whole answer when it is there, not every word twice.
    entry.element.setAttribute("aria-busy", "true");
    if (this.#language) entry.text.lang = this.#language;
    return entry;
  }

  #add(who, itemId) {
    const element = document.createElement("article");
    element.className = `entry ${who}`;
    if (who !== "note") {
      const name = document.createElement("span");
      name.className = "hidden";
      name.textContent = who === "person" ? "You: " : "Avatar: ";
      element.append(name);
    }
    const text = document.createElement("p");
    text.className = "words";
    element.append(text);
    this.#host.append(element);
    const entry = { element, text, words: "", sources: null, facts: null, known: {}, closed: false };
    if (itemId) this.#entries.set(itemId, entry);
    while (this.#host.childElementCount > MOST_ENTRIES) {
      const oldest = this.#host.firstElementChild;
      for (const [id, known] of this.#entries) if (known.element === oldest) this.#entries.delete(id);
      oldest.remove();
    }
    this.#follow();
    return entry;
  }

  #follow() {
    if (!this.#follows) return;
    this.#host.scrollTop = this.#host.scrollHeight;
    // On a phone it is the page that scrolls.
    if (this.#host.scrollHeight === this.#host.clientHeight) this.#host.lastElementChild?.scrollIntoView({ block: "nearest" });
  }
}

function count(number) {
  return number.toLocaleString("en");
}

function wordBoundary(text, at) {
  if (at <= 0) return 0;
  const space = text.indexOf(" ", at);
  return space < 0 ? text.length : space;
}
