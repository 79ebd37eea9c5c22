/**
 * The avatar's face: an original drawing that idles, listens, thinks, searches and speaks. It knows no server and plays
 * no sound; its mouth follows whatever `follow` is given (`LiveAvatar.mouth`).
 *
 *     const face = new Face(document.querySelector("#face"));
 *     face.follow(() => avatar.mouth());
 *     avatar.on("state", ({ state }) => (face.state = state));
 *
 * @module
 */

const SVG = "http://www.w3.org/2000/svg";

const SKIN = "#eebd98";
const SKIN_SHADE = "#d99f78";
const SKIN_DEEP = "#c98a66";
const CHEEK = "#ea8a76";
const HAIR = "#43282c";
const HAIR_DARK = "#331d22";
const HAIR_SHINE = "#6b4146";
const LIP = "#c9685f";
const LIP_DARK = "#9a4143";
const MOUTH_INSIDE = "#5b1d26";
const TONGUE = "#d96f70";
const TEETH = "#fffaf2";
const IRIS = "#3f7d78";
const IRIS_RIM = "#265653";
const PUPIL = "#10211f";
const EYE_WHITE = "#fffdf8";
const COAT = "#21405f";
const COAT_LIGHT = "#2d5478";
const COAT_DARK = "#182f47";
const SHIRT = "#f7f0e2";
const SCARF = "#e5a640";
const SCARF_DARK = "#c98a2b";
const BRASS = "#f3cb68";

// What each mouth position of Azure's 22 viseme ids looks like:
// [jaw open, width (-1 round .. 1 spread), teeth seen, tongue seen, lips pressed], all but width from 0 to 1.
const VISEMES = [
  [0.0, 0.0, 0.0, 0.0, 0.0], // 0 silence
  [0.55, 0.1, 0.45, 0.3, 0], // 1 ae, ah
  [0.95, -0.05, 0.35, 0.5, 0], // 2 aa
  [0.78, -0.5, 0.15, 0.35, 0], // 3 ao
  [0.52, 0.3, 0.55, 0.35, 0], // 4 eh, uh
  [0.42, -0.25, 0.4, 0.2, 0], // 5 er
  [0.3, 0.75, 0.75, 0.25, 0], // 6 ee, y
  [0.24, -1.0, 0.0, 0.0, 0], // 7 oo, w
  [0.5, -0.8, 0.05, 0.15, 0], // 8 oh
  [0.85, -0.15, 0.35, 0.4, 0], // 9 ow
  [0.6, -0.55, 0.2, 0.25, 0], // 10 oy
  [0.85, 0.2, 0.5, 0.4, 0], // 11 eye
  [0.4, 0.05, 0.35, 0.25, 0], // 12 h
  [0.28, -0.45, 0.4, 0.2, 0], // 13 r
  [0.4, 0.15, 0.5, 0.9, 0], // 14 l
  [0.16, 0.5, 0.95, 0.05, 0], // 15 s, z
  [0.22, -0.55, 0.9, 0.0, 0], // 16 sh, ch
  [0.26, 0.2, 0.75, 1.0, 0], // 17 th
  [0.12, 0.15, 1.0, 0.0, 0.25], // 18 f, v
  [0.26, 0.25, 0.7, 0.6, 0], // 19 d, t, n
  [0.36, 0.1, 0.5, 0.25, 0], // 20 k, g
  [0.0, -0.1, 0.0, 0.0, 1.0], // 21 p, b, m
];

// How the face holds itself in each state. Gaze and lean from -1 to 1 (right and down are positive for gaze).
const CALM = { gazeX: 0, gazeY: 0, lids: 1, browLeft: 0, browRight: 0, browKnit: 0, tilt: 0, lean: 0, smile: 0.62, purse: 0 };
const POSES = {
  idle: { ...CALM, lids: 0.94 },
  connecting: { ...CALM, lids: 0.9, gazeY: 0.25, smile: 0.4 },
  listening: { ...CALM },
  hearing: { ...CALM, lids: 1.1, browLeft: 0.55, browRight: 0.55, tilt: 0.75, lean: 1, smile: 0.5 },
  thinking: { ...CALM, gazeX: 0.55, gazeY: -0.8, browLeft: 0.25, browRight: 0.8, tilt: -0.45, smile: 0.25, purse: 0.55 },
  searching: { ...CALM, gazeY: 0.5, browKnit: 0.2, browLeft: 0.1, browRight: 0.1, lids: 0.93, smile: 0.4, lean: 0.35, purse: 0.2 },
  speaking: { ...CALM, browLeft: 0.15, browRight: 0.15, smile: 0.6 },
  reconnecting: { ...CALM, lids: 0.78, browLeft: 0.45, browRight: 0.45, browKnit: 0.55, smile: 0.1, gazeY: 0.2, tilt: -0.3 },
  closed: { ...CALM, lids: 0.0, smile: 0.35, gazeY: 0.4, lean: -0.6, tilt: 0.35 },
};

