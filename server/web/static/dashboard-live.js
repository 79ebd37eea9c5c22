/** What happens now: the sessions that live, and how the server stands. */

import { at, counted, el, lasting, millis, money, say, sessionLink } from "./dashboard-parts.js";

const BUSY = new Set(["thinking", "searching", "speaking"]);
const WAITING = new Set(["reconnecting", "degraded", "ending"]);
const RECORDS = { ok: "safe", waiting: "waiting", behind: "behind", failed: "failed" };

const rows = new Map();

/**
 * @param {object} status the answer of /api/status
 * @param {(sessionId: string) => void} end what ending a session calls
 */
export function showStatus(status, end) {
  say(at("tile-live"), String(status.live.length));
  say(at("tile-live-aside"), status.max_sessions ? `of ${status.max_sessions} at most` : "");
  say(at("tile-server"), status.status);
  at("tile-server").className = status.status === "ready" ? "good" : "bad";
  say(at("tile-upstream"), status.upstream);
  say(at("tile-records"), RECORDS[status.records.state] ?? status.records.state);
  at("tile-records").className = status.records.state === "ok" ? "good" : "bad";
  const troubles = [status.records.detail];
  if (status.records.lost) troubles.push(`${status.records.lost} lost`);
  if (status.records.set_aside) troubles.push(`${status.records.set_aside} set aside`);
  say(at("tile-records-aside"), troubles.filter(Boolean).join(" · "));
  showBreakers(status.breakers);
  showLive(status.live, end);
}

function showBreakers(breakers) {
  const shown = breakers.map(({ name, state, failures, retry_in_s }) => {
    const note = state === "open" ? `asked again in ${retry_in_s} s` : failures ? `${counted(failures, "failure")} in a row` : "";
    return el("li", {}, el("span", { class: "name" }, name), el("span", { class: `pill ${state === "closed" ? "good" : "bad"}` }, state === "closed" ? "answers" : state), el("span", { class: "aside" }, note));
  });
  const text = JSON.stringify(breakers);
  if (at("breakers").dataset.shown === text) return;
  at("breakers").dataset.shown = text;
  at("breakers").replaceChildren(...(shown.length ? shown : [el("li", { class: "aside" }, "Nothing outside this machine.")]));
}

function showLive(live, end) {
  at("live").hidden = !live.length;
  at("live-empty").hidden = live.length > 0;
  say(at("live-empty"), "Nobody is talking right now.");
  const here = new Set(live.map(({ session_id }) => session_id));
  for (const [id, row] of rows) {
    if (here.has(id)) continue;
    row.line.remove();
    rows.delete(id);
  }
  // Kept rows keep what has the focus in them.
  for (const session of live) {
    if (!rows.has(session.session_id)) {
      const row = newRow(session, end);
      rows.set(session.session_id, row);
      at("live-rows").prepend(row.line);
    }
    const row = rows.get(session.session_id);
    const state = session.has_client ? session.state : "client away";
    say(row.state, state);
    row.state.className = `pill ${BUSY.has(state) ? "busy" : WAITING.has(state) || !session.has_client ? "waits" : "good"}`;
    say(row.lasted, lasting(session.began_at, Date.now()));
    say(row.latency, millis(session.first_audio_ms));
    row.latency.classList.toggle("none", session.first_audio_ms === null);
    say(row.cost, money(session.cost_usd));
  }
}

function newRow(session, end) {
  const [state, lasted, latency, cost] = [el("span"), el("td", { class: "number" }), el("td", { class: "number latency" }), el("td", { class: "number" })];
  const button = el("button", { type: "button", onclick: () => end(session.session_id), "aria-label": `End session ${session.session_id}` }, "End");
  const line = el(
    "tr", {},
    el("td", {}, state), el("th", { scope: "row" }, sessionLink(session.session_id)), el("td", { class: "wide" }, session.kb_id),
    el("td", { class: "wide" }, session.principal_name), lasted, latency, cost, el("td", { class: "act" }, button),
  );
  return { line, state, lasted, latency, cost };
}
