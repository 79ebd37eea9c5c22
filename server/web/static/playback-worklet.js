// Plays the avatar's speech and knows to the millisecond what of it was rendered. It decodes nothing and decides nothing.
//
// In:  {type: "audio", itemId, contentIndex, pcm}   Int16Array, 24 kHz mono, in order
//      {type: "end", itemId}                        nothing more comes of this item
//      {type: "flush", id}                          be silent now and forget what waits
// Out: started, audible, finished, flushed, report, overflow (see the postMessage calls below)

const SOURCE_RATE = 24000;
// Speech begins when this much is there, or when the first of it has waited this long: a delta carries 100 ms or more,
// so an undisturbed answer starts with its first one.
const FIRST_BUFFER_MS = 60;
// After each interruption of supply the buffer is made deeper, up to this.
const DEEPEST_BUFFER_MS = 320;
const DEEPER = 1.6;
// Long enough for the ear to hear no click, far shorter than a syllable.
const FADE_IN_MS = 3;
const FADE_OUT_MS = 8;
// Loudness is told for windows of this length (two or three to a frame of a screen)...
const WINDOW_MS = 8;
// ...and in batches, because every message wakes the page.
const REPORT_MS = 24;
// Ten minutes of speech waiting are 29 MB. What comes beyond that is dropped, and the page is told.
const MOST_QUEUED_S = 600;
const AUDIBLE = 0.01;
// Where "oo" ends and "ss" begins, roughly: the bands that tell a round mouth from a spread one.
const LOW_HZ = 700;
const HIGH_HZ = 2800;

class PlaybackProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.items = [];
    this.queued = 0;
    this.playing = false;
    this.firstAt = 0;
    this.targetMs = FIRST_BUFFER_MS;
    this.underruns = 0;
    this.fade = null;
    this.gain = 0;
    this.last = 0;
    this.step = SOURCE_RATE / sampleRate;
    this.phase = 1;
    this.before = 0;
    this.after = 0;
    this.window = { n: 0, all: 0, low: 0, high: 0 };
    this.lowState = 0;
    this.highState = 0;
    this.lowShare = 1 - Math.exp((-2 * Math.PI * LOW_HZ) / sampleRate);
    this.highShare = 1 - Math.exp((-2 * Math.PI * HIGH_HZ) / sampleRate);
    this.frames = [];
    this.reportAt = 0;
    this.port.onmessage = (message) => this.take(message.data);
  }

  take(message) {
    if (message.type === "audio") this.add(message);
    else if (message.type === "end") {
      const item = this.items.find((known) => known.itemId === message.itemId);
      if (item) item.ended = true;
    } else if (message.type === "flush") {
      this.fade = { id: message.id, askedAt: currentTime };
    }
  }

  add({ itemId, contentIndex, pcm }) {
    if ((this.queued + pcm.length) / SOURCE_RATE > MOST_QUEUED_S) {
      this.port.postMessage({ type: "overflow", itemId });
      return;
    }
    let item = this.items.find((known) => known.itemId === itemId);
    if (!item) {
      item = { itemId, contentIndex, chunks: [], offset: 0, played: 0, left: 0, ended: false, started: false, audible: false };
      if (!this.items.length) this.firstAt = currentTime;
      this.items.push(item);
    } else if (!this.playing && item.left === 0 && this.items[0] === item) {
      this.firstAt = currentTime;
    }
    item.chunks.push(pcm);
    item.left += pcm.length;
    this.queued += pcm.length;
  }

  // The next sample of the speech at its own rate, or null where there is none now.
  pull() {
    const item = this.items[0];
    if (!item || item.left === 0) return null;
    const chunk = item.chunks[0];
    const sample = chunk[item.offset++] / 32768;
    if (item.offset === chunk.length) {
      item.chunks.shift();
      item.offset = 0;
    }
    item.left--;
    item.played++;
    this.queued--;
    return sample;
  }

  // The next sample at the rate of the sound card: straight lines between samples where the rates differ.
  next() {
    if (this.step === 1) return this.pull();
    while (this.phase >= 1) {
      const sample = this.pull();
      if (sample === null) return null;
      this.before = this.after;
      this.after = sample;
      this.phase -= 1;
    }
    const value = this.before + (this.after - this.before) * this.phase;
    this.phase += this.step;
    return value;
  }

  mayStart() {
    const item = this.items[0];
    if (!item || (item.left === 0 && !item.ended)) return false;
    const waitedMs = (currentTime - this.firstAt) * 1000;
    return item.ended || (item.left / SOURCE_RATE) * 1000 >= this.targetMs || waitedMs >= this.targetMs;
  }

  playedMs(item) {
    return (item.played / SOURCE_RATE) * 1000;
  }

  // Takes away items that have been played to their end; says whether there is one to play.
  settle() {
    while (this.items.length && this.items[0].left === 0 && this.items[0].ended) {
      const item = this.items.shift();
      this.port.postMessage({
        type: "finished",
        itemId: item.itemId,
        contentIndex: item.contentIndex,
        playedMs: this.playedMs(item),
        time: currentTime,
      });
      this.firstAt = currentTime;
    }
    if (!this.items.length) {
      this.playing = false;
      this.targetMs = Math.max(FIRST_BUFFER_MS, this.targetMs / DEEPER);
    }
    return this.items.length > 0;
  }

  process(_inputs, outputs) {
    const output = outputs[0][0];
    if (!this.playing && this.settle() && this.mayStart()) this.playing = true;
    const fadeIn = 1000 / (FADE_IN_MS * sampleRate);
    const fadeOut = 1000 / (FADE_OUT_MS * sampleRate);
    for (let i = 0; i < output.length; i++) {
      let value = 0;
      let sample = this.playing ? this.next() : null;
      if (this.playing && sample === null) {
        // The end of an item, or of what has come so far.
        if (this.settle() && this.items[0].left > 0) sample = this.next();
        else if (this.items.length) {
          this.playing = false;
          this.underruns++;
          this.targetMs = Math.min(DEEPEST_BUFFER_MS, this.targetMs * DEEPER);
        }
      }
      if (sample === null) {
        this.gain = 0;
        this.last *= 0.97;
        value = this.last;
        if (Math.abs(value) < 1e-4) value = this.last = 0;
      } else {
        const item = this.items[0];
        if (item && !item.started) this.began(item, "started", i);
        if (item && !item.audible && Math.abs(sample) > AUDIBLE) this.began(item, "audible", i);
        if (this.fade) this.gain -= fadeOut;
        else if (this.gain < 1) this.gain = Math.min(1, this.gain + fadeIn);
        value = this.last = sample * Math.max(0, this.gain);
      }
      if (this.fade && (sample === null || this.gain <= 0)) {
        this.flushed(i);
        value = this.last = 0;
      }
      output[i] = value;
      this.measure(value, i);
    }
    this.report();
    return true;
  }

  began(item, type, i) {
    item[type] = true;
    this.port.postMessage({ type, itemId: item.itemId, contentIndex: item.contentIndex, time: currentTime + i / sampleRate });
  }

  flushed(i) {
    const cut = this.items.map((item) => ({
      itemId: item.itemId,
      contentIndex: item.contentIndex,
      playedMs: this.playedMs(item),
    }));
    const { id, askedAt } = this.fade;
    this.port.postMessage({ type: "flushed", id, cut, askedAt, silentAt: currentTime + i / sampleRate });
    this.fade = null;
    this.items = [];
    this.queued = 0;
    this.playing = false;
    this.gain = 0;
    this.phase = 1;
    this.before = this.after = 0;
    this.targetMs = FIRST_BUFFER_MS;
  }

  measure(value, i) {
    const window = this.window;
    this.lowState += this.lowShare * (value - this.lowState);
    this.highState += this.highShare * (value - this.highState);
    const high = value - this.highState;
    window.all += value * value;
    window.low += this.lowState * this.lowState;
    window.high += high * high;
    if (++window.n < (WINDOW_MS / 1000) * sampleRate) return;
    const item = this.items[0];
    this.frames.push({
      time: currentTime + i / sampleRate,
      rms: Math.sqrt(window.all / window.n),
      low: Math.sqrt(window.low / window.n),
      high: Math.sqrt(window.high / window.n),
      itemId: this.playing && item ? item.itemId : null,
      playedMs: item ? this.playedMs(item) : 0,
    });
    window.n = window.all = window.low = window.high = 0;
  }

  report() {
    const now = currentTime;
    if (now < this.reportAt) return;
    this.reportAt = now + REPORT_MS / 1000;
    const frames = this.frames;
    this.frames = [];
    const loud = frames.some((frame) => frame.rms > 0);
    // Silence is told once; then there is nothing to tell.
    if (!loud && !this.items.length && this.toldSilence) return;
    this.toldSilence = !loud && !this.items.length;
    const item = this.items[0];
    this.port.postMessage({
      type: "report",
      time: now,
      itemId: item ? item.itemId : null,
      contentIndex: item ? item.contentIndex : 0,
      playedMs: item ? this.playedMs(item) : 0,
      queuedMs: (this.queued / SOURCE_RATE) * 1000,
      playing: this.playing,
      underruns: this.underruns,
      frames,
    });
  }
}

registerProcessor("liveavatar-playback", PlaybackProcessor);
