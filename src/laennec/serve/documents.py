"""What ``/openapi.json`` says of each route: what it takes, what it answers, with examples."""

from __future__ import annotations

from typing import Any

from laennec.serve.faults import NOTICE
from laennec.serve.layers import LAYERS

DESCRIPTION = (
    f"{NOTICE}\n\nFrontal chest radiographs (JPEG, PNG, DICOM) answered by the bundles served. Inputs are not kept, "
    "but for jobs until these are done. Where keys are set every route but `/livez` and `/readyz` asks for one: "
    "`Authorization: Bearer KEY`, `X-API-Key: KEY`, or Basic with the key as the password."
)
_ANSWER: dict[str, Any] = {
    "request_id": "5b0e4a1f0c9d4b6f8a7e2d3c4b5a6978",
    "status": 200,
    "model": "k8",
    "probabilities": {"NORMAL": 0.12, "PNEUMONIA": 0.88},
    "score": 0.88,
    "label": "PNEUMONIA",
    "positive": True,
    "threshold": 0.41,
    "operating_point": "balanced",
    "possible": ["PNEUMONIA"],
    "refer": False,
    "refer_because": [],
    "strangeness": 0.4,
    "adapted": None,
    "lungs": None,
    "bundle_digest": "3f0c2a…",
    "image": {"format": "JPEG", "width": 1024, "height": 900, "photometric": "L", "inverted": False},
    "doubt": "",
    "layers": {},
    "lungs_by": None,
    "map_inside_lungs": None,
    "timings_ms": {"receive": 1.2, "decode": 8.1, "wait": 0.3, "model": 2.4, "total": 12.0},
    "notice": NOTICE,
}
_MODEL: dict[str, Any] = {
    "name": "k8",
    "digest": "3f0c2a…",
    "task": "classify",
    "labels": ["NORMAL", "PNEUMONIA"],
    "positive": ["PNEUMONIA"],
    "classifies": True,
    "segments": False,
    "explains": True,
    "calibrated": True,
    "refers": True,
    "decision": "balanced",
    "operating_points": {"balanced": {"threshold": 0.41, "sensitivity": 0.95, "specificity": 0.93, "n": 784}},
    "trained_on": {"collection": "kermany", "images": 4448, "patients": 2300},
}
_JOB: dict[str, Any] = {
    "id": "9f86d081884c7d659a2feaa0c55ad015",
    "state": "waiting",
    "files": 1200,
    "answered": 0,
    "accepted": "2026-01-01T12:00:00.000Z",
    "model": "k8",
    "ok": None,
    "refused": None,
    "results": None,
}
_SCHEMA: dict[type, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    dict: {"type": "object"},
    list: {"type": "array", "items": {}},
}


def _error(code: str, message: str, hint: str) -> dict[str, Any]:
    return {
        "request_id": "5b0e4a1f0c9d4b6f8a7e2d3c4b5a6978",
        "error": {"code": code, "message": message, "hint": hint},
    }


def _schema(example: Any) -> dict[str, Any]:
    """A schema that an example obeys: its keys, and their types where they are not null."""
    if isinstance(example, dict):
        fields = {key: _schema(value) for key, value in example.items()}
        return {"type": "object", "properties": fields}
    return {**_SCHEMA.get(type(example), {})}


def _json(what: str, example: Any) -> dict[str, Any]:
    schema = {"type": "array", "items": _schema(example[0])} if isinstance(example, list) else _schema(example)
    return {"description": what, "content": {"application/json": {"schema": schema, "example": example}}}


_CLOSED = {
    "401": _json("No key, or a wrong one.", _error("no_key", "this service asks for a key", "send it as …")),
    "400": _json("The query, the host or the site.", _error("bad_request", "the query holds …", "known: …")),
}
_WORK = _CLOSED | {
    "404": _json("No such model or operating point.", _error("no_model", "there is no such model", "GET /models …")),
    "413": _json("Too large, or too many.", _error("body_too_large", "the body has more than …", "send fewer …")),
    "415": _json(
        "Not a JPEG, PNG or DICOM file.", _error("unsupported_type", "this looks like PDF …", "send a JPEG …")
    ),
    "422": _json(
        "Cannot be read, or is no upright frontal chest radiograph.",
        _error("not_chest", "this is no chest radiograph: …", "send a frontal chest radiograph as it is hung"),
    ),
    "429": _json("Asked too often; see Retry-After.", _error("too_often", "more than 5 requests a second", "…")),
    "500": _json("The model, or the service, is at fault.", _error("model_fault", "the model answers no number", "…")),
    "503": _json("At work on all it can; see Retry-After.", _error("overloaded", "the service is at work …", "…")),
    "504": _json("The time for it has passed.", _error("deadline", "the time for this request has passed", "…")),
}


