/** The dashboard: which page is shown, asking again and again for what has changed, and the key. */

import { ask, read, Refused, useKey } from "./dashboard-api.js";
import { followWidth, showCosts, showEnds } from "./dashboard-costs.js";
import { showStatus } from "./dashboard-live.js";
import { at, say, shortId, sure } from "./dashboard-parts.js";
import { followPages, isOnFirstPage, showPast } from "./dashboard-past.js";
import { forgetSession, isShownWhole, showSession } from "./dashboard-session.js";

// The server answers one request to a connection, and a shutdown waits for open ones: it is asked anew, not listened to.
const POLL_MS = 2000;
// Sums and ends move slowly.
const SLOW_MS = 60000;

// A session that has ended is in the database some tenths of a second later: the lists are asked for again behind it.
const LOOKS_BEHIND = 2;

let living = new Set(); // the ids of live sessions, to notice that one has ended
let slowAt = 0;
let looks = 0; // how often the lists are yet to be asked for, since something has ended
let isLetIn = false;
let isOwed = false; // the session that was asked for could not be read just now
let polling = null;

/** For the page's tests: how often it has been answered. */
export const counts = { polls: 0, overviews: 0 };

/** The session whose page is asked for, or null. */
function sessionId() {
  const found = /^#\/sessions\/(.+)$/.exec(location.hash);
  try {
    return found && decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}

// What is wrong

function show(error, { passes = false } = {}) {
  if (!(error instanceof Refused)) throw error;
  // What is said of a poll goes when the next one is answered; anything else stays until something is done.
  if (passes && !error.isUnknown && !at("notice").hidden && !("passes" in at("notice").dataset)) return;
  if (passes) at("notice").dataset.passes = "";
  else delete at("notice").dataset.passes;
  say(at("notice-text"), error.message);
  if (error.isUnknown) lock();
  at("notice").classList.toggle("bad", !error.needsKey);
  at("key-form").hidden = !error.needsKey;
  if (at("notice").hidden && error.needsKey) setTimeout(() => at("key").focus());
  at("notice").hidden = false;
}

/** Shows nothing more: whoever looks is not known, or not any more. */
function lock() {
  isLetIn = false;
  document.body.classList.add("locked");
}

function connected(state, text) {
  at("connection").dataset.state = state;
  say(at("connection-text"), text);
}

/** Does something, and says so where it cannot be done. @param {Promise<void>} work */
async function attempt(work) {
  try {
    await work;
    at("notice").hidden = true;
    poll();
  } catch (error) {
    show(error);
  }
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(at("key").value);
  at("key").value = "";
  at("notice").hidden = true;
  open();
});

// What is shown

async function showOverview() {
  await Promise.all([showPast(), showCosts(), showEnds()]);
  slowAt = performance.now();
  looks = Math.max(0, looks - 1);
  counts.overviews += 1;
}

async function open() {
  const id = sessionId();
  const wasElsewhere = at("overview").hidden;
  at("overview").hidden = id !== null;
  at("session").hidden = id === null;
  if (id === null) {
    forgetSession();
    document.title = "Dashboard · LiveAvatar";
    if (wasElsewhere && counts.overviews) at("overview-title").focus();
  }
  if (isLetIn) at("notice").hidden = true; // what it said was of the page before
  poll();
  // Until it is known who looks, nothing but that is asked; the poll shows the page then.
  if (isLetIn) await showPage().catch(show);
}

/** Shows what is asked for from scratch. Raises where another key is needed. */
async function showPage() {
  const id = sessionId();
  isOwed = false;
  try {
    if (id === null) await showOverview();
    else await showOne(id);
  } catch (error) {
    if (error.needsKey) throw error;
    const isMissing = id !== null && error.status === 404;
    if (isMissing) forgetSession();
    // The next poll tries again.
    else if (id !== null) isOwed = true;
    else slowAt = -Infinity;
    show(error, { passes: !isMissing });
  }
}

const showOne = (id) => showSession(id, { isShown: () => sessionId() === id, attempt, end: endSession, erase: eraseSession });
const pathOf = (id) => `/api/sessions/${encodeURIComponent(id)}`;

async function endSession(id) {
  if (!(await sure("End this session?", `Session ${shortId(id)} is closed, and its client is told.`, "End"))) return;
  await attempt(ask(`${pathOf(id)}/end`, { method: "POST" }));
}

async function eraseSession(id) {
  const text = "Its texts, tool calls, lines of usage and recordings are deleted for good. What it cost stays in the sums of its day.";
  if (!(await sure("Erase this session?", text, "Erase"))) return;
  await attempt(ask(pathOf(id), { method: "DELETE" }).then(() => {
    location.hash = "#/";
  }));
}

/** Asks how things stand, and shows that and what has changed by it. */
async function once() {
  const status = await read("/api/status");
  showStatus(status, endSession);
  connected("connected", "Up to date");
  const isNew = !isLetIn;
  isLetIn = true;
  document.body.classList.remove("locked");
  const ids = new Set(status.live.map(({ session_id }) => session_id));
  if ([...living].some((gone) => !ids.has(gone))) looks = LOOKS_BEHIND;
  living = ids;
  counts.polls += 1;
  if (isNew) return showPage();
  const id = sessionId();
  if (id === null) {
    if (performance.now() - slowAt > SLOW_MS || (looks && isOnFirstPage())) await showOverview();
  } else if (at("session").dataset.id === id ? !isShownWhole(id) : isOwed) await showOne(id);
}

/** Asks now, and from then on every two seconds while somebody looks. */
async function poll() {
  clearTimeout(polling);
  polling = null;
  const mine = (poll.turn = (poll.turn ?? 0) + 1);
  let isDenied = false;
  try {
    if (!document.hidden) await once();
    if ("passes" in at("notice").dataset) at("notice").hidden = true;
  } catch (error) {
    isDenied = error.needsKey;
    connected(isDenied ? "idle" : "reconnecting", isDenied ? "A key is needed" : "Not up to date");
    if (error.status !== 404) show(error, { passes: true });
  }
  // Without a key nothing changes by asking again.
  if (mine === poll.turn && !isDenied) polling = setTimeout(poll, POLL_MS);
}

addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => document.hidden || poll());
at("costs-by").addEventListener("change", () => attempt(showCosts()));
at("costs-days").addEventListener("change", () => attempt(Promise.all([showCosts(), showEnds()])));
followPages(attempt);
followWidth();
open();
