/** The page of one session: what was said and heard, what it rests on, how long each part took, what it cost. */

import { read, save } from "./dashboard-api.js";
import { LOST } from "./dashboard-ends.js";
import { at, counted, el, endPill, lasting, millis, money, shortId, when } from "./dashboard-parts.js";

let shownText = "";
let isOver = false; // of the session that is shown

/**
 * Shows a session; where it is shown already and nothing has changed, nothing happens.
 * @param {string} sessionId
 * @param {{isShown: () => boolean, attempt: (work: Promise<void>) => void, end: (id: string) => void, erase: (id: string) => void}} page
 */
export async function showSession(sessionId, page) {
  const kept = await read(`/api/sessions/${encodeURIComponent(sessionId)}`);
  if (!page.isShown()) return;
  const text = JSON.stringify(kept);
  const isAnew = at("session").dataset.id !== sessionId;
  if (isAnew || text !== shownText) {
    shownText = text;
    const focused = isAnew ? null : nameOf(document.activeElement);
    const wasOpen = new Set([...at("session").querySelectorAll("details[open]")].map((details) => details.dataset.name));
    at("session").dataset.id = sessionId;
    isOver = kept.session.ended_at !== null;
    at("session").replaceChildren(...parts(kept, page));
    for (const details of at("session").querySelectorAll("details")) details.open = !isAnew && wasOpen.has(details.dataset.name);
    if (focused) at("session").querySelector(focused)?.focus({ preventScroll: true });
  }
  document.title = `Session ${shortId(sessionId)} · LiveAvatar`;
  if (isAnew) at("session-title").focus();
}

/** A selector of what has the focus, which is about to be made anew; null where that is elsewhere. */
function nameOf(element) {
  if (!at("session").contains(element)) return null;
  const { name } = element.closest("details")?.dataset ?? {};
  return name ? `details[data-name="${CSS.escape(name)}"] > summary` : element.id ? `#${element.id}` : null;
}

/** Whether a session is shown to which nothing comes any more. */
export const isShownWhole = (sessionId) => isOver && at("session").dataset.id === sessionId;

/** The next session is shown from scratch. */
export function forgetSession() {
  delete at("session").dataset.id;
  at("session").replaceChildren();
}

function parts(kept, page) {
  const { session } = kept;
  return [
    el("p", { class: "back" }, el("a", { href: "#/", id: "back" }, "← All sessions")),
    el("section", { class: "card", "aria-labelledby": "session-title" },
      el("div", { class: "head" }, el("h1", { id: "session-title", tabindex: "-1" }, `Session ${shortId(session.session_id)}`), endPill(session.end_reason)),
      facts(kept), actions(kept, page)),
    el("section", { class: "card", "aria-labelledby": "said-title" }, el("h2", { id: "said-title" }, "What was said"), conversation(kept)),
    usage(kept.usage),
  ];
}

function facts({ session, detail, live, recordings }) {
  const ended = session.end_reason === "unfinished" ? LOST : detail;
  const pairs = [
    ["Began", when(session.began_at)],
    ["Lasted", session.ended_at ? lasting(session.began_at, session.ended_at) : live ? lasting(session.began_at, Date.now()) : "–"],
    ["Cost", money(live?.cost_usd ?? session.cost_usd)],
    ["State", live ? (live.has_client ? live.state : "client away") : null],
    ["Knowledge base", session.kb_id],
    ["Who", session.principal_name ? `${session.principal_name} (${session.principal_id})` : session.principal_id],
    ["Person", session.person === session.principal_id ? null : session.person],
    ["Model", session.model || null],
    ["Came by", session.endpoint],
    ["Ended", ended || null],
    ["Recordings", recordings.length ? recordings.map(({ side, duration_ms }) => `${side}, ${millis(duration_ms)}`).join("; ") : null],
    ["Id", session.session_id],
  ];
  return el("dl", { class: "facts-list" }, ...pairs.filter(([, value]) => value !== null).map(([name, value]) => el("div", { class: name === "Id" || name === "Ended" ? "long" : null }, el("dt", {}, name), el("dd", {}, value))));
}

function actions({ session: { session_id: id }, live }, { attempt, end, erase }) {
  const button = (label, onclick, traits = {}) => el("button", { type: "button", onclick, ...traits }, label);
  const saved = (format) => () => attempt(save(`/api/sessions/${encodeURIComponent(id)}/export`, { format }));
  return el("div", { class: "buttons" },
    button("Save as JSON", saved("json"), { id: "save-json" }),
    button("Save usage as CSV", saved("csv"), { id: "save-csv" }),
    live ? button("End…", () => end(id), { class: "grave", id: "end" }) : null,
    button("Erase…", () => erase(id), { class: "grave", id: "erase" }));
}

// The conversation

function conversation({ turns, tool_calls }) {
  if (!turns.length && !tool_calls.length) return el("p", { class: "empty" }, "Nothing was said, or it is not kept.");
  const scale = Math.max(500, ...turns.map((turn) => turn.first_audio_ms ?? turn.first_token_ms ?? turn.search_ended_ms ?? 0)) * 1.25;
  const entries = [
    ...turns.map((turn) => ({ moment: turn.at, rank: turn.role === "user" ? 0 : 2, made: () => turnEntry(turn, scale) })),
    ...tool_calls.map((call) => ({ moment: call.at, rank: 1, made: () => callEntry(call) })),
  ];
  entries.sort((one, other) => Date.parse(one.moment) - Date.parse(other.moment) || one.rank - other.rank);
  return el("ol", { class: "said" }, ...entries.map(({ made }) => made()));
}

const ROLES = { user: "Person", assistant: "Avatar", system: "System" };

