"""How a conversation looks on standard output: as text for people, or as JSON lines of events for programs."""

import sys
from typing import Protocol

from protocol.avatar.events import AvatarSession
from server.cli.answer import Answer
from server.cli.event_lines import event_line
from server.cli.terminal import complain, dim, one_line, plain

YOU, AVATAR = "you> ", "avatar> "


class Output(Protocol):
    """What a conversation tells whoever looks on."""

    def event(self, frame: bytes) -> None:
        """An event of any kind came; it is told before what it means."""
        ...

    def introduced(self, session: AvatarSession) -> None:
        """The avatar said who it is."""
        ...

    def prompt(self) -> None:
        """It is the person's turn."""
        ...

    def question(self, text: str) -> None:
        """This is being asked."""
        ...

    def words(self, text: str) -> None:
        """A piece of an answer."""
        ...

    def answered(self, answer: Answer) -> None:
        """An answer is over."""
        ...

    def note(self, text: str) -> None:
        """Something that is good to know, and that an event told."""
        ...

    def aside(self, text: str) -> None:
        """Something that is good to know of the connection itself: no event tells it."""
        ...

    def problem(self, text: str) -> None:
        """Something went wrong, and the conversation goes on."""
        ...

    def farewell(self) -> None:
        """The person has said all."""
        ...


class EventOutput:
    """Every event as one line of JSON; problems go to standard error besides."""

    def __init__(self, *, audio: bool) -> None:
        self._audio = audio

    def event(self, frame: bytes) -> None:
        """See ``Output``."""
        print(event_line(frame, audio=self._audio), flush=True)

    def introduced(self, session: AvatarSession) -> None:
        """Nothing besides the event."""

    def prompt(self) -> None:
        """Nothing."""

    def question(self, text: str) -> None:
        """Nothing."""

    def words(self, text: str) -> None:
        """Nothing besides the event."""

    def answered(self, answer: Answer) -> None:
        """Nothing besides the event."""

    def note(self, text: str) -> None:
        """Nothing besides the event."""

    def aside(self, text: str) -> None:
        """On standard error."""
        complain(one_line(text))

    def problem(self, text: str) -> None:
        """See ``Output``."""
        complain(one_line(text))

    def farewell(self) -> None:
        """Nothing."""


class TextOutput:
    """Text for people.

    Args:
        chatting: questions come line by line, so prompts and names are shown.
        echo: what is asked did not come from a terminal that showed it, so it is written out.
    """

    def __init__(self, *, chatting: bool, echo: bool) -> None:
        self._chatting = chatting
        self._echo = echo
        self._in_answer = False
        self._at_prompt = False

    def event(self, frame: bytes) -> None:
        """Nothing besides what it means."""

    def introduced(self, session: AvatarSession) -> None:
        """Who speaks, its greeting, and what it could be asked."""
        if not self._chatting:
            return
        profile = session.profile
        print(dim(f"{one_line(profile.title)} ({one_line(session.kb_id)}); /quit ends the conversation"))
        if profile.greeting:
            print(f"{AVATAR}{plain(profile.greeting)}")
        if profile.sample_questions:
            print(dim("Try: " + " · ".join(one_line(question) for question in profile.sample_questions)))

    def prompt(self) -> None:
        """Shown where a person types."""
        if self._chatting and not self._echo:
            self._line_start()
            print(YOU, end="", flush=True)
            self._at_prompt = True

    def question(self, text: str) -> None:
        """See ``Output``."""
        if not sys.stdout.isatty():  # on a terminal, the person's own Enter has ended the line
            self._line_start()
        self._in_answer = self._at_prompt = False
        if self._echo:
            print(f"{YOU}{plain(text)}", flush=True)

    def words(self, text: str) -> None:
        """See ``Output``."""
        if not self._in_answer:
            self._line_start()
            self._in_answer = True
            if self._chatting:
                print(AVATAR, end="")
        print(plain(text), end="", flush=True)

    def answered(self, answer: Answer) -> None:
        """Its sources, and what it took."""
        self._line_start()
        if answer.sources:
            print("Sources:")
            for rank, source in enumerate(answer.sources, start=1):
                print(f"  {rank}. {one_line(source.title)}  {dim(one_line(source.uri))}")
        print(dim(_measured(answer)), flush=True)

    def note(self, text: str) -> None:
        """See ``Output``."""
        self.aside(text)

    def aside(self, text: str) -> None:
        """On standard error: what is said goes on beside it, and only a terminal that shows both needs a new line."""
        was_at_prompt = self._at_prompt
        if sys.stdout.isatty():
            self._line_start(flush=True)
        complain(one_line(text))
        if was_at_prompt and not self._at_prompt:
            self.prompt()

    def problem(self, text: str) -> None:
        """See ``Output``."""
        self._line_start(flush=True)
        complain(one_line(text))

    def farewell(self) -> None:
        """An empty prompt is not left standing in front of the shell's."""
        self._line_start(flush=True)

    def _line_start(self, *, flush: bool = False) -> None:
        if self._in_answer or self._at_prompt:
            print(flush=flush)
        self._in_answer = self._at_prompt = False


def _measured(answer: Answer) -> str:
    parts = []
    if answer.first_audio_ms is not None:
        parts.append(f"first audio after {answer.first_audio_ms:.0f} ms")
    elif answer.first_text_ms is not None:
        parts.append(f"first words after {answer.first_text_ms:.0f} ms, no audio")
    if answer.usage is not None:
        cached = answer.usage.input_token_details.cached_tokens
        parts.append(
            f"{answer.usage.input_tokens} tokens in ({cached} cached), {answer.usage.output_tokens} tokens out"
        )
    return "; ".join(parts) or "no measurements"
