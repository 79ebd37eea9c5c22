"""What visitors of the museum ask, beside the sample questions of its profile. No answers: those are the server's."""

QUESTIONS: tuple[str, ...] = (
    "When does the museum close on Sunday?",
    "What does an adult ticket cost?",
    "How late can I still get in?",
    "Where can I park my car?",
    "How much is a single membership?",
    "Who made the Wrenfield chronometer?",
    "How long does a planetarium show last?",
    "Is there a restaurant in the museum?",
    "Are the galleries accessible with a wheelchair?",
    "Can I take photographs in the galleries?",
    "What happens on Late Thursdays?",
    "When was the Great Tide Machine built?",
    "Where do I leave a large bag?",
    "Is there free wifi?",
)
