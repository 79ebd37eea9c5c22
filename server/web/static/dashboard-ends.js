/** How sessions end, in people's words. The labels are those of logs, metrics and the API; a test holds the two together. */

const WORDS = {
  completed: "completed",
  client_lost: "connection lost",
  idle_timeout: "silent too long",
  max_duration: "longest time reached",
  superseded: "taken over elsewhere",
  over: "was over already",
  budget_spent: "budget spent",
  rate_limited: "too much at once",
  not_authenticated: "no valid key",
  revoked: "key revoked",
  not_allowed: "not allowed",
  unknown_knowledge_base: "unknown knowledge base",
  unknown_model: "unknown model",
  init_timeout: "no first message",
  bad_request: "bad request",
  protocol_error: "protocol broken",
  binary: "binary message",
  bad_utf8: "broken text",
  too_big: "message too large",
  slow_consumer: "client too slow",
  going_away: "server shut down",
  restarting: "server restarted",
  overloaded: "server full",
  internal: "server failed",
  unfinished: "server lost",
  upstream_unavailable: "service unavailable",
  upstream_too_slow: "service too slow",
  upstream_expired: "service’s time was up",
};

// What needs somebody's eye; everything else is how conversations end.
const BAD = new Set([
  "internal", "overloaded", "upstream_unavailable", "upstream_too_slow", "upstream_expired", "unfinished", "slow_consumer", "protocol_error",
  "unknown_model", "bad_request",
]);

/** All labels. */
export const ENDS = Object.keys(WORDS);

/** What a session was ended by whose server can no longer say it. */
export const LOST = "The server stopped without being able to end it: a crash, a kill, or a power cut. What was recorded until then is here.";

/** @param {string} label */
export const endWords = (label) => WORDS[label] ?? label.replaceAll("_", " ");

/** @param {string} label */
export const isBadEnd = (label) => BAD.has(label);
