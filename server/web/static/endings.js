/** What to tell a person when a conversation cannot begin or go on, and what to offer. It shows nothing itself. */

/** The error of somebody who has shown no key yet, which is nobody's fault. */
export const NO_KEY_YET = "missing_api_key";

const START_AGAIN = "Start again";

const ADVICE = {
  1000: { text: "", action: START_AGAIN },
  1006: { text: "Check that the server is running and that you are online." },
  1011: { text: "If it happens again, the server’s log says more." },
  4402: { text: "Try again later.", action: "Try again" },
  4403: { text: "Ask the people who run this server, or choose another subject above.", action: "Try again" },
  4404: { text: "Choose another one at the top of the page." },
  4408: { text: "Start again when you are ready.", action: START_AGAIN },
  4409: { text: "Go on there, or start again here.", action: START_AGAIN },
  4410: { text: "Start again when you are ready.", action: START_AGAIN },
  4413: { text: "A faster network helps." },
  4502: { text: "The people who run this server can check its settings with “liveavatar check”." },
};

/**
 * @param {{code: number, message: string, error: string|null, retryInMs: number|null}} closed the detail of LiveAvatar's `closed` event
 * @returns {{text: string, action: string|null, needsKey: boolean}} a plain text, the label of a button or null, and
 *   whether a key is asked for
 */
export function explain({ code, message, error, retryInMs }) {
  if (error === NO_KEY_YET)
    return { text: "This server needs a key. Ask the people who run it for one.", action: null, needsKey: true };
  if (code === 4401 || code === 3000)
    return { text: "This server needs a key, and the one it got is missing, wrong or no longer valid.", action: null, needsKey: true };
  const advice = ADVICE[code] ?? { text: "" };
  const action = retryInMs === null ? (advice.action ?? (code === 4404 ? null : START_AGAIN)) : "Try now";
  // A new conversation is being begun already.
  const text = code === 4410 && retryInMs !== null ? message : `${message} ${advice.text}`.trim();
  return { text, action, needsKey: false };
}

/** A sentence for an HTTP answer of the API that is none. @param {number} status */
export function explainStatus(status) {
  if (status === 401) return "This server needs a key.";
  if (status === 403) return "This server answers pages on its own machine only, because no key is set up for it.";
  if (status === 404) return "It is not there any more: the knowledge base has changed since.";
  if (status === 503) return "It cannot be read right now. Try again in a moment.";
  return `The server answered with an error (${status}).`;
}
