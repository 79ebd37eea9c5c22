// The two shapes of the Realtime wire as a client of the openai package writes and reads them.

export const WEATHER = {
  type: "function",
  name: "get_weather",
  description: "Get the current weather in a city.",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
export const SERVER_VAD = { type: "server_vad", silence_duration_ms: 300 };
const VOICE = "sage";
const transcription = { model: "whisper-1" };

// `foreign`: beginnings of event types that only the other dialect has.
export const GA = {
  name: "ga",
  text: "response.output_text",
  audio: "response.output_audio",
  transcript: "response.output_audio_transcript",
  textContent: "output_text",
  audioContent: "output_audio",
  itemBegins: ["conversation.item.added", "conversation.item.done"],
  foreign: ["response.text.", "response.audio.", "response.audio_transcript.", "conversation.item.created",
    "conversation.created"],
  textOnly: { output_modalities: ["text"] },
  session: (tools, turn_detection) => ({
    type: "realtime",
    tools,
    audio: { input: { turn_detection, transcription }, output: { voice: VOICE } },
    max_output_tokens: 2000,
  }),
  settings: (session) => ({
    turn_detection: session.audio.input.turn_detection,
    transcriber: session.audio.input.transcription?.model,
    formats: `${session.audio.input.format.type} ${session.audio.output.format.type}`,
    voice: session.audio.output.voice,
    modalities: session.output_modalities.join(" "),
    max_tokens: session.max_output_tokens,
  }),
  effective: { transcriber: "whisper-1", formats: "audio/pcm audio/pcm", voice: VOICE, modalities: "audio",
    max_tokens: 2000 },
};

export const BETA = {
  name: "beta",
  text: "response.text",
  audio: "response.audio",
  transcript: "response.audio_transcript",
  textContent: "text",
  audioContent: "audio",
  itemBegins: ["conversation.item.created"],
  foreign: ["response.output_text.", "response.output_audio", "conversation.item.added", "conversation.item.done"],
  textOnly: { modalities: ["text"] },
  session: (tools, turn_detection) => ({
    modalities: ["text", "audio"],
    voice: VOICE,
    tools,
    turn_detection,
    input_audio_transcription: transcription,
    max_response_output_tokens: 2000,
    // The GA service has none: it is taken, not applied, and which number is shown says nothing.
    temperature: 0.7,
  }),
  settings: (session) => ({
    turn_detection: session.turn_detection,
    transcriber: session.input_audio_transcription?.model,
    formats: `${session.input_audio_format} ${session.output_audio_format}`,
    voice: session.voice,
    modalities: [...session.modalities].sort().join(" "),
    max_tokens: session.max_response_output_tokens,
    temperature: typeof session.temperature,
  }),
  effective: { transcriber: "whisper-1", formats: "pcm16 pcm16", voice: VOICE, modalities: "audio text",
    max_tokens: 2000, temperature: "number" },
};
