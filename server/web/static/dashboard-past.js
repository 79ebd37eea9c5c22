/** Sessions that are over: a filter, and pages of them by key. */

import { onlyOf, read } from "./dashboard-api.js";
import { ENDS, endWords } from "./dashboard-ends.js";
import { at, el, endPill, lasting, money, say, sessionLink, when } from "./dashboard-parts.js";

const PAGE = 25;

// The keys of the pages before this one and of this one; null is the first page's.
let keys = [null];
let asked = 0;

/** Shows the page that is being looked at anew. */
export async function showPast({ focus = false } = {}) {
  const number = ++asked;
  onlyOf(at("past-kb").value);
  const page = await read("/api/sessions", { state: "past", limit: PAGE, key: keys.at(-1), ...filter() });
  if (number !== asked) return; // another page was asked for meanwhile
  at("past-rows").replaceChildren(...page.sessions.map(row));
  at("past").hidden = !page.sessions.length;
  at("past-empty").hidden = page.sessions.length > 0;
  say(at("past-empty"), isFiltered() ? "No such sessions." : "There are no sessions yet.");
  at("newer").disabled = keys.length === 1;
  at("older").disabled = page.next_key === null;
  at("older").dataset.key = page.next_key ?? "";
  say(at("page"), keys.length > 1 || page.next_key ? `Page ${keys.length}` : "");
  if (focus) at("past-title").focus();
}

/** Whether the newest sessions are being looked at. */
export const isOnFirstPage = () => keys.length === 1;

function row(session) {
  return el(
    "tr", {},
    el("td", {}, when(session.began_at)), el("th", { scope: "row" }, sessionLink(session.session_id)), el("td", { class: "wide" }, session.kb_id),
    el("td", { class: "wide" }, session.principal_name || session.principal_id),
    el("td", { class: "number wide" }, session.ended_at ? lasting(session.began_at, session.ended_at) : "–"),
    el("td", { class: "number wide" }, String(session.turns)), el("td", { class: "number" }, money(session.cost_usd)), el("td", {}, endPill(session.end_reason)),
  );
}

function filter() {
  const { since, until, ...rest } = Object.fromEntries(new FormData(at("filter")));
  return { ...rest, since: since ? midnight(since) : "", until: until ? midnight(until, 1) : "" };
}

const isFiltered = () => Object.values(filter()).some(Boolean);

/** The beginning of a day in the reader's zone, or of a later one. */
function midnight(day, later = 0) {
  const begin = new Date(`${day}T00:00`);
  begin.setDate(begin.getDate() + later);
  return begin.toISOString();
}

/** @param {(work: Promise<void>) => void} attempt is given what may fail */
export function followPages(attempt) {
  at("past-ends").append(...ENDS.map((label) => el("option", { value: label }, endWords(label))));
  const go = (to, options) => {
    keys = to;
    attempt(showPast(options));
  };
  at("older").addEventListener("click", () => {
    const { key } = at("older").dataset;
    // Clicked twice before the page has come, it is still one page.
    if (key && key !== keys.at(-1)) go([...keys, key], { focus: true });
  });
  at("newer").addEventListener("click", () => go(keys.slice(0, -1), { focus: true }));
  at("filter").addEventListener("submit", (event) => {
    event.preventDefault();
    go([null]);
  });
  at("filter").addEventListener("reset", () => setTimeout(() => go([null])));
}
