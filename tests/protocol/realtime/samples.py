"""One example of every Realtime event (GA), as the services and their clients write them. Synthetic contents."""

from typing import Any

IDX: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0, "content_index": 0}
CALL: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_3", "output_index": 1, "call_id": "call_1"}
MCP: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_4", "output_index": 2}

PCM = {"type": "audio/pcm", "rate": 24000}

# The effective session as the GA service shows it, key order as captured.
SESSION: dict[str, Any] = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "Be brief.",
    "tools": [{"type": "function", "name": "look_up", "description": "d", "parameters": {"type": "object"}}],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "expires_at": 1760000000,
    "audio": {
        "input": {
            "format": PCM,
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": PCM, "voice": "alloy", "speed": 1.0},
    },
    "include": None,
}

MESSAGE: dict[str, Any] = {
    "id": "item_2",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_audio", "transcript": "Hi."}],
}
CALL_ITEM: dict[str, Any] = {
    "id": "item_3",
    "type": "function_call",
    "status": "completed",
    "name": "look_up",
    "call_id": "call_1",
    "arguments": "{}",
}

USAGE: dict[str, Any] = {
    "total_tokens": 180,
    "input_tokens": 150,
    "output_tokens": 30,
    "input_token_details": {
        "text_tokens": 120,
        "audio_tokens": 30,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 8, "audio_tokens": 22},
}

RESPONSE: dict[str, Any] = {
    "object": "realtime.response",
    "id": "resp_1",
    "status": "in_progress",
    "status_details": None,
    "output": [],
    "conversation_id": "conv_1",
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "audio": {"output": {"format": PCM, "voice": "alloy"}},
    "usage": None,
    "metadata": None,
}
RESPONSE_ENDED: dict[str, Any] = {**RESPONSE, "status": "completed", "output": [MESSAGE, CALL_ITEM], "usage": USAGE}

CLIENT: dict[str, dict[str, Any]] = {
    "session.update": {
        "session": {
            "type": "realtime",
            "instructions": "",
            "audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1", "language": "en"}}},
            "tools": [],
            "tool_choice": {"type": "function", "name": "look_up"},
            "max_output_tokens": 200,
            "tracing": {"workflow_name": "w"},
            "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
        }
    },
    "input_audio_buffer.append": {"audio": "AAAAAAAA"},
    "input_audio_buffer.commit": {},
    "input_audio_buffer.clear": {},
    "conversation.item.create": {
        "previous_item_id": "root",
        "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
    },
    "conversation.item.retrieve": {"item_id": "item_1"},
    "conversation.item.delete": {"item_id": "item_1"},
    "conversation.item.truncate": {"item_id": "item_2", "content_index": 0, "audio_end_ms": 1500},
    "response.create": {
        "response": {
            "conversation": "none",
            "metadata": {"topic": "weather"},
            "input": [{"type": "item_reference", "id": "item_1"}],
            "output_modalities": ["text"],
            "max_output_tokens": "inf",
            "audio": {"output": {"voice": {"id": "voice_1"}}},
        }
    },
    "response.cancel": {"response_id": "resp_1"},
    "output_audio_buffer.clear": {},
}

_TRANSCRIPTION = "conversation.item.input_audio_transcription"

