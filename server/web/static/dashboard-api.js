/** The API as the dashboard asks it: with the key that somebody typed, which is kept in memory alone. */

/** Why there is no answer. `needsKey`: another key may help; `isUnknown`: nobody is let in without one. */
export class Refused extends Error {
  constructor(message, { status = 0, needsKey = false, isUnknown = false } = {}) {
    super(message);
    this.status = status;
    this.needsKey = needsKey;
    this.isUnknown = isUnknown;
  }
}

const PATIENCE_MS = 20000;
const NAME_ONE = "This key is for several knowledge bases: name one of them under “Past sessions”.";
let key = null;
let isForSeveral = false; // the key: records are asked for of one knowledge base at a time

/** @param {string} given */
export function useKey(given) {
  key = given.trim() || null;
  isForSeveral = false;
}

/**
 * @param {string} path
 * @param {{method?: string, query?: Record<string, string|number|null>}} [options] what is null or "" is not asked for
 * @returns {Promise<Response>} raises Refused
 */
export async function ask(path, { method = "GET", query = {} } = {}) {
  const wanted = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  const fields = new URLSearchParams(wanted.map(([name, value]) => [name, String(value)]));
  let response;
  try {
    response = await fetch(wanted.length ? `${path}?${fields}` : path, {
      method,
      headers: key ? { Authorization: `Bearer ${key}` } : {},
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new Refused("The server does not answer. Trying again…");
  }
  if (response.ok) return response;
  const said = await response.json().then(({ error }) => error, () => null);
  throw refusal(response.status, said, method === "GET" ? "records" : "administer");
}

/**
 * The knowledge base that everything is asked of, which somebody named; "" where all may be asked for at once. Raises Refused.
 * @param {string} named
 */
export function onlyOf(named) {
  if (!isForSeveral) return "";
  if (!named.trim()) throw new Refused(NAME_ONE, { status: 400 });
  return named.trim();
}

/** What to tell of a refusal, and what helps. */
function refusal(status, said, scope) {
  if (status === 400 && said?.code === "missing_required_parameter") {
    isForSeveral = true;
    return new Refused(NAME_ONE, { status });
  }
  const isUnknown = status === 401;
  const isTooLittle = said?.code === "insufficient_scope";
  const help = `“liveavatar keys create NAME --scope records${scope === "records" ? "" : ` --scope ${scope}`}” makes one.`;
  const told = isTooLittle
    ? `This takes a key with the scope “${scope}”, which this one has not: ${help}`
    : said?.code === "missing_api_key"
      ? `The dashboard needs a key with the scope “${scope}”: ${help}`
      : (said?.message ?? `The server answered ${status}.`);
  return new Refused(told, { status, needsKey: isUnknown || isTooLittle, isUnknown: isUnknown || (isTooLittle && scope === "records") });
}

/** The JSON of an answer. */
export async function read(path, query = {}) {
  return (await ask(path, { query })).json();
}

/** Saves an answer as a file, under the name that the server gives it. */
export async function save(path, query) {
  const response = await ask(path, { query });
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "session";
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
