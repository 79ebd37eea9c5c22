/** What it takes to come back to a session whose connection was lost. It opens no connection and plays nothing. */

// Ids of so many events are remembered, to know one that comes twice: some minutes of speech.
const REMEMBERED_EVENTS = 2048;

/**
 * The session, the newest token for it, and the last event that came of it. With a storage the session outlives the
 * page: what lies there is enough to come back to it, so it is the tab's own (`sessionStorage`) and no other.
 */
export class Resumption {
  #storage;
  #name;
  #ticket = null;
  #lostAt = null;
  #lastEventId = null;
  #seen = new Set();

  /** @param {Storage|null} storage @param {string} name under which it lies there */
  constructor(storage, name) {
    this.#storage = storage;
    this.#name = name;
  }

  /** Takes up what the page before this one has left. @param {string|null} asked the knowledge base that is asked for */
  restore(asked) {
    try {
      const kept = JSON.parse(this.#storage?.getItem(this.#name) ?? "null");
      if (!kept || typeof kept.sessionId !== "string" || typeof kept.token !== "string") return;
      if (kept.asked !== asked) return this.forget();
      this.#ticket = { sessionId: kept.sessionId, token: kept.token, windowS: Number(kept.windowS), asked };
      this.#lostAt = kept.lostAt ?? Date.now();
    } catch {
      this.forget(); // not ours, or not readable: then there is nothing to come back to
    }
  }

  /**
   * The server has greeted: this is the session now.
   * @param {{session_id: string, resume_token?: string|null, resume_window_s?: number}} greeting
   * @param {string|null} asked the knowledge base that was asked for
   */
  welcomed({ session_id: sessionId, resume_token: token, resume_window_s: windowS }, asked) {
    this.#ticket = token && windowS > 0 ? { sessionId, token, windowS, asked } : null;
    this.#lostAt = null;
    this.#store();
  }

  /** An event of the session came. False: it came before. @param {{event_id?: string}} event */
  take({ event_id: eventId }) {
    if (!eventId) return true;
    this.#lastEventId = eventId;
    if (this.#seen.has(eventId)) return false;
    this.#seen.add(eventId);
    if (this.#seen.size > REMEMBERED_EVENTS) this.#seen.delete(this.#seen.values().next().value);
    return true;
  }

  /** The connection is lost: from now on the server waits, for a while. */
  lost() {
    if (!this.#ticket || this.#lostAt !== null) return;
    this.#lostAt = Date.now();
    this.#store();
  }

  /** How long the server still waits, in milliseconds; 0 where there is nothing to come back to. */
  get leftMs() {
    if (!this.#ticket) return 0;
    const windowMs = this.#ticket.windowS * 1000;
    return this.#lostAt === null ? windowMs : Math.max(0, windowMs - (Date.now() - this.#lostAt));
  }

  /** What the first frame says to come back, or null. */
  get claim() {
    if (!this.leftMs) return null;
    const claim = { session_id: this.#ticket.sessionId, token: this.#ticket.token };
    if (this.#lastEventId) claim.last_event_id = this.#lastEventId;
    return claim;
  }

  /** There is nothing to come back to any more. */
  forget() {
    this.#ticket = this.#lostAt = this.#lastEventId = null;
    this.#seen.clear();
    this.#store();
  }

  #store() {
    try {
      if (!this.#ticket) this.#storage?.removeItem(this.#name);
      else this.#storage?.setItem(this.#name, JSON.stringify({ ...this.#ticket, lostAt: this.#lostAt }));
    } catch {
      this.#storage = null; // full or forbidden: the page can still come back, a reload of it cannot
    }
  }
}

/** The tab's own storage, or null where the browser keeps it from the page. */
export function tabStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}
