// Turns the microphone's sound, at whatever rate it comes, into 30 ms frames of PCM16 at 24 kHz. It sends nothing anywhere.
//
// Out: {pcm: Int16Array (720 samples), level: 0..1 (root mean square), peak: 0..1}

const TARGET_RATE = 24000;
const FRAME_SAMPLES = 720;
// The low-pass that keeps what is above 12 kHz from folding into speech: a windowed sinc, this many zero crossings to
// each side, cut off a little below the limit, looked up from a table of this many steps per zero crossing.
const ZERO_CROSSINGS = 12;
const CUT_OFF = 0.92;
const TABLE_STEPS = 256;

class Resampler {
  constructor(from, to) {
    this.ratio = from / to;
    // In samples of the input: wider when the rate goes down, for then it must also filter.
    this.scale = Math.max(1, this.ratio) / CUT_OFF;
    this.half = Math.ceil(ZERO_CROSSINGS * this.scale);
    this.table = new Float32Array(ZERO_CROSSINGS * TABLE_STEPS + 2);
    for (let i = 0; i < this.table.length; i++) {
      const x = i / TABLE_STEPS;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
      const hann = x >= ZERO_CROSSINGS ? 0 : 0.5 + 0.5 * Math.cos((Math.PI * x) / ZERO_CROSSINGS);
      this.table[i] = sinc * hann;
    }
    this.kept = new Float32Array(2 * this.half);
    this.position = this.half;
  }

  // The output samples that the input so far allows; the delay is half the filter, below 1 ms.
  run(input, emit) {
    const all = new Float32Array(this.kept.length + input.length);
    all.set(this.kept);
    all.set(input, this.kept.length);
    while (this.position + this.half < all.length) {
      emit(this.at(all, this.position));
      this.position += this.ratio;
    }
    const drop = Math.min(all.length, Math.floor(this.position) - this.half);
    this.kept = all.slice(drop);
    this.position -= drop;
  }

  at(all, position) {
    const first = Math.ceil(position - this.half);
    const last = Math.min(all.length - 1, Math.floor(position + this.half));
    let sum = 0;
    let weight = 0;
    for (let i = Math.max(0, first); i <= last; i++) {
      const x = (Math.abs(i - position) / this.scale) * TABLE_STEPS;
      const step = Math.floor(x);
      if (step + 1 >= this.table.length) continue;
      const w = this.table[step] + (this.table[step + 1] - this.table[step]) * (x - step);
      sum += all[i] * w;
      weight += w;
    }
    return weight ? sum / weight : 0;
  }
}

class CaptureProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = sampleRate === TARGET_RATE ? null : new Resampler(sampleRate, TARGET_RATE);
    this.frame = new Int16Array(FRAME_SAMPLES);
    this.filled = 0;
    this.energy = 0;
    this.peak = 0;
    this.emit = (sample) => this.push(sample);
  }

  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true;
    let mono = channels[0];
    if (channels.length > 1) {
      mono = new Float32Array(channels[0].length);
      for (const channel of channels) for (let i = 0; i < mono.length; i++) mono[i] += channel[i] / channels.length;
    }
    if (this.resampler) this.resampler.run(mono, this.emit);
    else mono.forEach(this.emit);
    return true;
  }

  push(sample) {
    const value = Math.max(-1, Math.min(1, sample));
    this.frame[this.filled++] = Math.round(value * 32767);
    this.energy += value * value;
    this.peak = Math.max(this.peak, Math.abs(value));
    if (this.filled < FRAME_SAMPLES) return;
    const pcm = this.frame;
    this.port.postMessage({ pcm, level: Math.sqrt(this.energy / FRAME_SAMPLES), peak: this.peak }, [pcm.buffer]);
    this.frame = new Int16Array(FRAME_SAMPLES);
    this.filled = 0;
    this.energy = 0;
    this.peak = 0;
  }
}

registerProcessor("liveavatar-capture", CaptureProcessor);
