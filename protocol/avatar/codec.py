"""Decodes the avatar endpoint's own client frames. Errors are those of the Realtime codec."""

import msgspec

from protocol.avatar.events import AvatarPlayback, SessionInit
from protocol.realtime.codec import Head, InvalidEvent, detail_of
from protocol.realtime.server_events import ErrorDetail

_playback_decoder = msgspec.json.Decoder(AvatarPlayback)
_init_decoder = msgspec.json.Decoder(SessionInit)


def decode_playback(frame: bytes, head: Head) -> AvatarPlayback:
    """An ``avatar.playback`` event.

    Raises:
        InvalidEvent: a field is missing or has the wrong type.
    """
    try:
        return _playback_decoder.decode(frame)
    except msgspec.ValidationError as error:
        raise InvalidEvent(detail_of(error, head.event_id)) from None


def decode_init(frame: bytes) -> SessionInit:
    """The first frame of ``/ws``.

    Raises:
        InvalidEvent: the frame is no JSON object, or no ``session.init``, or a field has the wrong type.
    """
    try:
        return _init_decoder.decode(frame)
    except msgspec.ValidationError as error:
        detail = detail_of(error)
        if detail.param == "type":
            detail = msgspec.structs.replace(detail, message="The first frame must be session.init.")
        raise InvalidEvent(detail) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = ErrorDetail(
            type="invalid_request_error", code="invalid_json", message=f"The first frame is not valid JSON: {error}"
        )
        raise InvalidEvent(detail) from None