def _query(name: str, what: str, example: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": what, "schema": {"type": "string"}, "example": example}


_MODEL_QUERY = _query("model", "Name of a bundle; the first one served by default.", "k8")
_ASKED = [
    _MODEL_QUERY,
    _query("rule", "Operating point: balanced, rule_out, rule_in; the card's own choice by default.", "rule_out"),
    _query("with", f"Layers as PNG: {', '.join(LAYERS)}, joined by commas.", "picture,lungs,map"),
    _query("deadline_ms", "Answer within so many milliseconds, or 504.", "2000"),
]
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _takes(many: bool, *plain: str) -> dict[str, Any]:
    """A body: a form with one file or several, or a file as it is."""
    one = {"type": "string", "format": "binary"}
    file = {"type": "array", "items": one} if many else one
    form = {"schema": {"type": "object", "properties": {"file": file}, "required": ["file"]}}
    return {"required": True, "content": {"multipart/form-data": form} | dict.fromkeys(plain, _BINARY)}


_IMAGES = ("image/jpeg", "image/png", "application/dicom", "application/octet-stream")


def _route(
    summary: str, responses: dict[str, Any], parameters: list[dict[str, Any]], body: dict[str, Any] | None = None
) -> dict[str, Any]:
    more: dict[str, Any] = {"parameters": parameters}
    if body is not None:
        more["requestBody"] = body
    return {"summary": summary, "responses": responses, "openapi_extra": more, "response_model": None}


_BATCHED = {
    "request_id": _ANSWER["request_id"],
    "results": [
        {"index": 0} | _ANSWER,
        {"index": 1, "status": 422, "error": {"code": "corrupt_image", "message": "…", "hint": "…"}},
    ],
    "ok": 1,
    "refused": 1,
}
_ZIP = {"description": "A zip of DICOM files.", "content": {"application/zip": _BINARY}}
_LINES = {"description": "A line of JSON for each file, in order.", "content": {"application/x-ndjson": {}}}
_TEXT = {"description": "Figures for Prometheus.", "content": {"text/plain": {}}}
_NONE = {"404": _json("No such job.", _error("not_found", "there is no such job", "…"))}
_IDEMPOTENT = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Sent again with the same one, it is the same job.",
    "schema": {"type": "string", "maxLength": 200},
}

PREDICT = _route("One image", {"200": _json("The answer.", _ANSWER)} | _WORK, _ASKED, _takes(False, *_IMAGES))
BATCH = _route(
    "Up to 16 images, or a zip of them",
    {"200": _json("The answers, in order, each with its own status.", _BATCHED)} | _WORK,
    _ASKED,
    _takes(True, "application/zip"),
)
JOBS = _route(
    "Many images, answered in their own time",
    {"202": _json("Accepted, and safely written down.", _JOB)} | _WORK,
    [_ASKED[0], _ASKED[1], _IDEMPOTENT],
    _takes(True, "application/zip"),
)
JOB = _route("How far a job is", {"200": _json("Its state.", _JOB)} | _CLOSED | _NONE, [])
RESULTS = _route(
    "A job's answers",
    {"200": _LINES, "409": _json("It is not done.", _error("not_done", "the job is not done", "…"))} | _CLOSED | _NONE,
    [],
)
DELETE = _route(
    "Have a job gone", {"200": _json("It is.", {"id": _JOB["id"], "state": "deleted"})} | _CLOSED | _NONE, []
)
OBJECTS = _route(
    "DICOM objects that join the study of one DICOM file",
    {"200": _ZIP} | _WORK,
    [*_ASKED[:2], _query("kinds", "Which, joined by commas; all that can be made by default.", "report,capture")],
    _takes(False, "application/dicom", "application/octet-stream"),
)
MODELS = _route("What is served", {"200": _json("Each model.", [_MODEL])} | _CLOSED, [])
MODEL = _route("A model's card", {"200": _json("The card.", {"name": "k8"})} | _CLOSED, [_MODEL_QUERY])
METRICS = _route("Figures for Prometheus", {"200": _TEXT} | _CLOSED, [])
LIVE = _route("Is it alive?", {"200": _json("It is.", {"status": "alive"})}, [])
READY = _route(
    "Does it answer as when it started?",
    {"200": _json("It does.", {"status": "ready"}), "503": _json("Not now.", {"status": "not ready"})},
    [],
)