SERVER: dict[str, dict[str, Any]] = {
    "response.animation_viseme.delta": {
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 0,
        "content_index": 0,
        "audio_offset_ms": 12.5,
        "viseme_id": 21,
    },
    "error": {
        "error": {
            "type": "invalid_request_error",
            "code": "unknown_parameter",
            "message": "Unknown parameter: 'session.foo'.",
            "param": "session.foo",
            "event_id": None,
        }
    },
    "session.created": {"session": SESSION},
    "session.updated": {"session": SESSION},
    "conversation.created": {"conversation": {"id": "conv_1", "object": "realtime.conversation"}},
    "conversation.item.added": {"previous_item_id": None, "item": MESSAGE},
    "conversation.item.done": {"previous_item_id": "item_1", "item": MESSAGE},
    "conversation.item.created": {"previous_item_id": "item_1", "item": MESSAGE},
    "conversation.item.retrieved": {
        "item": {
            "id": "item_1",
            "type": "message",
            "role": "user",
            "content": [{"type": "input_audio", "audio": "AAAA", "transcript": None}],
        }
    },
    "conversation.item.deleted": {"item_id": "item_1"},
    "conversation.item.truncated": {"item_id": "item_2", "content_index": 0, "audio_end_ms": 1500},
    f"{_TRANSCRIPTION}.delta": {"item_id": "item_1", "content_index": 0, "delta": "Hel"},
    f"{_TRANSCRIPTION}.completed": {
        "item_id": "item_1",
        "content_index": 0,
        "transcript": "Hello",
        "usage": {"type": "duration", "seconds": 1.5},
    },
    f"{_TRANSCRIPTION}.failed": {
        "item_id": "item_1",
        "content_index": 0,
        "error": {"type": "transcription_error", "code": "DeploymentNotFound", "message": "m", "param": None},
    },
    f"{_TRANSCRIPTION}.segment": {
        "item_id": "item_1",
        "content_index": 0,
        "id": "seg_1",
        "text": "Hello",
        "speaker": "A",
        "start": 0.0,
        "end": 1.25,
    },
    "input_audio_buffer.committed": {"previous_item_id": None, "item_id": "item_1"},
    "input_audio_buffer.cleared": {},
    "input_audio_buffer.speech_started": {"audio_start_ms": 320, "item_id": "item_1"},
    "input_audio_buffer.speech_stopped": {"audio_end_ms": 1820, "item_id": "item_1"},
    "input_audio_buffer.timeout_triggered": {"audio_start_ms": 0, "audio_end_ms": 5000, "item_id": "item_1"},
    "input_audio_buffer.dtmf_event_received": {"event": "9", "received_at": 1760000000},
    "response.created": {"response": RESPONSE},
    "response.done": {"response": RESPONSE_ENDED},
    "response.output_item.added": {"response_id": "resp_1", "output_index": 0, "item": MESSAGE},
    "response.output_item.done": {"response_id": "resp_1", "output_index": 1, "item": CALL_ITEM},
    "response.content_part.added": {**IDX, "part": {"type": "audio", "transcript": ""}},
    "response.content_part.done": {**IDX, "part": {"type": "text", "text": "Hi."}},
    "response.output_text.delta": {**IDX, "delta": "H"},
    "response.output_text.done": {**IDX, "text": "Hi."},
    "response.output_audio.delta": {**IDX, "delta": "AAAAAAAA"},
    "response.output_audio.done": {**IDX},
    "response.output_audio_transcript.delta": {**IDX, "delta": "H"},
    "response.output_audio_transcript.done": {**IDX, "transcript": "Hi."},
    "response.function_call_arguments.delta": {**CALL, "delta": "{"},
    "response.function_call_arguments.done": {**CALL, "arguments": "{}", "name": "look_up"},
    "response.mcp_call_arguments.delta": {**MCP, "delta": "{"},
    "response.mcp_call_arguments.done": {**MCP, "arguments": "{}"},
    "response.mcp_call.in_progress": {"output_index": 2, "item_id": "item_4"},
    "response.mcp_call.completed": {"output_index": 2, "item_id": "item_4"},
    "response.mcp_call.failed": {"output_index": 2, "item_id": "item_4"},
    "mcp_list_tools.in_progress": {"item_id": "item_5"},
    "mcp_list_tools.completed": {"item_id": "item_5"},
    "mcp_list_tools.failed": {"item_id": "item_5"},
    "rate_limits.updated": {
        "rate_limits": [{"name": "tokens", "limit": 40000, "remaining": 39000, "reset_seconds": 1.5}]
    },
    "output_audio_buffer.started": {"response_id": "resp_1"},
    "output_audio_buffer.stopped": {"response_id": "resp_1"},
    "output_audio_buffer.cleared": {"response_id": "resp_1"},
}


def client_event(type_: str) -> dict[str, Any]:
    """A client's event of this type."""
    return {"type": type_, "event_id": "mine_1", **CLIENT[type_]}


def server_event(type_: str) -> dict[str, Any]:
    """The service's event of this type; one has no ``event_id``."""
    envelope = {} if type_ == "input_audio_buffer.dtmf_event_received" else {"event_id": "event_1"}
    return {"type": type_, **envelope, **SERVER[type_]}
