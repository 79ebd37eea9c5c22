// Sound for clients to send: 24 kHz mono pcm16. Knows no client.

const BYTES_PER_MS = 48;
// 100 ms, what microphone clients send at a time.
export const PIECE_BYTES = 4800;

/** Something that a voice detection takes for speech. */
export function tone(ms) {
  const sound = Buffer.alloc(BYTES_PER_MS * ms);
  for (let number = 0; number < 24 * ms; number += 1) {
    sound.writeInt16LE(Math.round(8000 * Math.sin((2 * Math.PI * 220 * number) / 24_000)), 2 * number);
  }
  return sound;
}

/** And something that it does not. */
export const silence = (ms) => Buffer.alloc(BYTES_PER_MS * ms);

/** The sound, as it goes into one append after the other. */
export function* pieces(sound, bytes = PIECE_BYTES) {
  for (let start = 0; start < sound.length; start += bytes) yield sound.subarray(start, start + bytes);
}