// Seconds that a movement takes to have gone two thirds of its way.
const POSE_S = 0.16;
const GAZE_S = 0.05;
const JAW_OPENS_S = 0.02;
const JAW_CLOSES_S = 0.04;
const BLINK_S = 0.17;
// Below this (of full scale 1) sound is breath or noise, and opens no mouth wide.
const LEAST_LOUD = 0.06;
const LOUDEST_FADES_S = 4;
// The mouth's way from shut to wide, by the voice's strength: half open at a third of it.
const FORCE_CURVE = 0.65;

/** @typedef {() => {loudness: number, brightness: number, rms: number, visemes: {from: number, to: number, mix: number}|null}} Mouth */

/** A face in an element of the page. It draws itself at once and moves as long as it is visible. */
export class Face {
  #host;
  #parts = {};
  #state = "idle";
  #mouth = () => ({ loudness: 0, brightness: 0, rms: 0, visemes: null });
  #pose = { ...POSES.idle };
  #speech = { open: 0, width: 0, teeth: 0, tongue: 0, press: 0 };
  #gaze = { x: 0, y: 0, targetX: 0, targetY: 0, nextAt: 0 };
  #blink = { at: 1.5, from: -1 };
  #accent = { loud: 0, value: 0 };
  #loudest = LEAST_LOUD;
  #last = 0;
  #frame = 0;
  #calm;
  #dark;

