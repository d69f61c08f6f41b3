"""The live page as a web application: routes, and what each answers with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import where
from analysis.terminal.plain_text import visible
from sweeps.dashboard import answers
from sweeps.dashboard.access import Guard
from sweeps.dashboard.assets import static, templates
from sweeps.dashboard.computed_sections import ComputedSections
from sweeps.dashboard.files import files_below, media_type, open_file, pictures_of
from sweeps.dashboard.results import Results
from sweeps.live_run.followed_run import FollowedRun
from sweeps.live_run.tables import differing
from sweeps.live_run.trial import repeating_command
from sweeps.steering.requests import REQUEST, StopTrial, leave_request
from trainables.errors import InputError

MOST_COMPARED = 12
MOST_BODY = 2000
BLOCK = 2**18


@dataclass
class Page:
    """The source of the routes' answers. control: requests to runs are taken."""

    results: Results
    control: bool = False
    computed: ComputedSections = field(default_factory=ComputedSections)

    def runs(self, request: Request) -> Response:
        """Answer with the page of all runs; their rows follow."""
        runs = [(run.sweep, run.run_id, _question(run)) for run in self.results.runs()]
        return self._html("runs.html.j2", runs=runs, storage=str(self.results.storage))

    def run_rows(self, request: Request) -> Response:
        """Answer with the rows of all runs."""
        with ThreadPoolExecutor(4) as pool:
            rows = list(pool.map(lambda read: read(), self.results.rows()))
        return _json(answers.as_text([{name: visible(text) for name, text in row.items()} for row in rows]))

    def run(self, request: Request) -> Response:
        """Answer with the page of a run; what its ledger says follows."""
        run = self.results.run(*_names(request))
        description = run.read_description()
        commands = {
            "watch": f"python -m sweeps.show {where(run)} --watch",
            "report": f"python -m analysis.report {where(run)}",
            "extend": answers.extending_command(run),
        }
        grids = answers.grids_of(description)
        return self._html(
            "run.html.j2", run=run, description=description, commands=commands, place=where(run), grids=grids
        )

    def trial(self, request: Request) -> Response:
        """Answer with the page of a trial."""
        followed = self._followed(request)
        with followed.lock:
            followed.look()
            trial = _trial(followed, request)
            first, rest = differing(followed, trial)
            folder = followed.run.trial(trial.folder).path
            files = list(files_below(followed.run, folder))
            evaluated = followed.run.evaluation_of(trial.trial_id.partition(".")[0]).path
            with suppress(InputError):
                # until the end, nothing of the test split is shown
                files += files_below(followed.run, evaluated) if followed.state.ended else ()
            command = repeating_command(followed, trial, list(first))
            best = followed.best_epoch(trial)
            return self._html(
                "trial.html.j2", run=followed.run, trial=trial, first=first, rest=rest, files=files, command=command,
                pictures=pictures_of(files), best=best, metric=followed.metric,
            )  # fmt: skip

    def compare(self, request: Request) -> Response:
        """Answer with the page that compares runs."""
        runs = self._chosen(request)
        return self._html("compare.html.j2", runs=runs, pairs=[(run, run.read_description()) for run in runs])

    def changes(self, request: Request) -> Response:
        """Answer with what has changed in a run since the page last asked."""
        epoch, since = (_whole(request, name) for name in ("epoch", "since"))
        return self._locked(request, lambda followed: answers.changes(followed, epoch, since))

    def stops(self, request: Request) -> Response:
        """Answer with the table of stopped trials."""
        return self._locked(request, answers.stopped)

    def log(self, request: Request) -> Response:
        """Answer with the end of a run's log."""
        return self._locked(request, answers.log)

    def figure(self, request: Request) -> Response:
        """Answer with a figure of a run."""
        name, metric = request.path_params["name"], request.query_params.get("metric")
        return self._locked(request, lambda followed: answers.run_figure(followed, name, metric or followed.metric))

    def trial_figure(self, request: Request) -> Response:
        """Answer with a figure of a trial."""
        trial, name = request.path_params["trial"], request.path_params["name"]
        return self._locked(request, lambda followed: answers.trial_figure(followed, trial, name))

    def sections(self, request: Request) -> Response:
        """Answer with the report's sections on a run, as far as they are computed."""
        followed = self._followed(request)
        with followed.lock:
            followed.look()
            running = not followed.state.ended
        if not followed.run.trials_table.exists():
            return _json(answers.as_text({"sections": [], "computing": False, "made": 0, "wrong": ""}))
        return _json(answers.as_text(self.computed.of([followed.run], running=running).document()))

    def trial_sections(self, request: Request) -> Response:
        """Answer with the sections on a trial's files."""
        followed = self._followed(request)
        with followed.lock:
            followed.look()
            trial = _trial(followed, request)
        return _json(answers.as_text(self.computed.of([followed.run], "--trial", trial.trial_id).document()))

    def compared(self, request: Request) -> Response:
        """Answer with the report's sections on several runs."""
        runs = self._chosen(request)
        running = not all(self._has_ended(run) for run in runs)
        return _json(answers.as_text(self.computed.of(runs, running=running).document()))

    def file(self, request: Request) -> Response:
        """Answer with a file of a run."""
        run, name = self.results.run(*_names(request)), request.path_params["path"]
        number, size = open_file(run, name)
        headers = {"content-length": str(size), "content-security-policy": "default-src 'none'; sandbox"}
        kind = media_type(name)
        if kind == "application/octet-stream":
            headers["content-disposition"] = "attachment"
        return StreamingResponse(_blocks(number, size), media_type=kind, headers=headers)

    async def ask(self, request: Request) -> Response:
        """Leave a request for the driver of a run, which writes it into the ledger."""
        if not self.control:
            raise HTTPException(403, "this page only reads: start it with --control")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BODY:
                raise HTTPException(413, "too long")
        try:
            asked = REQUEST.validate_json(bytes(body))
        except ValidationError as error:
            raise HTTPException(400, f"no request: {error.errors()[0]['msg']}") from None
        followed = self._followed(request)
        with followed.lock:
            followed.look()
            if followed.status() != "running":
                raise HTTPException(
                    409, f"no driver works on this run. To go on with it: {answers.extending_command(followed.run)}"
                )
            if isinstance(asked, StopTrial) and asked.trial_id not in followed.state.trials:
                raise HTTPException(404, "there is no such trial")
        leave_request(followed.run, asked)
        return _json(b'{"asked":true}')

    def _followed(self, request: Request) -> FollowedRun:
        return self.results.follow(*_names(request))

    def _locked(self, request: Request, make: Callable[[FollowedRun], bytes]) -> Response:
        followed = self._followed(request)
        with followed.lock:
            followed.look()
            return _json(make(followed))

    def _has_ended(self, run: RunFolder) -> bool:
        followed = self.results.follow(run.sweep, run.run_id)
        with followed.lock:
            followed.look()
            return followed.state.ended

    def _chosen(self, request: Request) -> list[RunFolder]:
        names = list(dict.fromkeys(request.query_params.getlist("run")))
        if not 2 <= len(names) <= MOST_COMPARED:
            raise InputError(f"choose 2 to {MOST_COMPARED} runs to compare")
        return [self.results.run(*(name.split("/", 1) if "/" in name else (name, ""))) for name in names]

    def _html(self, template: str, **values: Any) -> Response:
        page = templates().get_template(template)
        return HTMLResponse(page.render(control=self.control, **values))