function turnEntry(turn, scale) {
  const kind = turn.role === "assistant" ? "avatar" : turn.role === "user" ? "person" : "note";
  const wasCut = turn.heard_text !== null && turn.heard_text !== turn.text;
  const remarks = [];
  if (wasCut) remarks.push(`Interrupted: ${millis(turn.heard_ms)} of ${millis(turn.sent_ms)} were heard`);
  if (turn.stopped_by) remarks.push(`Not answered, by the rule ${turn.stopped_by}`);
  if (turn.status && turn.status !== "completed" && !wasCut) remarks.push(turn.status);
  return el("li", { class: `entry ${kind}` },
    el("p", { class: "who" }, ROLES[turn.role] ?? turn.role, " ", when(turn.at, { withDay: false })),
    words(turn),
    remarks.length ? el("p", { class: "remark" }, remarks.join(" · ")) : null,
    turn.role === "assistant" && turn.asked_at ? waterfall(turn, scale) : null);
}

/** The words, and crossed out what was generated and not heard. */
function words({ text, heard_text, role }) {
  const said = el("p", { class: "words" });
  if (heard_text === null || heard_text === text) said.append(text || (role === "user" ? "(not understood)" : "(no words)"));
  else if (text.startsWith(heard_text)) said.append(heard_text, crossedOut(text.slice(heard_text.length)));
  else said.append(heard_text, " ", crossedOut(text));
  return said;
}

const crossedOut = (text) => el("s", {}, el("span", { class: "hidden" }, " [not heard:] "), text, el("span", { class: "hidden" }, " [end] "));

function waterfall(turn, scale) {
  const steps = [
    ["search", "search", turn.search_began_ms, turn.search_ended_ms],
    ["words", "first word", turn.search_ended_ms ?? 0, turn.first_token_ms],
    ["sound", "first sound", turn.first_token_ms ?? turn.search_ended_ms ?? 0, turn.first_audio_ms],
    ["rest", "done", turn.first_audio_ms ?? turn.first_token_ms ?? 0, turn.ended_ms],
  ].filter(([, , from, to]) => from !== null && to !== null);
  if (!steps.length) return null;
  const track = el("div", { class: "track", "aria-hidden": "true" });
  for (const [kind, , from, to] of steps) {
    const bar = el("span", { class: `step ${kind}` });
    bar.style.setProperty("--begin", String(Math.min(1, from / scale)));
    bar.style.setProperty("--end", String(Math.min(1, to / scale)));
    track.append(bar);
  }
  const told = steps.map(([kind, label, from, to]) => el("li", {}, el("span", { class: `key ${kind}`, "aria-hidden": "true" }), kind === "search" ? `search ${from < 1000 ? Math.round(from) : millis(from)} to ${millis(to)}` : `${label} ${millis(to)}`));
  return el("div", { class: "waterfall" }, track, el("ul", { "aria-label": "After the end of the question" }, ...told));
}

function callEntry(call) {
  const summary = el("summary", {}, el("span", { class: "tool" }, call.name), " ", el("q", {}, queryOf(call.arguments)), el("span", { class: "aside" }, ` ${millis(call.duration_ms)} · ${sourcesTold(call)}`));
  const sources = call.sources.map((source) =>
    el("li", {}, el("p", {}, el("strong", {}, source.title || source.id), " ", address(source.uri)), el("blockquote", {}, source.snippet)));
  const body = sources.length ? el("ol", { class: "found" }, ...sources) : el("p", { class: "aside" }, call.arguments ?? "");
  return el("li", { class: "entry call" }, el("details", { "data-name": call.call_id }, summary, body));
}

function sourcesTold({ sources, status }) {
  if (status !== "answered") return status;
  return counted(sources.length, "passage");
}

/** What was searched for, or the arguments as they came. */
function queryOf(text) {
  try {
    const given = JSON.parse(text ?? "{}");
    return String(given.query ?? text ?? "");
  } catch {
    return text ?? "";
  }
}

/** Only addresses of the web become links: anything else could run. */
function address(uri) {
  if (/^https?:\/\//i.test(uri)) return el("a", { href: uri, rel: "noopener noreferrer", target: "_blank" }, uri);
  return el("span", { class: "aside" }, uri);
}

function usage(lines) {
  if (!lines.length) return el("p", { class: "empty" }, "It cost nothing so far.");
  const columns = ["Time", "What", "Model", "Text in", "Sound in", "Of it cached", "Text out", "Sound out", "Cost"];
  const rows = lines.map(({ at: moment, what, status, model, tokens, cost_usd, is_estimate }) => {
    const cached = (tokens.cached_text ?? 0) + (tokens.cached_audio ?? 0) + (tokens.cached_image ?? 0);
    const numbers = [tokens.input_text, tokens.input_audio, cached, tokens.output_text, tokens.output_audio].map((number) => el("td", { class: "number" }, (number ?? 0).toLocaleString("en")));
    return el("tr", {}, el("td", {}, when(moment, { withDay: false })), el("td", {}, status && status !== "completed" ? `${what}, ${status}` : what), el("td", {}, model), ...numbers, el("td", { class: "number" }, `${is_estimate ? "≤ " : ""}${money(cost_usd)}`));
  });
  const head = columns.map((name, index) => el("th", { scope: "col", class: index > 2 ? "number" : null }, name));
  return el("section", { class: "card", "aria-labelledby": "usage-title" }, el("h2", { id: "usage-title" }, "What it cost"),
    el("div", { class: "scroll", id: "usage-table", tabindex: "0", role: "region", "aria-label": "Table of usage" }, el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows))));
}
