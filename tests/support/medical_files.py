"""DICOM, NIfTI and TIFF files as scanners and other programs write them, but small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SERIES = generate_uid()


def write_dicom(path: Path, values: np.ndarray, **more: Any) -> Path:
    """Write stored values (H, W), (frames, H, W) or (H, W, 3) as an uncompressed file; `more` are elements by name."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID, dataset.Modality = SERIES, "CT"
    is_colour = values.ndim == 3 and values.shape[-1] == 3
    dataset.SamplesPerPixel = 3 if is_colour else 1
    dataset.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
    if is_colour:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = values.shape[:2] if is_colour else values.shape[-2:]
    if values.ndim == 3 and not is_colour:
        dataset.NumberOfFrames = len(values)
    bits = 8 * values.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(values).tobytes()
    for name, value in more.items():
        setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset)
    return path


def write_series(folder: Path, volume: np.ndarray, seed: int = 0, spacing: float = 2.5, **more: Any) -> Path:
    """Write an axial volume (D, H, W), feet first, as one file a slice, under names in no order."""
    order = np.random.default_rng(seed).permutation(len(volume))
    for name, number in enumerate(order):
        place = {"ImagePositionPatient": [-100, -120, -50 + spacing * int(number)], "InstanceNumber": int(number) + 1}
        plane = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        write_dicom(folder / f"IM{name:04}", volume[number], **{**place, **plane, **more})
    return folder


def write_tiff(path: Path, values: np.ndarray) -> Path:
    """Write (H, W) as a page, or (D, H, W) as pages, of 16 bits or any other type that Pillow takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pages = [Image.fromarray(page) for page in (values if values.ndim == 3 else values[None])]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path