def _question(run: RunFolder) -> str:
    """Return the question of a run; "" where its description is damaged, or not fetched yet."""
    try:
        return str(run.read_description()["question"])
    except InputError:
        return ""


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["sweep"], request.path_params["run"]


def _trial(followed: FollowedRun, request: Request) -> Any:
    trial = followed.state.trials.get(request.path_params["trial"])
    if trial is None:
        raise InputError(f"{followed.run.run_id} has no trial {request.path_params['trial']}")
    return trial


def _whole(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _blocks(number: int, size: int) -> Iterator[bytes]:
    with os.fdopen(number, "rb") as file:
        # no more than was promised, also of a file that grows
        while size > 0 and (block := file.read(min(BLOCK, size))):
            size -= len(block)
            yield block


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json", headers={"cache-control": "no-store"})


async def _refused(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{visible(error)}\n", 404)


async def _unwritable(request: Request, error: Exception) -> Response:
    why = getattr(error, "strerror", None) or type(error).__name__
    return PlainTextResponse(f"{visible(getattr(error, 'filename', None) or 'a file')}: {visible(why)}\n", 500)


async def _failed(request: Request, error: Exception) -> Response:
    detail = error.detail if isinstance(error, HTTPException) else "this cannot be shown"
    code = error.status_code if isinstance(error, HTTPException) else 500
    return PlainTextResponse(f"{visible(detail)}\n", code)


def make_app(page: Page, token: str = "") -> Guard:
    """Return the application, behind its guard."""
    run, trial = "/{sweep}/{run}", "/{sweep}/{run}/{trial}"
    routes = [
        Route("/", page.runs),
        Route("/compare", page.compare),
        Route("/api/runs", page.run_rows),
        Route("/api/compare", page.compared),
        Route(f"/run{run}", page.run),
        Route(f"/api/run{run}/changes", page.changes),
        Route(f"/api/run{run}/stops", page.stops),
        Route(f"/api/run{run}/log", page.log),
        Route(f"/api/run{run}/sections", page.sections),
        Route(f"/api/run{run}/figure/{{name}}", page.figure),
        Route(f"/api/run{run}/ask", page.ask, methods=["POST"]),
        Route(f"/trial{trial}", page.trial),
        Route(f"/api/trial{trial}/sections", page.trial_sections),
        Route(f"/api/trial{trial}/figure/{{name}}", page.trial_figure),
    ]
    zipped = Mount("/", routes=routes, middleware=[Middleware(GZipMiddleware, compresslevel=3)])
    plain = [Route("/static/{name}", static), Route(f"/files{run}/{{path:path}}", page.file)]
    handlers: Any = {InputError: _refused, OSError: _unwritable, HTTPException: _failed}
    return Guard(Starlette(routes=[*plain, zipped], exception_handlers=handlers), token)
