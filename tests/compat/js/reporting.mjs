// The report of a client script: one JSON line per step on stdout. Judges nothing.

const WHY_CHARS = 600;

/** Throw where something does not hold; `seen` is what was there instead. */
export function expect(holds, what, ...seen) {
  if (!holds) throw new Error([what, ...seen.map((value) => JSON.stringify(value))].join("; ").slice(0, WHY_CHARS));
}

/** One line for the harness. */
export function report(step, ok, facts) {
  process.stdout.write(`${JSON.stringify({ step, ok, ...facts })}\n`);
}

/** Report what `act` does and how long it took; the facts it returns go with it. True if it held. */
export async function step(name, act) {
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 10) / 100;
  try {
    const facts = await act();
    report(name, true, { seconds: seconds(), ...facts });
    return true;
  } catch (error) {
    report(name, false, { seconds: seconds(), why: `${error?.stack ?? error}`.slice(0, WHY_CHARS) });
    return false;
  }
}

/** What comes of `promise`, unless it takes too long. */
export function within(seconds, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${seconds} s`)), 1000 * seconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
