"""Refusals and failures as JSON: a code, one sentence, the request's name; no path and no stack."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from deployment.service.schemas import ErrorAnswer, ErrorBody

# Seconds after which a client may ask again.
RETRY_AFTER = 1
CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_type"}


class Refusal(Exception):
    """A request that is not answered. message: one sentence that says what to do."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def busy(what: str) -> Refusal:
    """Return the refusal of a service that has too much to do."""
    return Refusal(503, "busy", f"{what}: ask again later", {"Retry-After": str(RETRY_AFTER)})


def error_response(status: int, code: str, message: str, request: str, headers: Mapping[str, str]) -> JSONResponse:
    """Return an error as JSON."""
    body = ErrorAnswer(error=ErrorBody(code=code, message=message, request=request))
    return JSONResponse(body.model_dump(), status, dict(headers))


def refusal_response(refusal: Refusal, request: str) -> JSONResponse:
    """Return a refusal as JSON."""
    return error_response(refusal.status, refusal.code, refusal.message, request, refusal.headers)
