/** Money over time and how sessions ended: charts of our own, each with its numbers beside it. */

import { onlyOf, read } from "./dashboard-api.js";
import { endWords } from "./dashboard-ends.js";
import { at, counted, el, money, say } from "./dashboard-parts.js";

// More colours than this cannot be told apart; what is left is put together.
const KINDS = 5;
const REST = "all others";
const HEIGHT = 240;
const LEFT = 46;
const BELOW = 22;
const SVG = "http://www.w3.org/2000/svg";

let shown = null; // {days, kinds, sums: Map(day -> Map(kind -> usd))}

const dayOf = (date) => date.toISOString().slice(0, 10);

/** The days (UTC) up to today, oldest first. */
function lastDays(number) {
  const today = Date.parse(dayOf(new Date()));
  return Array.from({ length: number }, (_, index) => dayOf(new Date(today - (number - 1 - index) * 86400000)));
}

/** Asks for the costs and shows them. */
export async function showCosts() {
  const [by, number] = [at("costs-by").value, Number(at("costs-days").value)];
  const days = lastDays(number);
  const { lines } = await read("/api/costs", { by: `day,${by}`, since: days[0], kb_id: onlyOf(at("past-kb").value) });
  const totals = new Map();
  for (const line of lines) totals.set(line[by], (totals.get(line[by]) ?? 0) + Number(line.cost_usd));
  const order = [...totals.keys()].sort((one, other) => totals.get(other) - totals.get(one));
  const kinds = order.slice(0, KINDS);
  if (order.length > KINDS) kinds.push(REST);
  const sums = new Map(days.map((day) => [day, new Map()]));
  for (const line of lines) {
    const sum = sums.get(line.day);
    const kind = kinds.includes(line[by]) ? line[by] : REST;
    if (sum) sum.set(kind, (sum.get(kind) ?? 0) + Number(line.cost_usd));
  }
  shown = { days, kinds, sums };
  const all = days.map(total);
  say(at("tile-days"), String(number));
  say(at("tile-cost"), money(all.reduce((one, other) => one + other, 0)));
  say(at("tile-today"), money(all.at(-1)));
  suggest(by === "kb_id" ? "kbs" : by === "principal_id" ? "principals" : null, order);
  draw();
  drawTable();
}

const total = (day) => [...shown.sums.get(day).values()].reduce((one, other) => one + other, 0);

function suggest(list, names) {
  if (list) at(list).replaceChildren(...names.map((name) => el("option", { value: name })));
}

const named = (kind) => kind || "(none)";

function svg(name, traits, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [trait, value] of Object.entries(traits)) made.setAttribute(trait, String(value));
  made.append(...children);
  return made;
}

/** A step of an axis that is 1, 2 or 5 times a power of ten, with at most four of them. */
function niceStep(most) {
  const power = 10 ** Math.floor(Math.log10(most / 4));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => most / step <= 4);
}

function draw() {
  const { days, kinds, sums } = shown;
  const width = Math.max(240, at("costs-chart").clientWidth);
  const most = Math.max(...days.map(total));
  at("costs-numbers").hidden = !(most > 0);
  if (!(most > 0)) {
    at("costs-chart").replaceChildren(el("p", { class: "empty" }, "Nothing was spent in these days."));
    at("costs-legend").replaceChildren();
    return;
  }
  const step = niceStep(most);
  const top = Math.ceil(most / step) * step;
  const y = (usd) => HEIGHT - (usd / top) * (HEIGHT - 8);
  const room = (width - LEFT) / days.length;
  const bar = Math.max(2, Math.min(28, room * 0.7));
  const picture = svg("svg", { width, height: HEIGHT + BELOW, viewBox: `0 0 ${width} ${HEIGHT + BELOW}`, role: "img", "aria-label": `Costs by day: ${money(days.reduce((sum, day) => sum + total(day), 0))} in ${days.length} days, at most ${money(most)} a day. The table below has the numbers.` });
  for (let usd = 0; usd <= top + step / 2; usd += step) {
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: width, y1: y(usd), y2: y(usd) }));
    picture.append(svg("text", { x: LEFT - 8, y: y(usd) + 4, "text-anchor": "end" }, money(usd).replace(/\.00$/, "")));
  }
  const every = Math.ceil(64 / room);
  days.forEach((day, index) => {
    const middle = LEFT + room * (index + 0.5);
    let height = 0;
    const stack = svg("g", {}, svg("title", {}, `${day}: ${money(total(day))}`));
    kinds.forEach((kind, place) => {
      const usd = sums.get(day).get(kind) ?? 0;
      if (usd) stack.append(svg("rect", { class: `kind-${place}`, x: middle - bar / 2, width: bar, y: y(height + usd), height: Math.max(0.5, y(height) - y(height + usd)) }));
      height += usd;
    });
    picture.append(stack);
    if ((days.length - 1 - index) % every === 0) picture.append(svg("text", { x: Math.min(middle, width - 20), y: HEIGHT + 16, "text-anchor": "middle" }, day.slice(5)));
  });
  at("costs-chart").replaceChildren(picture);
  at("costs-legend").replaceChildren(...kinds.map((kind, place) => el("li", {}, el("span", { class: `key kind-${place}`, "aria-hidden": "true" }), named(kind))));
}

function drawTable() {
  const { days, kinds, sums } = shown;
  const head = el("tr", {}, el("th", { scope: "col" }, "Day (UTC)"), ...kinds.map((kind) => el("th", { scope: "col", class: "number" }, named(kind))), el("th", { scope: "col", class: "number" }, "All"));
  const spent = [...days].reverse().filter((day) => total(day) > 0);
  const rows = spent.map((day) => el("tr", {}, el("th", { scope: "row" }, day), ...kinds.map((kind) => el("td", { class: "number" }, money(sums.get(day).get(kind) ?? 0))), el("td", { class: "number" }, money(total(day)))));
  at("costs-table").replaceChildren(el("caption", { class: "hidden" }, "Costs by day, in US dollars"), el("thead", {}, head), el("tbody", {}, ...rows));
}

/** Asks how the sessions of the same days ended and shows it. */
export async function showEnds() {
  const number = Number(at("costs-days").value);
  const { sessions, reasons } = await read("/api/end-reasons", { since: `${lastDays(number)[0]}T00:00:00Z`, kb_id: onlyOf(at("past-kb").value) });
  say(at("ends-aside"), `${sessions ? counted(sessions, "session") : "No session"} that began in the last ${number} days`);
  const entries = Object.entries(reasons);
  const most = Math.max(1, ...entries.map(([, count]) => count));
  const bars = entries.map(([reason, count]) => {
    const fill = el("span", { class: "fill", "aria-hidden": "true" });
    fill.style.setProperty("--share", String(count / most));
    return el("li", {}, el("span", { class: "label", title: reason }, endWords(reason)), el("span", { class: "track", "aria-hidden": "true" }, fill), el("span", { class: "number" }, count.toLocaleString("en")));
  });
  at("ends").replaceChildren(...bars);
}

/** Draws anew where the chart gets another width. */
export function followWidth() {
  let width = 0;
  new ResizeObserver(([entry]) => {
    if (shown && entry.contentRect.width && Math.abs(entry.contentRect.width - width) > 1) draw();
    width = entry.contentRect.width;
  }).observe(at("costs-chart"));
}
