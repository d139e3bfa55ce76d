"""The JSON Schema of what an endpoint receives, made from `sidestream.stream.messages`."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from sidestream.stream import messages

Schema = dict[str, Any]

COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}

#: The data of each type of metadata (protocol section 3).
METADATA: Final[dict[str, type[messages.Body]]] = {
    "call.answered": messages.CallAnsweredData,
    "call.held": messages.EmptyData,
    "call.resumed": messages.EmptyData,
    "call.headers": messages.CallHeadersData,
    "participant.joined": messages.Participant,
    "participant.updated": messages.Participant,
    "participant.left": messages.Participant,
    "media.gap": messages.MediaGapData,
    "stream.paused": messages.StreamPausedData,
    "stream.resumed": messages.StreamPausedData,
    "stream.lag": messages.StreamLagData,
    "stream.stats": messages.StreamStatsData,
    "stream.error": messages.StreamErrorData,
}

#: Made by the media engine, so there is no Python type to read them from.
MEDIA: Final[Schema] = {
    "description": "Audio of one participant: exactly one frame.",
    "type": "object",
    "required": ["channel", "participantId", "chunk", "timestamp", "payload"],
    "properties": {
        "channel": {"type": "integer", "minimum": -1},
        "participantId": {"type": "string"},
        "chunk": {"type": "integer", "minimum": 1},
        "timestamp": COUNT,
        "payload": {"type": "string", "contentEncoding": "base64"},
    },
}
TOTALS: Final[Schema] = {
    "description": "What was sent on one channel.",
    "type": "object",
    "required": [
        *("channel", "participantId", "chunks", "samples", "silenceSamples", "droppedSamples", "sha256"),
    ],
    "properties": {
        "channel": {"type": "integer", "minimum": -1},
        "participantId": {"type": "string"},
        "chunks": COUNT,
        "samples": COUNT,
        "silenceSamples": COUNT,
        "droppedSamples": COUNT,
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
}


def schema() -> str:
    """Return the schema of every message from Sidestream, as JSON text."""
    bodies = (
        messages.Connect,
        messages.Start,
        messages.Dtmf,
        messages.Close,
        *dict.fromkeys(METADATA.values()),
    )
    _, definitions = msgspec.json.schema_components(bodies, ref_template="#/$defs/{name}")
    definitions |= {"Media": MEDIA, "Totals": TOTALS, "Metadata": _metadata()}
    close = definitions["Close"]
    close["properties"]["totals"] = {"type": "array", "items": {"$ref": "#/$defs/Totals"}}
    close["required"].append("totals")
    for name, key in (("Start", "startedAt"), ("Close", "endedAt"), ("CallAnsweredData", "answeredAt")):
        definitions[name]["properties"][key] = INSTANT
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A message of {messages.SUBPROTOCOL} from Sidestream",
        "description": "Made by scripts/generate_docs.py. Receivers ignore keys that they don't know.",
        "oneOf": [_message(event) for event in ("connect", "start", "metadata", "dtmf", "media", "close")],
        "$defs": dict(sorted(definitions.items())),
    }
    return json.dumps(whole, indent=2) + "\n"


def _message(event: str) -> Schema:
    return {
        "type": "object",
        "required": ["event", "sequenceNumber", "streamId", event],
        "properties": {
            "event": {"const": event},
            "sequenceNumber": {"type": "integer", "minimum": 1},
            "streamId": {"type": "string", "format": "uuid"},
            event: {"$ref": f"#/$defs/{event.capitalize()}"},
        },
    }


def _metadata() -> Schema:
    rules = [
        {
            "if": {"properties": {"type": {"const": name}}},
            "then": {"properties": {"data": {"$ref": f"#/$defs/{data.__name__}"}}},
        }
        for name, data in METADATA.items()
    ]
    return {
        "description": "A new fact about the call or the stream; the type says what `data` holds.",
        "type": "object",
        "required": ["type", "at", "timestamp", "data"],
        "properties": {
            "type": {"type": "string"},
            "at": INSTANT,
            "timestamp": COUNT,
            "participantId": {"type": "string"},
            "data": {"type": "object"},
        },
        "allOf": rules,
    }
