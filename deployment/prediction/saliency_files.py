"""Pictures of saliency maps, one for each image that was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.explanation import Explained, saliency_maps
from analysis.figures.style import save
from analysis.runs.run_folder import plain_name
from trainables.errors import InputError

UNTESTED = "not tested; analysis.explain tests the maps of a run"


def write_maps(
    folder: Path, rows: Sequence[dict[str, Any]], pixels: NDArray[np.uint8], maps: NDArray[np.float64], method: str
) -> None:
    """Write a picture for each row with an answer, and name it in the row. Raises `InputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        answered = [row for row in rows if not row["fault"]]
        for number, (row, image, found) in enumerate(zip(answered, pixels, maps, strict=True)):
            said = "; ".join(row["answer"]) or "none"
            drawn = Explained(Path(row["image"]).name[-24:], image, found, "not known", said, row["confidence"])
            path = folder / f"{number:04}_{_file_name(row['image'])}.png"
            save(saliency_maps([drawn], method, UNTESTED), path)
            row["explanation"] = {"method": method, "file": str(path)}
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): free space, or mend its rights") from None


def _file_name(name: str) -> str:
    """Return a name of letters, digits, - and _ for a picture."""
    letters = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(name).stem)
    return plain_name(letters[-40:].strip("_-") or "image", "the picture's name")
