"""Decodes the avatar endpoint's own client frames. Errors are those of the Realtime codec."""

import msgspec

from protocol.avatar.events import AvatarPlayback, SessionInit
from protocol.realtime.codec import Head, InvalidEvent, decode_with

_playback_decoder = msgspec.json.Decoder(AvatarPlayback)
_init_decoder = msgspec.json.Decoder(SessionInit)


def decode_playback(frame: bytes, head: Head) -> AvatarPlayback:
    """An ``avatar.playback`` event.

    Raises:
        InvalidEvent: a field is missing or has the wrong type.
    """
    return decode_with(_playback_decoder, frame, head.event_id)


def decode_init(frame: bytes) -> SessionInit:
    """The first frame of ``/ws``.

    Raises:
        InvalidEvent: the frame is no JSON object, or no ``session.init``, or a field has the wrong type.
    """
    try:
        return decode_with(_init_decoder, frame)
    except InvalidEvent as error:
        if error.detail.param != "type":
            raise
        detail = msgspec.structs.replace(error.detail, message="The first frame must be session.init.")
        raise InvalidEvent(detail) from None
