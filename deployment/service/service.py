"""One served model: how a request's images become answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from deployment.model.image_statistics import image_statistics
from deployment.model.metadata import ModelMetadata
from deployment.prediction.answers import answer_rows, pixels_of
from deployment.prediction.image_inputs import InputImage
from deployment.service.drift import Drift
from deployment.service.errors import Refusal, busy
from deployment.service.metrics import Metrics
from deployment.service.schemas import NOTICE, ModelAnswer, PredictAnswer
from deployment.service.settings import Settings
from deployment.service.uploads import read_uploads

# The field of a form that holds the files.
FIELD = "images"
Scorer = Callable[[NDArray[np.uint8]], Awaitable[NDArray[np.float64]]]


@dataclass
class Service:
    """The parts of all routes. name: identifies the model; scores: runs the network. waiting: requests in work."""

    metadata: ModelMetadata
    name: str
    card: str | None
    settings: Settings
    scores: Scorer
    drift: Drift
    metrics: Metrics
    decoders: ThreadPoolExecutor
    waiting: int = 0
    stopping: bool = False

    @property
    def is_full(self) -> bool:
        """Tell whether a request would be refused."""
        return self.waiting >= self.settings.queue

    async def predict(self, request: Request) -> PredictAnswer:
        """Read a request's images and answer them. Raises `Refusal`."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Refusal(415, "unsupported_type", f"send multipart/form-data with files in the field {FIELD}")
        fields = await self._form(request)
        try:
            files = [one for one in fields.getlist(FIELD) if isinstance(one, UploadFile)]
            if not files:
                raise Refusal(400, "no_images", f"no file in the field {FIELD}")
            return await self._within_time(request, [(file.filename or "", file.file) for file in files])
        finally:
            await fields.close()

    async def _form(self, request: Request) -> FormData:
        """Receive a form; files above a megabyte go to the disk. Raises `Refusal` where it takes too long."""
        try:
            async with asyncio.timeout(self.settings.upload):
                return await request.form(max_files=self.settings.images, max_fields=8, max_part_size=1024)
        except TimeoutError:
            raise Refusal(408, "slow_upload", f"the body took more than {self.settings.upload:g} seconds") from None

    async def _within_time(self, request: Request, files: list[Any]) -> PredictAnswer:
        if self.is_full:
            raise busy("the queue is full")
        self.waiting += 1
        try:
            async with asyncio.timeout(self.settings.answer):
                return await self._answer(request, files)
        except TimeoutError:
            raise Refusal(504, "too_slow", f"no answer within {self.settings.answer:g} seconds") from None
        finally:
            self.waiting -= 1

    async def _answer(self, request: Request, files: list[Any]) -> PredictAnswer:
        loop = asyncio.get_running_loop()
        images = await loop.run_in_executor(self.decoders, read_uploads, files, self.metadata, self.settings)
        pixels = pixels_of(images, self.metadata)
        request.state.images = len(images)
        self.metrics.images.labels("unreadable").inc(len(images) - len(pixels))
        if not len(pixels):
            raise Refusal(422, "unreadable", "; ".join(f"{image.name}: {image.fault}" for image in images)[:1000])
        rows = answer_rows(images, await self.scores(pixels), self.metadata)
        self._count(images, rows)
        answer = {"request": request.state.request, "model": self.name, "notice": NOTICE, "images": rows}
        return PredictAnswer.model_validate(answer)

    def _count(self, images: list[InputImage], rows: list[dict[str, Any]]) -> None:
        for image, row in zip(images, rows, strict=True):
            if image.pixels is None:
                continue
            self.metrics.images.labels("answered").inc()
            self.metrics.unlike.inc(bool(row["unlike_training"]))
            for answer in row["answer"]:
                self.metrics.answers.labels(answer).inc()
            self.drift.add({name: float(value[0]) for name, value in image_statistics(image.pixels[None]).items()})

    def model(self) -> ModelAnswer:
        """Return what is served."""
        values = self.metadata.model_dump(mode="json")
        known = {name: values[name] for name in ModelAnswer.model_fields if name in values} | {"model": self.name}
        return ModelAnswer(notice=NOTICE, card=self.card, **known)
