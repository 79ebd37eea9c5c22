/** The API as the dashboard asks it: with the key that somebody typed, which is kept in memory alone. */

/** Why there is no answer. `needsKey`: another key may help. */
export class Refused extends Error {
  constructor(message, { status = 0, needsKey = false } = {}) {
    super(message);
    this.status = status;
    this.needsKey = needsKey;
  }
}

const PATIENCE_MS = 20000;
let key = null;

/** @param {string} given */
export function useKey(given) {
  key = given.trim() || null;
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
  const isDenied = response.status === 401 || said?.code === "insufficient_scope";
  throw new Refused(
    response.status === 401 ? "The dashboard needs a key with the scope “records”." : (said?.message ?? `The server answered ${response.status}.`),
    { status: response.status, needsKey: isDenied },
  );
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
