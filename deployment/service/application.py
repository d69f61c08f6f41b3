"""The routes of the service, and the page by which an image is tried."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from deployment.service.errors import CODES, Refusal, error_response, refusal_response
from deployment.service.guard import Guard
from deployment.service.schemas import ErrorAnswer, ModelAnswer, PredictAnswer, StatusAnswer
from deployment.service.service import FIELD, Service

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer} for status in (400, 401, 403, 408, 413, 415, 421, 422, 500, 503, 504)
}
# What the page may do: its own style and script, images that its reader chose, requests to this service.
PAGE_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def make_app(service: Service, lifespan: Lifespan | None = None) -> Guard:
    """Return the service as an ASGI application."""
    app = FastAPI(
        title="Sweeps: a trained network", version="1", summary="For research use only.", docs_url=None, redoc_url=None,
        lifespan=lifespan,
    )  # fmt: skip

    @app.post("/predict", responses=REFUSALS, openapi_extra=BODY)
    async def predict(request: Request) -> PredictAnswer:
        """Answer one or several images: PNG, JPEG, TIFF, DICOM, NIfTI, or npz files with an array `images`."""
        return await service.predict(request)

    @app.get("/health")
    async def health() -> StatusAnswer:
        """Say that the process lives."""
        return StatusAnswer(status="alive")

    @app.get("/ready", responses={503: {"model": StatusAnswer}})
    async def ready() -> Response:
        """Say whether a request would be taken now."""
        status = "stopping" if service.stopping else "busy" if service.is_full else "ready"
        return JSONResponse(StatusAnswer(status=status).model_dump(), 200 if status == "ready" else 503)

    @app.get("/model")
    async def model() -> ModelAnswer:
        """Describe the model, with its card where it has one."""
        return service.model()

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return what Prometheus reads."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        """Return a page by which an image is tried by hand."""
        nonce = secrets.token_urlsafe(16)
        policy = PAGE_POLICY.format(nonce=nonce)
        return HTMLResponse(_page(service, nonce), headers={"Content-Security-Policy": policy})

    _say_errors(app)
    return Guard(app, service.settings, service.metrics)


def _say_errors(app: FastAPI) -> None:
    """Answer refusals and what FastAPI itself refuses as JSON, all alike."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        request.state.code = refusal.code
        return refusal_response(refusal, request.state.request)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> JSONResponse:
        code = request.state.code = CODES.get(error.status_code, "refused")
        # Their texts name neither paths nor what was sent.
        return error_response(error.status_code, code, error.detail, request.state.request, error.headers or {})

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _: Exception) -> JSONResponse:
        # Nobody reads it.
        request.state.code = "gone"
        return error_response(400, "gone", "the connection ended within the body", request.state.request, {})

    @app.exception_handler(Exception)
    async def failed(request: Request, _: Exception) -> JSONResponse:
        # It is raised again, and logged at the door.
        return error_response(500, "failed", "the service failed: its log says why", request.state.request, {})


def _page(service: Service, nonce: str) -> str:
    """Draw the page. A service with a token says nothing of its model to those who have not given it."""
    shown: dict[str, Any] = {"metadata": None, "name": ""}
    if service.settings.token is None:
        shown = {"metadata": service.metadata, "name": service.name}
    template = _environment().get_template("page.html.j2")
    return template.render(nonce=nonce, field=FIELD, needs_token=service.settings.token is not None, **shown)


@cache
def _environment() -> Environment:
    """Return the template's environment: text is escaped, and a name that is not there is an error."""
    folder = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
