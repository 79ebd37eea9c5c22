"""The fixed sentences of the mind, by language; English where a language has none. Chooses nothing."""

from typing import Final

_ENGLISH: Final = {
    "greeting": "Hello! What would you like to know?",
    "greeting_named": "Hello, I am {name}. What would you like to know?",
    "well": "I am well, thank you. What would you like to know?",
    "thanks": "You are welcome.",
    "goodbye": "Goodbye, and thank you for the conversation.",
    "identity": "I am a simulated assistant. I answer from the sources that I am given.",
    "identity_named": "I am {name}, a simulated assistant. I answer from the sources that I am given.",
    "hearing": "Yes, I am here and I hear you.",
    "acknowledge": "All right.",
    "waiting": "I am listening. What would you like to know?",
    "untranscribed": "I heard you speak, but I cannot transcribe speech here. Please type your question.",
    "unknown": "I don't know that: I found nothing about it in the guide.",
    "failed": "I cannot look things up right now, so please ask me again in a moment.",
    "fault": "I am sorry, there was a technical problem: could you please ask that again?",
    "still_there": "Are you still there?",
    "no_more": "That is all.",
    "no_search": "I cannot look that up here, so I don't know. I heard you ask: {text}",
    "echo": "I heard you say: {text}",
    "noted_name": "Nice to meet you, {name}.",
    "noted": "I will remember that {text}.",
    "tool_failed": "That did not work: {text}",
    "tool_done": "Done.",
}
_OTHERS: Final[dict[str, dict[str, str]]] = {
    "de": {
        "greeting": "Hallo! Was möchten Sie wissen?",
        "greeting_named": "Hallo, ich bin {name}. Was möchten Sie wissen?",
        "thanks": "Gern geschehen.",
        "goodbye": "Auf Wiedersehen, und danke für das Gespräch.",
        "waiting": "Ich höre zu. Was möchten Sie wissen?",
        "untranscribed": "Ich habe Sie gehört, kann Sprache hier aber nicht verstehen. Bitte tippen Sie Ihre Frage.",
        "unknown": "Das weiß ich nicht: Ich habe dazu nichts gefunden.",
        "failed": "Ich kann gerade nichts nachschlagen, bitte fragen Sie gleich noch einmal.",
        "fault": "Entschuldigung, es gab eine technische Störung: Würden Sie das bitte noch einmal fragen?",
        "still_there": "Sind Sie noch da?",
        "no_more": "Das ist alles.",
    },
    "fr": {
        "greeting": "Bonjour ! Que voulez-vous savoir ?",
        "greeting_named": "Bonjour, je suis {name}. Que voulez-vous savoir ?",
        "thanks": "Je vous en prie.",
        "goodbye": "Au revoir, et merci pour la conversation.",
        "waiting": "Je vous écoute. Que voulez-vous savoir ?",
        "untranscribed": "Je vous ai entendu, mais je ne peux pas transcrire la parole ici. Écrivez votre question.",
        "unknown": "Je ne sais pas : je n'ai rien trouvé à ce sujet.",
        "failed": "Je ne peux rien chercher pour le moment, reposez la question dans un instant.",
        "fault": "Pardon, il y a eu un problème technique : pouvez-vous répéter la question ?",
        "still_there": "Êtes-vous toujours là ?",
        "no_more": "C'est tout.",
    },
    "es": {
        "greeting": "¡Hola! ¿Qué quiere saber?",
        "greeting_named": "Hola, soy {name}. ¿Qué quiere saber?",
        "thanks": "De nada.",
        "goodbye": "Adiós, y gracias por la conversación.",
        "waiting": "Le escucho. ¿Qué quiere saber?",
        "untranscribed": "Le he oído, pero aquí no puedo transcribir la voz. Escriba su pregunta, por favor.",
        "unknown": "No lo sé: no he encontrado nada sobre eso.",
        "failed": "Ahora no puedo buscar nada, pregunte de nuevo en un momento.",
        "fault": "Perdone, ha habido un problema técnico: ¿puede repetir la pregunta?",
        "still_there": "¿Sigue ahí?",
        "no_more": "Eso es todo.",
    },
}


def phrase(key: str, language: str, **values: str) -> str:
    """The sentence `key` in the language of a tag such as "de-AT", its {placeholders} filled."""
    table = _OTHERS.get(language.lower().replace("_", "-").partition("-")[0], {})
    return table.get(key, _ENGLISH[key]).format(**values)