  /**
   * @param {HTMLElement} host
   * @param {{label?: string}} [options] `label`: what a screen reader calls the picture
   */
  constructor(host, { label = "The avatar's face" } = {}) {
    this.#host = host;
    this.#calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.#dark = matchMedia("(prefers-color-scheme: dark)");
    this.#draw(label);
    this.#paintSky();
    this.#dark.addEventListener("change", this.#paintSky);
    this.#apply(0);
    this.#frame = requestAnimationFrame((now) => {
      performance.mark("liveavatar.face");
      this.#animate(now);
    });
  }

  /** One of idle, connecting, listening, hearing, thinking, searching, speaking, reconnecting, closed. */
  get state() {
    return this.#state;
  }

  set state(state) {
    if (!(state in POSES) || state === this.#state) return;
    this.#state = state;
    this.#gaze.nextAt = 0;
    this.#host.dataset.state = state;
  }

  /** How far the mouth is open now, 0 to 1. */
  get opening() {
    return this.#speech.open;
  }

  /** Where the mouth's movement comes from. @param {Mouth} mouth */
  follow(mouth) {
    this.#mouth = mouth;
  }

  /** Takes the face away. */
  remove() {
    cancelAnimationFrame(this.#frame);
    this.#dark.removeEventListener("change", this.#paintSky);
    this.#parts.svg.remove();
  }

  #animate = (now) => {
    const seconds = now / 1000;
    const passed = Math.min(0.1, Math.max(0, seconds - this.#last));
    this.#last = seconds;
    this.#move(seconds, passed);
    this.#apply(seconds);
    this.#frame = requestAnimationFrame(this.#animate);
  };

  // What moves

  #move(now, passed) {
    const target = POSES[this.#state];
    const share = 1 - Math.exp(-passed / POSE_S);
    for (const name of Object.keys(target)) this.#pose[name] += (target[name] - this.#pose[name]) * share;
    this.#speak(passed);
    this.#look(now, passed);
  }

  #speak(passed) {
    const { loudness, brightness, rms, visemes } = this.#mouth();
    // Against the loudest of late: a quiet voice and a loud one open the mouth alike.
    this.#loudest = Math.max(rms, LEAST_LOUD, this.#loudest * Math.exp(-passed / LOUDEST_FADES_S));
    const force = Math.pow(rms / this.#loudest, FORCE_CURVE);
    const shape = visemes ? fromVisemes(visemes, force) : fromSound(force, brightness);
    const speech = this.#speech;
    const jaw = shape.open > speech.open ? JAW_OPENS_S : JAW_CLOSES_S;
    const rate = (seconds) => 1 - Math.exp(-passed / seconds);
    speech.open += (shape.open - speech.open) * rate(jaw);
    for (const name of ["width", "teeth", "tongue", "press"]) speech[name] += (shape[name] - speech[name]) * rate(0.05);
    // Stress raises the brows and nods the head, a little and a little late.
    const accent = this.#accent;
    accent.loud += (loudness - accent.loud) * rate(0.5);
    const stress = Math.max(0, loudness - accent.loud - 0.1);
    accent.value += (stress - accent.value) * rate(stress > accent.value ? 0.09 : 0.3);
  }

  // Eyes jump, rest, and jump again; what they rest on depends on the state.
  #look(now, passed) {
    const gaze = this.#gaze;
    if (now >= gaze.nextAt) {
      const wander = this.#calm.matches ? 0 : 1;
      const around = (size) => (Math.random() * 2 - 1) * size * wander;
      if (this.#state === "searching" && wander) {
        // Along the lines of a page, and back.
        gaze.targetX = gaze.targetX > 0.5 ? -0.65 : gaze.targetX + 0.32;
        gaze.targetY = 0;
        gaze.nextAt = now + 0.22;
      } else if (this.#state === "thinking") {
        gaze.targetX = around(0.25);
        gaze.targetY = around(0.12);
        gaze.nextAt = now + 0.7 + Math.random() * 0.8;
      } else {
        const away = Math.random() < 0.22 && this.#state !== "hearing";
        gaze.targetX = away ? around(0.5) : around(0.07);
        gaze.targetY = away ? around(0.2) : around(0.05);
        gaze.nextAt = now + (away ? 0.5 + Math.random() * 0.5 : 1.2 + Math.random() * 2.2);
      }
    }
    const share = 1 - Math.exp(-passed / GAZE_S);
    gaze.x += (gaze.targetX - gaze.x) * share;
    gaze.y += (gaze.targetY - gaze.y) * share;
    const blink = this.#blink;
    if (blink.from < 0 && now >= blink.at) blink.from = now;
    if (blink.from >= 0 && now - blink.from > BLINK_S) {
      blink.from = -1;
      // One in six is followed by another one.
      blink.at = now + (Math.random() < 0.16 ? 0.12 : 2.2 + Math.random() * 3.6);
    }
  }

  #lids(now) {
    const { from } = this.#blink;
    if (from < 0) return 1;
    const t = (now - from) / BLINK_S;
    return t < 0.35 ? 1 - t / 0.35 : Math.min(1, (t - 0.35) / 0.65);
  }

  #apply(now) {
    const parts = this.#parts;
    const pose = this.#pose;
    const moving = this.#calm.matches ? 0 : 1;
    const breath = Math.sin((now * 2 * Math.PI) / 4.2) * moving;
    const sway = Math.sin((now * 2 * Math.PI) / 7.3) * moving;
    const accent = this.#accent.value * moving;
    const gazeX = clamp(pose.gazeX + this.#gaze.x, -1, 1);
    const gazeY = clamp(pose.gazeY + this.#gaze.y, -1, 1);

    // The head turns a little where the eyes look: nearer parts move more than farther ones.
    const turnX = (gazeX * 3.2 + sway * 0.9) * moving;
    const turnY = (gazeY * 2.2 + accent * 5) * moving;
    const tilt = (pose.tilt * 4.2 + sway * 0.7) * moving;
    const lean = pose.lean * moving;
    set(parts.body, { transform: `translate(0 ${f(1.6 - breath * 1.6)})` });
    set(parts.chest, { transform: `translate(200 440) scale(${f(1 + breath * 0.004)} ${f(1 + breath * 0.008)}) translate(-200 -440)` });
    const size = 1 + lean * 0.022;
    const held =
      `translate(${f(turnX * 0.4)} ${f(breath * 1.2 + accent * 3 - lean * 1.5)}) rotate(${f(tilt)} 200 318) ` +
      `translate(200 318) scale(${f(size)}) translate(-200 -318)`;
    set(parts.head, { transform: held });
    set(parts.headBack, { transform: held });
    set(parts.backHair, { transform: `translate(${f(-turnX * 0.5)} ${f(-turnY * 0.2)})` });
    set(parts.ears, { transform: `translate(${f(-turnX * 0.35)} ${f(-turnY * 0.5)})` });
    set(parts.features, { transform: `translate(${f(turnX)} ${f(turnY)})` });
    set(parts.fringe, { transform: `translate(${f(turnX * 0.45)} ${f(turnY * 0.4)})` });

    this.#applyEyes(Math.min(pose.lids, pose.lids * this.#lids(now)), gazeX, gazeY);
    this.#applyBrows(accent);
    this.#applyMouth();
  }

  #applyEyes(lids, gazeX, gazeY) {
    const smile = this.#pose.smile;
    // Lids follow the eyes up and down, and smiling lifts the lower ones.
    const open = clamp(lids + (lids > 0.2 ? -gazeY * 0.1 : 0), 0, 1.25);
    for (const [side, cx] of [["left", 166], ["right", 234]]) {
      const eye = this.#parts[side];
      const cy = 203;
      const inner = side === "left" ? 1 : -1;
      const x0 = cx - 20;
      const x1 = cx + 20;
      const y0 = cy + (inner > 0 ? 0.5 : 2);
      const y1 = cy + (inner > 0 ? 2 : 0.5);
      const lower = cy + 15.5 - smile * 3.5;
      const upper = lower - open * (lower - cy + 17);
      const upperCurve = `C ${x0 + 6} ${f(upper)} ${x1 - 6} ${f(upper)} ${x1} ${y1}`;
      set(eye.shape, { d: `M ${x0} ${y0} ${upperCurve} C ${x1 - 7} ${f(lower)} ${x0 + 7} ${f(lower)} ${x0} ${y0} Z` });
      const wing = side === "left" ? `M ${x0 - 4.5} ${y0 - 3.5} Q ${x0 - 1} ${y0 - 0.5} ${x0} ${y0}` : `M ${x0} ${y0}`;
      const wingEnd = side === "right" ? `Q ${x1 + 1} ${y1 - 0.5} ${x1 + 4.5} ${y1 - 3.5}` : "";
      set(eye.lash, { d: `${wing} ${upperCurve} ${wingEnd}` });
      const crease = upper - 7 - open * 1.5;
      set(eye.crease, {
        d: `M ${x0 + 1} ${f(y0 - 5 - open * 3)} C ${x0 + 8} ${f(crease)} ${x1 - 8} ${f(crease)} ${x1 - 1} ${f(y1 - 5 - open * 3)}`,
        opacity: f(clamp(open * 0.8, 0, 0.55)),
      });
      set(eye.ball, { transform: `translate(${f(cx + gazeX * 6.2)} ${f(cy - 0.5 + gazeY * 4.6)})` });
    }
  }

  #applyBrows(accent) {
    const { browLeft, browRight, browKnit } = this.#pose;
    for (const [name, cx, raise, side] of [
      ["browLeft", 166, browLeft, -1],
      ["browRight", 234, browRight, 1],
    ]) {
      const lift = raise * 7 + accent * 14;
      const outer = cx + side * 22;
      const innerX = cx - side * (19 - browKnit * 3);
      const innerY = 175.5 - lift * 0.75 + browKnit * 4;
      const outerY = 179.5 - lift * 0.7;
      const peakX = cx + side * 5;
      const peakY = 166.5 - lift * 1.1 + browKnit * 1.5;
      set(this.#parts[name], {
        d:
          `M ${f(innerX)} ${f(innerY)} Q ${f(peakX)} ${f(peakY - 2.6)} ${f(outer)} ${f(outerY)} ` +
          `Q ${f(peakX - side)} ${f(peakY + 4.6)} ${f(innerX - side * 0.5)} ${f(innerY + 5.4)} ` +
          `Q ${f(innerX - side * 3)} ${f(innerY + 2.6)} ${f(innerX)} ${f(innerY)} Z`,
      });
    }
  }

  #applyMouth() {
    const { open, width, teeth, tongue, press } = this.#speech;
    const { smile, purse } = this.#pose;
    const talking = clamp(open * 3, 0, 1);
    const spread = clamp(width - purse * (1 - talking) * 0.9, -1, 1);
    const grin = smile * (1 - talking * 0.45);
    const cx = 200 + purse * (1 - talking) * 3;
    const cy = 267 - grin * 5.2;
    const half = 24 + (spread > 0 ? spread * 6 : spread * 11) + grin * 4 - open * 2;
    const left = cx - half;
    const right = cx + half;
    // Of a symmetric cubic the curve reaches three quarters of the way to its control points.
    const upper = cy + grin * 10.4 - open * 6 + press * 0.5;
    const lower = cy + grin * 11.6 + open * 35 - press * 0.5;
    const bend = half * (0.42 + Math.max(0, -spread) * 0.16);
    const inner =
      `M ${f(left)} ${f(cy)} C ${f(left + bend)} ${f(upper)} ${f(right - bend)} ${f(upper)} ${f(right)} ${f(cy)} ` +
      `C ${f(right - bend)} ${f(lower)} ${f(left + bend)} ${f(lower)} ${f(left)} ${f(cy)} Z`;
    const thin = 1 - press * 0.45 - grin * 0.12;
    const round = Math.max(0, -spread);
    const lipUp = upper - (8.4 + round * 3) * thin;
    const lipLow = lower + (11.5 + round * 3) * thin;
    const corner = 2.2 + round * 1.8;
    const outer =
      `M ${f(left - corner)} ${f(cy - 0.6)} C ${f(left + half * 0.45)} ${f(lipUp + 1.4)} ${f(cx - 7)} ${f(lipUp - 1.2)} ${f(cx)} ${f(
        (upper * 3 + cy) / 4 - 4.2 * thin - round * 1.5,
      )} C ${f(cx + 7)} ${f(lipUp - 1.2)} ${f(right - half * 0.45)} ${f(lipUp + 1.4)} ${f(right + corner)} ${f(cy - 0.6)} ` +
      `C ${f(right - half * 0.3)} ${f(lipLow)} ${f(left + half * 0.3)} ${f(lipLow)} ${f(left - corner)} ${f(cy - 0.6)} Z`;
    const parts = this.#parts;
    const top = (upper * 3 + cy) / 4;
    const bottom = (lower * 3 + cy) / 4;
    const gap = Math.max(0, bottom - top);
    set(parts.lips, { d: outer });
    set(parts.mouthClipShape, { d: inner });
    set(parts.mouthInside, { d: inner });
    const toothHeight = clamp(gap * 0.5, 0, 8.5) * clamp(teeth * 1.25, 0, 1);
    set(parts.teeth, { x: f(left + half * 0.22), y: f(top - 3), width: f(half * 1.56), height: f(toothHeight + 3), rx: 4 });
    const lowTeeth = clamp((teeth - 0.55) * 2, 0, 1) * clamp(gap * 0.22, 0, 4);
    set(parts.lowTeeth, { x: f(left + half * 0.36), y: f(bottom - lowTeeth), width: f(half * 1.28), height: f(lowTeeth + 4), rx: 3 });
    set(parts.tongue, { cx: f(cx), cy: f(bottom + 5 - tongue * Math.min(9, gap * 0.45)), rx: f(half * 0.58), ry: f(4 + gap * 0.28) });
    // The line between closed lips fades as they part.
    set(parts.lipLine, {
      d: `M ${f(left - 1)} ${f(cy)} C ${f(left + bend)} ${f(cy + grin * 11)} ${f(right - bend)} ${f(cy + grin * 11)} ${f(right + 1)} ${f(cy)}`,
      opacity: f(clamp(1 - open * 6, 0, 1)),
    });
    set(parts.lipShine, { cx: f(cx), cy: f(bottom + 5.2 * thin), rx: f(half * 0.34), opacity: f(0.34 - press * 0.2) });
    set(parts.underLip, { d: `M ${f(cx - 11)} ${f(bottom + 16)} Q ${f(cx)} ${f(bottom + 20)} ${f(cx + 11)} ${f(bottom + 16)}` });
    for (const [name, x, side] of [["dimpleLeft", left, -1], ["dimpleRight", right, 1]]) {
      const edge = x + side * 5.5;
      set(parts[name], { d: `M ${f(edge)} ${f(cy - 4)} Q ${f(edge + side * 2.6)} ${f(cy)} ${f(edge)} ${f(cy + 3.5)}`, opacity: f(0.25 + grin * 0.3) });
    }
    // The jaw goes with the mouth.
    const drop = open * 8;
    set(parts.face, {
      d:
        "M 126 196 C 124 128 156 92 200 92 C 244 92 276 128 274 196 " +
        `C 273.5 ${f(240 + drop * 0.3)} 260 ${f(272 + drop * 0.7)} 236 ${f(294 + drop)} ` +
        `C 222 ${f(306 + drop)} 211 ${f(311 + drop)} 200 ${f(311 + drop)} ` +
        `C 189 ${f(311 + drop)} 178 ${f(306 + drop)} 164 ${f(294 + drop)} ` +
        `C 140 ${f(272 + drop * 0.7)} 126.5 ${f(240 + drop * 0.3)} 126 196 Z`,
    });
    const lift = grin * 2.5;
    set(parts.cheeks, { transform: `translate(0 ${f(-lift)})`, opacity: f(0.34 + grin * 0.16) });
  }

  // The drawing

  #paintSky = () => {
    const night = this.#dark.matches;
    const [top, middle, low] = night ? ["#0d1b33", "#1d3a5c", "#2f6075"] : ["#bfe0ee", "#e2f0ef", "#fdf0d8"];
    const parts = this.#parts;
    set(parts.skyTop, { "stop-color": top });
    set(parts.skyMiddle, { "stop-color": middle });
    set(parts.skyLow, { "stop-color": low });
    set(parts.stars, { opacity: night ? 0.9 : 0 });
    set(parts.sun, { opacity: night ? 0 : 0.85 });
    set(parts.moon, { opacity: night ? 0.95 : 0 });
    set(parts.ring, { stroke: night ? "#e9c46a" : "#d9a441", opacity: night ? 0.55 : 0.75 });
    set(parts.waveFar, { fill: night ? "#2b5a73" : "#a9d3d6" });
    set(parts.waveNear, { fill: night ? "#21485f" : "#84bcc4" });
  };

  #draw(label) {
    const parts = this.#parts;
    const svg = (parts.svg = make("svg", { viewBox: "0 0 400 420", role: "img", "aria-label": label, focusable: "false" }));
    const unique = `la${Math.floor(Math.random() * 1e9).toString(36)}`;
    const add = (parent, name, attributes) => parent.appendChild(make(name, attributes));

    const defs = add(svg, "defs");
    const sky = add(defs, "linearGradient", { id: `${unique}-sky`, x1: 0, y1: 0, x2: 0, y2: 1 });
    parts.skyTop = add(sky, "stop", { offset: 0 });
    parts.skyMiddle = add(sky, "stop", { offset: 0.55 });
    parts.skyLow = add(sky, "stop", { offset: 1 });
    const skin = add(defs, "linearGradient", { id: `${unique}-skin`, x1: 0.3, y1: 0, x2: 0.62, y2: 1 });
    add(skin, "stop", { offset: 0, "stop-color": "#f6cfae" });
    add(skin, "stop", { offset: 0.62, "stop-color": SKIN });
    add(skin, "stop", { offset: 1, "stop-color": "#dfa883" });
    const hair = add(defs, "linearGradient", { id: `${unique}-hair`, x1: 0, y1: 0, x2: 0.6, y2: 1 });
    add(hair, "stop", { offset: 0, "stop-color": "#5a363a" });
    add(hair, "stop", { offset: 0.5, "stop-color": HAIR });
    add(hair, "stop", { offset: 1, "stop-color": HAIR_DARK });
    const coat = add(defs, "linearGradient", { id: `${unique}-coat`, x1: 0, y1: 0, x2: 0, y2: 1 });
    add(coat, "stop", { offset: 0, "stop-color": COAT_LIGHT });
    add(coat, "stop", { offset: 1, "stop-color": COAT_DARK });
    const iris = add(defs, "radialGradient", { id: `${unique}-iris`, cx: 0.5, cy: 0.62, r: 0.6 });
    add(iris, "stop", { offset: 0, "stop-color": "#79b7ab" });
    add(iris, "stop", { offset: 0.6, "stop-color": IRIS });
    add(iris, "stop", { offset: 1, "stop-color": IRIS_RIM });
    const blush = add(defs, "radialGradient", { id: `${unique}-blush` });
    add(blush, "stop", { offset: 0, "stop-color": CHEEK, "stop-opacity": 0.85 });
    add(blush, "stop", { offset: 1, "stop-color": CHEEK, "stop-opacity": 0 });
    const disc = add(defs, "clipPath", { id: `${unique}-disc` });
    add(disc, "circle", { cx: 200, cy: 212, r: 188 });

    // Behind: sky and sea through a porthole.
    const scene = add(svg, "g", { "clip-path": `url(#${unique}-disc)` });
    add(scene, "rect", { x: 0, y: 0, width: 400, height: 420, fill: `url(#${unique}-sky)` });
    parts.sun = add(scene, "circle", { cx: 318, cy: 106, r: 30, fill: "#ffd98a" });
    parts.moon = add(scene, "path", { d: "M 322 78 A 30 30 0 1 0 342 128 A 25 25 0 1 1 322 78 Z", fill: "#f6e3ae" });
    parts.stars = add(scene, "g", { fill: "#fff4d6" });
    for (const [x, y, r] of [[62, 128, 1.6], [96, 78, 2.2], [140, 46, 1.4], [250, 42, 1.8], [292, 66, 1.2], [352, 168, 1.9], [48, 190, 1.3], [84, 160, 1.1], [372, 214, 1.3], [186, 34, 1.1]])
      add(parts.stars, "circle", { cx: x, cy: y, r });
    add(parts.stars, "path", { d: "M 62 128 L 96 78 L 140 46 L 186 34", stroke: "#fff4d6", "stroke-width": 0.7, fill: "none", opacity: 0.5 });
    parts.waveFar = add(scene, "path", { d: "M 0 322 Q 25 312 50 322 T 100 322 T 150 322 T 200 322 T 250 322 T 300 322 T 350 322 T 400 322 V 420 H 0 Z" });
    parts.waveNear = add(scene, "path", { d: "M 0 346 Q 30 334 60 346 T 120 346 T 180 346 T 240 346 T 300 346 T 360 346 T 420 346 V 420 H 0 Z" });

    const figure = add(scene, "g", { transform: "translate(200 44) scale(0.93) translate(-200 -44)" });
    parts.body = add(figure, "g");

    // Hair behind the neck belongs to the head but lies under the shoulders' front.
    parts.headBack = add(parts.body, "g");
    parts.backHair = add(parts.headBack, "g");
    add(parts.backHair, "path", {
      d: "M 110 190 C 100 112 146 58 204 58 C 266 58 306 112 296 196 C 292 236 312 272 303 318 C 298 350 268 360 246 348 L 154 348 C 132 360 100 350 96 318 C 89 274 116 238 110 190 Z",
      fill: HAIR_DARK,
    });

    parts.chest = add(parts.body, "g");
    const chest = parts.chest;
    add(chest, "path", { d: "M 34 440 C 38 386 78 362 138 346 L 172 336 L 228 336 L 262 346 C 322 362 362 386 366 440 Z", fill: `url(#${unique}-coat)` });
    add(chest, "path", { d: "M 156 338 L 200 400 L 244 338 L 236 330 L 164 330 Z", fill: SHIRT });
    add(chest, "path", { d: "M 170 284 L 170 334 C 176 356 224 356 230 334 L 230 284 Z", fill: SKIN_SHADE });
    add(chest, "path", { d: "M 170 300 C 178 330 222 330 230 300 L 230 316 C 222 342 178 342 170 316 Z", fill: SKIN_DEEP, opacity: 0.55 });
    // Scarf with a knot.
    add(chest, "path", { d: "M 165 322 C 154 326 147 336 149 346 C 168 366 232 366 251 346 C 253 336 246 326 235 322 C 226 344 174 344 165 322 Z", fill: SCARF });
    add(chest, "path", { d: "M 155 341 C 176 356 224 356 245 341 M 160 333 C 180 349 220 349 240 333", stroke: SCARF_DARK, "stroke-width": 1.5, fill: "none", opacity: 0.75, "stroke-linecap": "round" });
    add(chest, "path", { d: "M 193 358 C 186 380 178 394 171 405 C 178 411 185 413 191 412 C 198 396 202 380 203 362 Z", fill: SCARF });
    add(chest, "path", { d: "M 200 360 C 208 378 216 390 225 401 C 220 408 214 411 208 412 C 202 396 198 380 197 362 Z", fill: SCARF_DARK });
    add(chest, "rect", { x: 186, y: 347, width: 28, height: 20, rx: 9, fill: SCARF });
    add(chest, "path", { d: "M 192 353 Q 200 359 209 354", stroke: SCARF_DARK, "stroke-width": 1.4, fill: "none", "stroke-linecap": "round" });
    // Lapels, and the star of a guide.
    add(chest, "path", { d: "M 158 336 L 132 350 L 122 386 L 146 380 L 138 396 L 186 440 L 200 440 C 176 406 160 374 158 336 Z", fill: COAT });
    add(chest, "path", { d: "M 242 336 L 268 350 L 278 386 L 254 380 L 262 396 L 214 440 L 200 440 C 224 406 240 374 242 336 Z", fill: COAT });
    add(chest, "path", { d: "M 158 336 L 132 350 L 122 386 L 146 380 L 138 396 M 242 336 L 268 350 L 278 386 L 254 380 L 262 396", stroke: "#14293e", "stroke-width": 1.4, fill: "none", opacity: 0.7 });
    add(chest, "path", { d: star(292, 384, 12, 4.6, 8), fill: BRASS });
    add(chest, "circle", { cx: 292, cy: 384, r: 3, fill: COAT });

    parts.head = add(parts.body, "g");
    const head = parts.head;
    parts.ears = add(head, "g");
    for (const [x, side] of [[126, -1], [274, 1]]) {
      add(parts.ears, "ellipse", { cx: x, cy: 212, rx: 12, ry: 19, fill: SKIN_SHADE });
      add(parts.ears, "path", { d: `M ${x + side * 4} 202 Q ${x + side * 9} 212 ${x + side * 3} 221`, stroke: SKIN_DEEP, "stroke-width": 2, fill: "none", "stroke-linecap": "round" });
      add(parts.ears, "circle", { cx: x + side * 3, cy: 235, r: 3.6, fill: BRASS });
    }
    parts.face = add(head, "path", { fill: `url(#${unique}-skin)` });

    parts.features = add(head, "g");
    const features = parts.features;
    parts.cheeks = add(features, "g");
    add(parts.cheeks, "ellipse", { cx: 150, cy: 243, rx: 25, ry: 18, fill: `url(#${unique}-blush)` });
    add(parts.cheeks, "ellipse", { cx: 250, cy: 243, rx: 25, ry: 18, fill: `url(#${unique}-blush)` });
    for (const [x, y] of [[143, 233], [151, 237], [157, 231], [243, 231], [250, 237], [258, 233]])
      add(features, "circle", { cx: x, cy: y, r: 1.15, fill: SKIN_DEEP, opacity: 0.5 });
    // Nose: a shadow at its side, the tip, a glint.
    add(features, "path", { d: "M 205 206 C 208 221 214 231 212 237 C 210 242 204 241 200 242.5", stroke: SKIN_DEEP, "stroke-width": 2.6, fill: "none", "stroke-linecap": "round", opacity: 0.75 });
    add(features, "path", { d: "M 189 238 Q 191 242.5 197 242.5", stroke: SKIN_DEEP, "stroke-width": 2.2, fill: "none", "stroke-linecap": "round", opacity: 0.55 });
    add(features, "ellipse", { cx: 199, cy: 231, rx: 4, ry: 3, fill: "#fff", opacity: 0.22 });

    for (const side of ["left", "right"]) {
      const eye = (parts[side] = {});
      const clip = add(defs, "clipPath", { id: `${unique}-${side}` });
      eye.shape = add(clip, "path");
      const inside = add(features, "g", { "clip-path": `url(#${unique}-${side})` });
      const cx = side === "left" ? 166 : 234;
      add(inside, "rect", { x: cx - 30, y: 170, width: 60, height: 60, fill: EYE_WHITE });
      eye.ball = add(inside, "g");
      add(eye.ball, "circle", { r: 12, fill: `url(#${unique}-iris)` });
      add(eye.ball, "circle", { r: 12, fill: "none", stroke: IRIS_RIM, "stroke-width": 1.6 });
      add(eye.ball, "circle", { r: 5.8, fill: PUPIL });
      add(eye.ball, "circle", { cx: 3.6, cy: -4, r: 3.1, fill: "#fff" });
      add(eye.ball, "circle", { cx: -3.4, cy: 4.2, r: 1.5, fill: "#fff", opacity: 0.7 });
      // The lid's shadow on the eye.
      add(inside, "ellipse", { cx, cy: 186, rx: 24, ry: 8, fill: "#6b4a4a", opacity: 0.16 });
      eye.lash = add(features, "path", { stroke: HAIR_DARK, "stroke-width": 3.6, fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round" });
      eye.crease = add(features, "path", { stroke: SKIN_DEEP, "stroke-width": 1.6, fill: "none", "stroke-linecap": "round" });
    }
    parts.browLeft = add(features, "path", { fill: HAIR });
    parts.browRight = add(features, "path", { fill: HAIR });

    const mouthClip = add(defs, "clipPath", { id: `${unique}-mouth` });
    parts.mouthClipShape = add(mouthClip, "path");
    parts.lips = add(features, "path", { fill: LIP });
    parts.mouthInside = add(features, "path", { fill: MOUTH_INSIDE });
    const inside = add(features, "g", { "clip-path": `url(#${unique}-mouth)` });
    parts.tongue = add(inside, "ellipse", { fill: TONGUE });
    parts.lowTeeth = add(inside, "rect", { fill: TEETH, opacity: 0.85 });
    parts.teeth = add(inside, "rect", { fill: TEETH });
    parts.lipLine = add(features, "path", { stroke: LIP_DARK, "stroke-width": 2.2, fill: "none", "stroke-linecap": "round" });
    parts.lipShine = add(features, "ellipse", { ry: 1.7, fill: "#fff" });
    parts.underLip = add(features, "path", { stroke: SKIN_DEEP, "stroke-width": 2, fill: "none", "stroke-linecap": "round", opacity: 0.35 });
    parts.dimpleLeft = add(features, "path", { stroke: SKIN_DEEP, "stroke-width": 2, fill: "none", "stroke-linecap": "round" });
    parts.dimpleRight = add(features, "path", { stroke: SKIN_DEEP, "stroke-width": 2, fill: "none", "stroke-linecap": "round" });

    // Hair in front: parted at the side, with a star pin.
    parts.fringe = add(head, "g");
    const fringe = parts.fringe;
    // Its shadow on the forehead first.
    add(fringe, "path", { d: "M 238 100 C 222 136 176 150 146 172 C 136 180 131 192 128 208 L 122 200 L 130 130 L 200 84 Z", fill: SKIN_DEEP, opacity: 0.35 });
    add(fringe, "path", { d: "M 240 72 C 244 108 196 132 152 158 C 136 168 130 188 120 228 C 106 200 104 150 127 111 C 150 74 198 56 240 72 Z", fill: `url(#${unique}-hair)` });
    add(fringe, "path", { d: "M 226 70 C 240 104 268 124 272 166 C 274 190 277 208 281 228 C 296 198 299 150 281 112 C 267 82 246 64 220 65 Z", fill: `url(#${unique}-hair)` });
    add(fringe, "path", { d: "M 226 84 C 214 112 170 124 144 150", stroke: HAIR_SHINE, "stroke-width": 3, fill: "none", "stroke-linecap": "round", opacity: 0.75 });
    add(fringe, "path", { d: "M 208 78 C 188 100 156 112 136 138", stroke: HAIR_SHINE, "stroke-width": 2, fill: "none", "stroke-linecap": "round", opacity: 0.5 });
    add(fringe, "path", { d: "M 244 84 C 262 104 275 130 280 162", stroke: HAIR_SHINE, "stroke-width": 2.4, fill: "none", "stroke-linecap": "round", opacity: 0.55 });
    add(fringe, "path", { d: star(268, 118, 9, 4, 5), fill: BRASS, stroke: "#c99a35", "stroke-width": 1 });

    parts.ring = add(svg, "circle", { cx: 200, cy: 212, r: 188, fill: "none", "stroke-width": 3 });
    this.#host.replaceChildren(svg);
  }
}

