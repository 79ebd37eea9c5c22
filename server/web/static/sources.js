/** The sources of an answer: each opens to its document with the passage marked. Texts are shown as texts, never as markup. */

import { explainStatus } from "./endings.js";

/** @typedef {{id: string, title: string, uri: string, snippet: string, score: number}} Source */

/**
 * The list of an answer's sources.
 * @param {Source[]} sources best first
 * @param {(passageId: string) => Promise<Response>} fetchPassage
 * @param {string} language of the documents
 * @returns {HTMLElement}
 */
export function sourceList(sources, fetchPassage, language) {
  const list = element("div", { className: "sources" });
  list.append(element("p", { className: "sources-title", textContent: sources.length > 1 ? "Sources" : "Source" }));
  const rows = element("ol");
  rows.append(...sources.map((source) => sourceRow(source, fetchPassage, language)));
  list.append(rows);
  return list;
}

function sourceRow(source, fetchPassage, language) {
  const row = element("li");
  const button = element("button", { type: "button", className: "source" });
  const [document, ...headings] = source.title.split(" > ");
  button.append(element("span", { className: "source-title", textContent: document, lang: language }));
  if (headings.length) button.append(" ", element("span", { className: "source-part", textContent: headings.join(" › "), lang: language }));
  button.setAttribute("aria-expanded", "false");
  const body = element("div", { className: "source-body", hidden: true });
  let loaded = false;
  button.addEventListener("click", async () => {
    const open = body.hidden;
    body.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (!open || loaded) return;
    loaded = true;
    body.replaceChildren(element("p", { className: "quiet", textContent: "Opening…" }));
    try {
      const response = await fetchPassage(source.id);
      if (!response.ok) throw new Error(explainStatus(response.status));
      body.replaceChildren(...documentView(await response.json(), source.snippet, language));
      scrollToMark(body);
    } catch (error) {
      loaded = false;
      const why = error instanceof TypeError ? "The server cannot be reached." : error.message;
      // What was found is known even so.
      body.replaceChildren(
        element("p", { className: "quiet", textContent: why }),
        element("blockquote", { textContent: source.snippet, lang: language }),
      );
    }
  });
  row.append(button, body);
  return row;
}

function documentView(found, snippet, language) {
  // Places are counted in characters, which JavaScript's strings are not made of.
  const characters = Array.from(found.text);
  const text = (from, to) => characters.slice(from, to).join("");
  const page = element("div", { className: "document", tabIndex: 0, lang: language });
  page.setAttribute("role", "region");
  page.setAttribute("aria-label", `Document: ${found.title}`);
  if (found.cut_before) page.append(element("p", { className: "quiet", textContent: "… the document begins before this …" }));
  // Headings are blocks of their own, so the empty lines around them are left out.
  const show = (from, to) => {
    const afterHeading = page.lastElementChild === page.lastChild && page.lastChild?.nodeName === "STRONG";
    const beforeHeading = found.headings.some(([start]) => start === to);
    let piece = text(from, to);
    if (afterHeading) piece = piece.trimStart();
    if (beforeHeading) piece = piece.trimEnd();
    if (piece) page.append(piece);
  };
  let at = 0;
  const showUntil = (end) => {
    for (const [from, to] of found.headings) {
      if (from < at || from >= end) continue;
      show(at, from);
      page.append(element("strong", { textContent: text(from, to) }));
      at = to;
    }
    show(at, end);
    at = end;
  };
  showUntil(found.start);
  page.append(markedPassage(text(found.start, found.end), snippet));
  at = found.end;
  showUntil(characters.length);
  if (found.cut_after) page.append(element("p", { className: "quiet", textContent: "… the document goes on …" }));
  return [element("p", { className: "document-name", textContent: `${found.title} · ${found.uri}` }), page];
}

function markedPassage(passage, snippet) {
  const mark = element("mark");
  mark.append(element("span", { className: "hidden", textContent: "Passage found: " }));
  const [from, to] = findSnippet(passage, snippet);
  mark.append(passage.slice(0, from));
  if (to > from) mark.append(element("em", { textContent: passage.slice(from, to) }));
  mark.append(passage.slice(to), element("span", { className: "hidden", textContent: " End of the passage. " }));
  return mark;
}

// A snippet is the passage's own words in one line; in the passage they may stand on several.
function findSnippet(passage, snippet) {
  const words = snippet.replace(/^…\s*|\s*…$/g, "").split(/\s+/).filter(Boolean);
  if (!words.length) return [0, 0];
  const pattern = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("\\s+");
  const match = new RegExp(pattern).exec(passage);
  return match ? [match.index, match.index + match[0].length] : [0, 0];
}

// Inside its box only: the page must not jump. The heading just above is shown with it.
function scrollToMark(body) {
  const box = body.querySelector(".document");
  const mark = box?.querySelector("mark");
  if (!mark) return;
  const before = mark.previousElementSibling;
  const top = before && mark.offsetTop - before.offsetTop < 70 ? before : mark;
  box.scrollTop = Math.max(0, top.offsetTop - box.offsetTop - 4);
}

function element(name, properties = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key !== "lang" || value) made[key] = value;
  }
  return made;
}
