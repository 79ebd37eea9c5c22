/** What the dashboard's pages are made of: elements, and numbers and times as people read them. All text is set as text. */

import { endWords, isBadEnd } from "./dashboard-ends.js";

/** The element with an id. @param {string} id */
export const at = (id) => document.getElementById(id);

/**
 * An element. Strings among the children become text.
 * @param {string} name
 * @param {Record<string, any>} [traits] attributes; `class`, `on…` listeners, and null for none
 * @param {...(Node|string|null)} children
 */
export function el(name, traits = {}, ...children) {
  const made = document.createElement(name);
  for (const [trait, value] of Object.entries(traits)) {
    if (value === null || value === false) continue;
    if (trait.startsWith("on")) made.addEventListener(trait.slice(2), value);
    else made.setAttribute(trait, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Sets a text only where it is another one, so that nothing is read out or selected anew. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** US dollars: cents, and finer where there are no whole cents to see. @param {string|number} usd */
export function money(usd) {
  const value = Number(usd);
  const digits = value >= 0.1 || value === 0 ? 2 : value >= 0.01 ? 3 : 5;
  return `$${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: digits })}`;
}

/** Milliseconds. @param {number|null} ms */
export function millis(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
}

/** How long it was from one time to another. @param {string} from @param {string|number} to */
export function lasting(from, to) {
  const whole = Math.max(0, Math.round((new Date(to) - new Date(from)) / 1000));
  const [hours, minutes, seconds] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${seconds} s` : `${seconds} s`;
}

const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** A moment, as a `time` element in the reader's own zone. @param {string} moment */
export function when(moment, { withDay = true } = {}) {
  return el("time", { datetime: moment, title: new Date(moment).toISOString() }, (withDay ? dayAndTime : time).format(new Date(moment)));
}

/** @param {string|null} reason */
export function endPill(reason) {
  if (reason === null) return el("span", { class: "pill good" }, "live");
  return el("span", { class: isBadEnd(reason) ? "pill bad" : "pill", title: reason }, endWords(reason));
}

/** The short form of a session's id, which begins as all do. @param {string} id */
export const shortId = (id) => (id.startsWith("sess_la_") ? id.slice(8, 18) : id.slice(0, 18));

/** A link to a session's page. @param {string} id */
export function sessionLink(id) {
  return el("a", { href: `#/sessions/${encodeURIComponent(id)}`, class: "id", "aria-label": `Session ${id}` }, shortId(id));
}

/** A number of things. @param {number} number @param {string} thing in the singular */
export const counted = (number, thing) => `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;

/** Asks whether somebody is sure. @returns {Promise<boolean>} */
export function sure(title, text, yes) {
  const dialog = at("sure");
  say(at("sure-title"), title);
  say(at("sure-text"), text);
  say(at("sure-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