// The mouth for a place between two visemes. Their shapes say how the lips stand; how loud the voice is, how far the jaw
// goes: people open further where they stress.
function fromVisemes({ from, to, mix }, force) {
  const a = VISEMES[from] ?? VISEMES[1];
  const b = VISEMES[to] ?? VISEMES[1];
  const eased = mix * mix * (3 - 2 * mix);
  const at = (i) => a[i] + (b[i] - a[i]) * eased;
  const press = at(4);
  return { open: clamp((0.3 + 0.7 * at(0)) * force * (1 - press), 0, 1), width: at(1), teeth: at(2), tongue: at(3), press };
}

// The mouth for a sound of which only loudness and colour are known: dull is round, sharp is spread with teeth.
function fromSound(force, brightness) {
  const sharp = clamp((brightness - 0.3) / 0.4, 0, 1);
  const dull = clamp((0.16 - brightness) / 0.16, 0, 1);
  const sounds = clamp(force * 12, 0, 1);
  return {
    open: clamp(force * (0.9 - sharp * 0.4), 0, 1),
    width: sounds * (sharp * 0.6 - dull * 0.55 + 0.05),
    teeth: sounds * (0.35 + sharp * 0.6 - dull * 0.25),
    tongue: 0.3 * force,
    press: 0,
  };
}

function star(cx, cy, outer, inner, points) {
  let d = "";
  for (let i = 0; i < points * 2; i++) {
    const radius = i % 2 ? inner : outer;
    const angle = (Math.PI * i) / points - Math.PI / 2;
    d += `${i ? "L" : "M"} ${f(cx + radius * Math.cos(angle))} ${f(cy + radius * Math.sin(angle))} `;
  }
  return `${d}Z`;
}

function make(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  set(element, attributes);
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}

function f(value) {
  return Math.round(value * 100) / 100;
}
