/** The dashboard: which page is shown, asking again and again for what has changed, and the key. */

import { ask, read, Refused, useKey } from "./dashboard-api.js";
import { followWidth, showCosts, showEnds } from "./dashboard-costs.js";
import { showStatus } from "./dashboard-live.js";
import { at, say, shortId, sure } from "./dashboard-parts.js";
import { followPages, isOnFirstPage, showPast } from "./dashboard-past.js";
import { forgetSession, showSession } from "./dashboard-session.js";

// The server answers one request to a connection, and a shutdown waits for open ones: it is asked anew, not listened to.
const POLL_MS = 2000;
// Sums and ends move slowly.
const SLOW_MS = 60000;

let living = ""; // the ids of live sessions, to notice that one has ended
let slowAt = 0;
let isStale = false; // something has ended since the lists were asked for
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
  if (passes && !at("notice").hidden && !("passes" in at("notice").dataset)) return;
  if (passes) at("notice").dataset.passes = "";
  else delete at("notice").dataset.passes;
  say(at("notice-text"), error.message);
  at("notice").classList.toggle("bad", !error.needsKey);
  at("key-form").hidden = !error.needsKey;
  if (at("notice").hidden && error.needsKey) setTimeout(() => at("key").focus());
  at("notice").hidden = false;
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
  slowAt = performance.now();
  isStale = false;
  await Promise.all([showPast(), showCosts(), showEnds()]);
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
  poll();
  try {
    if (id === null) await showOverview();
    else await showSession(id, { isShown: () => sessionId() === id, attempt });
  } catch (error) {
    if (id !== null && error.status === 404) forgetSession();
    show(error);
  }
}

async function endSession(id) {
  if (!(await sure("End this session?", `Session ${shortId(id)} is closed, and its client is told.`, "End"))) return;
  await attempt(ask(`/api/sessions/${encodeURIComponent(id)}/end`, { method: "POST" }));
}

async function once() {
  const status = await read("/api/status");
  showStatus(status, endSession);
  connected("connected", "Up to date");
  const ids = status.live.map(({ session_id }) => session_id).join(" ");
  if (living && living !== ids) isStale = true;
  living = ids;
  const id = sessionId();
  if (id !== null) {
    if (status.live.some(({ session_id }) => session_id === id) || (isStale && at("session").dataset.id === id)) await showSession(id, { isShown: () => sessionId() === id, attempt });
  } else if (performance.now() - slowAt > SLOW_MS || (isStale && isOnFirstPage())) await showOverview();
  counts.polls += 1;
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
    connected("reconnecting", "Not up to date");
    isDenied = error.needsKey;
    if (error.status !== 404) show(error, { passes: true });
  }
  // Without a key nothing changes by asking again.
  if (mine === poll.turn && !isDenied) polling = setTimeout(poll, POLL_MS);
}

addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => document.hidden || poll());
at("costs-by").addEventListener("change", () => attempt(showCosts()));
at("costs-days").addEventListener("change", () => attempt(showCosts()));
followPages(attempt);
followWidth();
open();
