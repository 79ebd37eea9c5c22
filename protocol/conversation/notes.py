"""What the model is told, in words, when something of the conversation is not the model's own doing. Decides nothing.

The anchor stands in the conversation. The others end the instructions of one response, so that nothing of them stays.
"""

ANCHOR = (
    "The connection was renewed. This is still the same conversation with the same person: keep your role and the "
    "language spoken so far, do not greet again, and do not mention the connection."
)
APOLOGISE = (
    "Your last answer was cut off by a technical fault. Say in one short sentence, in the language spoken so far, that "
    "there was a technical problem, and ask the person to repeat the question."
)
UNHEARD = (
    "What the person said last was cut off by a technical fault. Say in one short sentence, in the language spoken so "
    "far, that it was not understood, and ask them to repeat it."
)
STILL_THERE = (
    "The person has said nothing for a while. Ask in one short sentence, in the language spoken so far, whether they "
    "are still there."
)
GOODBYE_IDLE = (
    "The conversation ends now, because nothing was said for long. Say a short friendly goodbye in the language spoken "
    "so far."
)
GOODBYE_DURATION = (
    "The conversation ends now, because it has reached its longest duration. Say a short friendly goodbye in the "
    "language spoken so far."
)
GOODBYE_BUDGET = (
    "The conversation must end now. Say one short friendly goodbye, and nothing else, in the language of the person; "
    "if you do not know it, in the language of these instructions. Do not say why."
)
BRIEFLY = "Answer in one short sentence, of twenty words at most."
# Enough of the last words to find the place by.
_TAIL_CHARS = 200


def go_on_after(heard: str) -> str:
    """Asks for the rest of an answer of which ``heard`` is known to have reached the person."""
    tail = heard[-_TAIL_CHARS:]
    return (
        f'Your last answer was cut off by a technical fault; the person heard it up to: "…{tail}". Go on from there, '
        "without repeating what was heard."
    )
