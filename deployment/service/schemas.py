"""The answers of the service, as its OpenAPI page describes them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

NOTICE = "for research use only"


class Answer(BaseModel):
    """One sentence, fields as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageAnswer(Answer):
    """The answer of the model for one image.

    fault: why it cannot be read; the answer is null then. answer: the class, or the labels. confidence: the highest
    probability, the network's own; calibrated: at the temperature that fits val. uncertainty: entropy in nats.
    prediction_set: classes of the conformal set. unlike_training: what lies beyond every training image.
    """

    image: str
    fault: str
    digest: str
    answer: list[str] | None
    confidence: float | None
    calibrated: float | None
    probabilities: dict[str, float] | None
    uncertainty: float | None
    prediction_set: list[str] | None
    unlike_training: list[str]


class PredictAnswer(Answer):
    """The answers to all images of a request, in their order."""

    request: str
    model: str
    notice: str
    images: list[ImageAnswer]


class ModelAnswer(Answer):
    """The model that is served. card: Markdown, of a registered model."""

    model: str
    notice: str
    run: str
    trial: str
    seed: int
    dataset: str
    dataset_digest: str
    commit: str | None
    task: str
    class_names: list[str]
    image_shape: list[int]
    temperature: float
    coverage: float
    conformal_threshold: float
    quantization: str
    versions: dict[str, str]
    card: str | None


class StatusAnswer(Answer):
    """The state of the service in one word."""

    status: str


class ErrorBody(Answer):
    """Why there is no answer. request: as the log names it."""

    code: str
    message: str
    request: str


class ErrorAnswer(Answer):
    """An error."""

    error: ErrorBody
