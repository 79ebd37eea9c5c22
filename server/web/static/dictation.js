/** The browser's own speech recognition, where it has one: writes down what is said. It sends nothing to our server. */

const Recognition = globalThis.SpeechRecognition ?? globalThis.webkitSpeechRecognition;

/** Whether this browser offers speech recognition. */
export const canDictate = typeof Recognition === "function";

const REASONS = {
  "not-allowed": "The browser refused speech recognition. Allow the microphone in its address bar, or type your questions.",
  "service-not-allowed": "This browser does not offer its speech recognition here. Type your questions instead.",
  "audio-capture": "No microphone was found. Plug one in, or type your questions.",
  network: "The browser’s speech recognition cannot be reached. Type your questions instead.",
  "language-not-supported": "The browser’s speech recognition does not know this language. Type your questions instead.",
};

/** Listens until it is stopped; pauses while the avatar speaks, because the browser would write that down too. */
export class Dictation {
  #on;
  #recognition = null;
  #wanted = false;
  #paused = false;
  #language;

  /**
   * @param {{words: (text: string, final: boolean) => void, stopped: (why: string|null) => void}} on
   * @param {string} language BCP 47, or empty for the browser's own
   */
  constructor(on, language) {
    this.#on = on;
    this.#language = language;
  }

  start() {
    this.#wanted = true;
    this.#listen();
  }

  stop(why = null) {
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#recognition?.abort();
    this.#on.stopped(why);
  }

  set paused(paused) {
    if (paused === this.#paused) return;
    this.#paused = paused;
    if (paused) this.#recognition?.abort();
    else this.#listen();
  }

  #listen() {
    if (!this.#wanted || this.#paused || this.#recognition) return;
    const recognition = (this.#recognition = new Recognition());
    recognition.interimResults = true;
    if (this.#language) recognition.lang = this.#language;
    recognition.onresult = ({ results, resultIndex }) => {
      const result = results[resultIndex];
      this.#on.words(result[0].transcript.trim(), result.isFinal);
    };
    recognition.onerror = ({ error }) => {
      if (error in REASONS) this.stop(REASONS[error]);
    };
    // It ends after every sentence and every silence.
    recognition.onend = () => {
      this.#recognition = null;
      setTimeout(() => this.#listen(), 100);
    };
    recognition.start();
  }
}
