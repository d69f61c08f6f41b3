"""DICOM and NIfTI files, TIFFs of 16 bits and stacks: pixels, windows and orientation, beside pydicom and nibabel."""

from __future__ import annotations

import builtins
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing, pixel_array

from tests.support.medical_files import write_dicom, write_series, write_tiff
from trainables.data.dataset_names import Window
from trainables.data.formats import dicom
from trainables.data.formats.medical_files import ERRORS, FileReader
from trainables.data.reading.decoding import ImageSource, Look
from trainables.errors import InputError

RNG = np.random.default_rng(0)


def read(path: Path | list[Path], window: Window | None = None, frame: int | str | None = None) -> np.ndarray:
    """The pixels of a file, or of a series of files, as they are before they are resized."""
    paths = tuple(path) if isinstance(path, list) else (path,)
    source = ImageSource("x", paths, is_series=isinstance(path, list))
    reader = FileReader(window, frame)
    look = reader.look(source)
    image = reader.image(source)
    assert look.is_3d == (image.ndim == 4)
    assert look.grey == (image.shape[-1] == 1)
    return image[..., 0] if look.grey else image


def shown(name: str) -> np.ndarray:
    """A file of pydicom's as pydicom shows it, from black to white as 0 to 255."""
    dataset = pydicom.dcmread(testdata(name))
    rescaled = apply_modality_lut(pixel_array(dataset), dataset)
    low, high = apply_windowing(np.array([-1e9, 1e9]), dataset)
    return np.rint((apply_windowing(rescaled, dataset) - low) / (high - low) * 255).astype(np.uint8)


def testdata(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert path is not None
    return Path(str(path))


testdata.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "examples_overlay.dcm"])
def test_a_header_s_window_is_pydicom_s(name: str) -> None:
    assert np.array_equal(read(testdata(name)), shown(name))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (300.5, 1500), (0, 1)])
def test_every_function_of_a_window_is_pydicom_s(function: str, center: float, width: float, tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (16, 16), np.int16)
    about = {"RescaleSlope": 1.5, "RescaleIntercept": -1024, "VOILUTFunction": function}
    window = {"WindowCenter": center, "WindowWidth": width}
    path = write_dicom(tmp_path / "a.dcm", values, **about, **window)
    dataset = pydicom.dcmread(path)
    rescaled = apply_modality_lut(values, dataset)
    # pydicom's exponential runs over where a sigmoid is flat.
    with np.errstate(over="ignore"):
        expected = apply_windowing(rescaled, dataset)
        low, high = apply_windowing(np.array([-1e9, 1e9]), dataset)
    assert np.abs(read(path) - (expected - low) / (high - low) * 255).max() <= 0.5001


def test_a_window_that_is_asked_for_goes_before_the_header_s(tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (16, 16), np.int16)
    stored = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    other = write_dicom(tmp_path / "other.dcm", values, **stored, WindowCenter=500, WindowWidth=2000)
    wanted = write_dicom(tmp_path / "wanted.dcm", values, **stored, WindowCenter=[40, 7], WindowWidth=[400, 9])
    assert np.array_equal(read(other, Window(40, 400)), read(wanted))
    assert not np.array_equal(read(other), read(wanted))


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (16, 16), np.uint16)
    window = {"WindowCenter": 2000, "WindowWidth": 3000}
    usual = read(write_dicom(tmp_path / "2.dcm", values, **window))
    inverted = read(write_dicom(tmp_path / "1.dcm", values, **window, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(inverted, 255 - usual)
    without = read(write_dicom(tmp_path / "0.dcm", values, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(without, 255 - read(write_dicom(tmp_path / "3.dcm", values)))


def test_a_header_s_table_is_pydicom_s(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (16, 16), np.uint16)
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 12], (np.arange(256) ** 1.5).astype("<u2").tobytes()
    path = write_dicom(tmp_path / "a.dcm", values, VOILUTSequence=[table], BitsStored=12, HighBit=11)
    dataset = pydicom.dcmread(path)
    assert np.array_equal(read(path), np.rint(apply_voi(values, dataset) / 4095 * 255))


def test_colours_are_pydicom_s() -> None:
    path = testdata("examples_palette.dcm")
    dataset = pydicom.dcmread(path)
    assert np.array_equal(read(path), apply_color_lut(pixel_array(dataset), dataset) >> 8)
    for name in ("SC_rgb_rle_2frame.dcm", "SC_ybr_full_422_uncompressed.dcm", "examples_ybr_color.dcm"):
        assert np.array_equal(read(testdata(name)), pixel_array(pydicom.dcmread(testdata(name))))
    assert np.array_equal(
        read(testdata("SC_rgb_rle_16bit.dcm")), pixel_array(pydicom.dcmread(testdata("SC_rgb_rle_16bit.dcm"))) >> 8
    )


def test_bits_without_a_window(tmp_path: Path) -> None:
    assert np.array_equal(read(testdata("image_dfl.dcm")), pixel_array(pydicom.dcmread(testdata("image_dfl.dcm"))))
    assert set(np.unique(read(testdata("liver_1frame.dcm")))) == {0, 255}
    values = RNG.normal(1000, 300, (64, 64)).astype(np.int16)
    low, high = np.percentile(values, (0.5, 99.5))
    expected = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)
    assert np.array_equal(read(write_dicom(tmp_path / "a.dcm", values)), expected)
    assert np.array_equal(read(write_tiff(tmp_path / "a.tif", values.astype(np.uint16))), expected)
    window = Window(1000, 800)
    by_window = np.rint(np.clip((values - 600) / 800, 0, 1) * 255)
    assert np.array_equal(read(write_tiff(tmp_path / "a.tif", values.astype(np.uint16)), window), by_window)
    constant = write_tiff(tmp_path / "b.tif", np.full((8, 8), 500, np.uint16))
    assert read(constant).max() == 0
    rare = np.zeros((64, 64), np.uint16)
    rare[3, 3] = 9
    assert np.array_equal(read(write_tiff(tmp_path / "c.tif", rare)), np.where(rare > 0, 255, 0))


@pytest.mark.parametrize("limit", [None, -1990])
def test_padding_is_no_part_of_the_percentiles(limit: int | None, tmp_path: Path) -> None:
    values = RNG.integers(0, 3000, (32, 32)).astype(np.int16)
    values[:8] = -2000 if limit is None else np.arange(-2000, -1992)[:, None]
    more = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    path = write_dicom(tmp_path / "a.dcm", values, PixelPaddingValue=-2000, RescaleIntercept=-1024, **more)
    low, high = np.percentile(values[8:] - 1024.0, (0.5, 99.5))
    assert np.array_equal(read(path), np.rint(np.clip((values - 1024.0 - low) / (high - low), 0, 1) * 255))


def test_white_is_zero_is_inverted_at_16_bits_too(tmp_path: Path) -> None:
    """A file whose tag PhotometricInterpretation is 0 is shown as its negative is that has 1; Pillow does so at 8."""
    values = RNG.integers(0, 65536, (8, 8)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "white.tif", tiffinfo={262: 0})
    Image.fromarray(65535 - values).save(tmp_path / "black.tif", tiffinfo={262: 1})
    with Image.open(tmp_path / "white.tif") as image:
        assert image.tag_v2[262] == 0
        assert np.array_equal(np.asarray(image), values)
    assert np.array_equal(read(tmp_path / "white.tif"), read(tmp_path / "black.tif"))
    low = (values >> 8).astype(np.uint8)
    Image.fromarray(low).save(tmp_path / "low.tif", tiffinfo={262: 0})
    assert np.array_equal(read(tmp_path / "low.tif"), np.asarray(Image.open(tmp_path / "low.tif")))


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "png"])
def test_deep_files_of_pillow(mode: str, tmp_path: Path) -> None:
    values = RNG.integers(0, 60000, (12, 10)).astype({"I": np.int32, "F": np.float32}.get(mode, np.uint16))
    path = tmp_path / ("a.png" if mode == "png" else "a.tif")
    Image.fromarray(values).save(path)
    low, high = np.percentile(values, (0.5, 99.5))
    assert np.array_equal(read(path), np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255))


def volume(shape: tuple[int, int, int] = (7, 12, 10)) -> np.ndarray:
    """An axial CT volume (feet to head, front to back, right to left) without any symmetry."""
    return np.random.default_rng(3).integers(-1000, 2000, shape).astype(np.int16)


def test_a_series_is_sorted_by_position_and_shown_by_one_window(tmp_path: Path) -> None:
    values = volume()
    stored, window = (values + 1024).astype(np.uint16), Window(40, 400)
    folder = write_series(tmp_path / "series", stored, RescaleIntercept=-1024, RescaleSlope=1)
    files = sorted(folder.iterdir())
    expected = np.rint(np.clip((values.astype(float) - (40 - 0.5 - 199.5)) / 399, 0, 1) * 255)
    assert np.array_equal(read(files, window), expected)
    assert np.array_equal(read(files, window, "middle"), expected[3])
    assert np.array_equal(read(files, window, 1), expected[0])
    assert np.array_equal(read(list(reversed(files)), window), expected)


def test_slices_without_a_position_are_sorted_by_number(tmp_path: Path) -> None:
    values = volume()
    write_series(tmp_path / "series", values, ImagePositionPatient=None)
    files = sorted((tmp_path / "series").iterdir())
    low, high = np.percentile(values.astype(np.float32), (0.5, 99.5))
    expected = np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255)
    assert np.array_equal(read(files), expected)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "ASR", "PIR", "SLA", "IPL"])
def test_nifti_is_turned_as_nibabel_does_and_equals_the_series(axes: str, tmp_path: Path) -> None:
    """The same volume as DICOM files and as NIfTI, stored in any orientation, is the same image."""
    values = volume()
    write_series(tmp_path / "series", values)
    from_dicom = read(sorted((tmp_path / "series").iterdir()), Window(0, 1001))
    # x to the left and y to the back grow with columns and rows: LPS. nibabel's own step turns it to what is stored.
    lps = nibabel.Nifti1Image(values.transpose(2, 1, 0), np.diag([-1.0, -1.0, 2.5, 1.0]))
    change = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(lps.affine), nibabel.orientations.axcodes2ornt(tuple(axes))
    )
    stored = lps.as_reoriented(change)
    assert "".join(nibabel.aff2axcodes(stored.affine)) == axes
    nibabel.save(stored, tmp_path / "a.nii.gz")
    canonical = nibabel.as_closest_canonical(nibabel.load(tmp_path / "a.nii.gz"))
    expected = np.asarray(canonical.dataobj)[::-1, ::-1].transpose(2, 1, 0)
    assert np.array_equal(expected, values)
    found = read(tmp_path / "a.nii.gz", Window(-0.5, 1000))
    assert np.array_equal(found, from_dicom)
    assert np.array_equal(read(tmp_path / "a.nii.gz", Window(-0.5, 1000), "middle"), found[3])


def test_nifti_of_one_slice_is_flat_and_upright(tmp_path: Path) -> None:
    """Coronal and sagittal slices have the head at the top; nibabel's affine says where it is."""
    values = np.arange(20, dtype=np.uint8).reshape(4, 5)
    for name, shape in (("axial", (4, 5, 1)), ("coronal", (4, 1, 5)), ("sagittal", (1, 4, 5))):
        nibabel.save(nibabel.Nifti1Image(values.reshape(shape), np.eye(4)), tmp_path / f"{name}.nii")
        found = read(tmp_path / f"{name}.nii")
        assert found.shape == (5, 4)
        # Rows: from front to back, or from head to feet; columns: from right to left, or from front to back.
        assert np.array_equal(found, values[::-1, ::-1].T), name


def test_nifti_values_are_scaled_as_the_header_says(tmp_path: Path) -> None:
    values = volume()
    image = nibabel.Nifti1Image(values.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0]))
    image.header.set_slope_inter(2.0, -100.0)
    nibabel.save(image, tmp_path / "a.nii")
    loaded = nibabel.load(tmp_path / "a.nii").get_fdata().transpose(2, 1, 0)
    expected = np.rint(np.clip((loaded + 500) / 1000, 0, 1) * 255)
    assert np.array_equal(read(tmp_path / "a.nii", Window(0, 1000)), expected)


def test_nifti_of_bytes_and_colours_stays_as_it_is(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (5, 6, 4), np.uint8)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    assert np.array_equal(read(tmp_path / "a.nii"), values[::-1, ::-1].transpose(2, 1, 0))
    rgb = np.zeros((5, 6, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    rgb["G"] = values
    nibabel.save(nibabel.Nifti1Image(rgb, np.eye(4)), tmp_path / "b.nii")
    assert np.array_equal(read(tmp_path / "b.nii")[..., 1], values[::-1, ::-1].transpose(2, 1, 0))
    gaps = values.astype(np.float32)
    gaps[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(gaps, np.eye(4)), tmp_path / "c.nii")
    assert read(tmp_path / "c.nii")[0, -1, -1] == 0


def test_real_files_of_nibabel() -> None:
    path = Path(nibabel.__file__).parent / "tests" / "data" / "anatomical.nii"
    canonical = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata()
    low, high = np.percentile(canonical, (0.5, 99.5))
    expected = np.rint(np.clip((canonical - low) / (high - low), 0, 1) * 255)
    assert np.array_equal(read(path), expected[::-1, ::-1].transpose(2, 1, 0))


def test_frames_and_pages_are_a_volume(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (6, 9, 8), np.uint8)
    for path in (write_dicom(tmp_path / "a.dcm", values), write_tiff(tmp_path / "a.tif", values)):
        assert np.array_equal(read(path), values)
        assert np.array_equal(read(path, frame=2), values[1])
        assert np.array_equal(read(path, frame="middle"), values[3])
        with pytest.raises(ValueError, match=r"has 6 slice\(s\), and frame=7 is asked for"):
            read(path, frame=7)
    deep = values.astype(np.uint16) * 100
    low, high = np.percentile(deep, (0.5, 99.5))
    expected = np.rint(np.clip((deep - low) / (high - low), 0, 1) * 255)
    assert np.array_equal(read(write_tiff(tmp_path / "b.tif", deep)), expected)


def enhanced(tmp_path: Path, values: np.ndarray) -> Path:
    """A file of several frames, last one first, with positions, rescaling and window in its functional groups."""

    def group(**sequences: dict[str, Any]) -> Dataset:
        item = Dataset()
        for name, elements in sequences.items():
            inner = Dataset()
            for key, value in elements.items():
                setattr(inner, key, value)
            setattr(item, name, [inner])
        return item

    shared = group(
        PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        PixelValueTransformationSequence={"RescaleSlope": 2, "RescaleIntercept": -500},
        FrameVOILUTSequence={"WindowCenter": 100, "WindowWidth": 800},
    )
    frames = [group(PlanePositionSequence={"ImagePositionPatient": [0, 0, 5.0 * z]}) for z in range(len(values))]
    return write_dicom(
        tmp_path / "enhanced.dcm",
        values[::-1],
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames[::-1],
    )


def test_an_enhanced_file_is_read_by_its_functional_groups(tmp_path: Path) -> None:
    values = RNG.integers(0, 1000, (5, 8, 8)).astype(np.uint16)
    rescaled = values * 2.0 - 500
    expected = np.rint(np.clip((rescaled - (99.5 - 399.5)) / 799, 0, 1) * 255)
    assert np.array_equal(read(enhanced(tmp_path, values)), expected)


def _two_series(folder: Path) -> list[Path]:
    write_series(folder, volume())
    write_series(folder / "x", volume(), SeriesInstanceUID="1.2.3")
    return [*sorted(p for p in folder.iterdir() if p.is_file()), *sorted((folder / "x").iterdir())]


def _two_phases(folder: Path) -> list[Path]:
    write_series(folder, volume())
    write_series(folder / "x", volume())
    return [*sorted(p for p in folder.iterdir() if p.is_file()), *sorted((folder / "x").iterdir())]


def _two_sizes(folder: Path) -> list[Path]:
    write_series(folder, volume())
    write_dicom(folder / "z", np.zeros((3, 3), np.int16))
    return sorted(folder.iterdir())


def _four_axes(folder: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 6), np.int16), np.eye(4)), folder / "a.nii")
    return folder / "a.nii"


def _cut(folder: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(volume(), np.eye(4)), folder / "a.nii.gz")
    (folder / "a.nii.gz").write_bytes((folder / "a.nii.gz").read_bytes()[:900])
    return folder / "a.nii.gz"


def _lying(folder: Path) -> Path:
    """A header that says 32,000³ values, in a file of a few bytes."""
    nibabel.save(nibabel.Nifti1Image(volume(), np.eye(4)), folder / "a.nii")
    content = bytearray((folder / "a.nii").read_bytes())
    content[42:48] = np.array([32000] * 3, "<i2").tobytes()
    (folder / "a.nii").write_bytes(bytes(content))
    return folder / "a.nii"


def _text(folder: Path) -> Path:
    (folder / "a.dcm").write_text("no image")
    return folder / "a.dcm"


BAD: dict[str, tuple[Callable[[Path], Path | list[Path]], str]] = {
    "two series": (_two_series, "its 14 files are of 2 series"),
    "two phases": (_two_phases, "two slices lie at one position"),
    "two sizes": (_two_sizes, "its 8 files are of 2 sizes"),
    "a plan": (lambda folder: testdata("rtplan.dcm"), "no image, but RTPLAN without pixels"),
    "a cut file": (lambda folder: testdata("MR_truncated.dcm"), "number of bytes of pixel data is less than expected"),
    "a codec that is missing": (lambda folder: testdata("MR_small_jpeg_ls_lossless.dcm"), "plugins are missing"),
    "text": (_text, "no DICOM file: the mark DICM"),
    "four axes": (_four_axes, "write each volume to a file of its own"),
    "cut NIfTI": (_cut, ""),
    "a NIfTI series": (lambda folder: [_lying(folder)] * 2, "no slice of a series"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_one_of_the_errors_that_are_listed(case: str, tmp_path: Path) -> None:
    make, message = BAD[case]
    path = make(tmp_path)
    with pytest.raises(ERRORS) as caught:
        read(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_that_says_too_much_is_known_before_it_is_read(tmp_path: Path) -> None:
    look = FileReader().look(ImageSource("a.nii", (_lying(tmp_path),)))
    assert look.pixels == 32000**3


def test_a_deflated_bomb_is_refused_before_pydicom_inflates_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = testdata("image_dfl.dcm").read_bytes()
    start = 132 + 12 + int(pydicom.dcmread(testdata("image_dfl.dcm")).file_meta.FileMetaInformationGroupLength)
    plain = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(plain + bytes(2**24)) + packer.flush()
    (tmp_path / "bomb.dcm").write_bytes(content[:start] + packed)
    monkeypatch.setattr(dicom, "MOST_DEFLATED", len(plain))
    assert read(testdata("image_dfl.dcm")).shape == (512, 512)
    monkeypatch.setattr(pydicom, "dcmread", None)
    with pytest.raises(ValueError, match="bytes when inflated"):
        FileReader().look(ImageSource("a", (tmp_path / "bomb.dcm",)))


@pytest.mark.parametrize(("module", "kind"), [("pydicom", "DICOM"), ("nibabel", "NIfTI")])
def test_a_library_that_is_missing_is_one_line(
    module: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _lying(tmp_path) if kind == "NIfTI" else write_dicom(tmp_path / "a.dcm", volume()[0])
    importing = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.split(".")[0] == module:
            raise ModuleNotFoundError(name)
        return importing(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=rf"{kind} files are read by {module}, which is missing: pip install .*images"):
        FileReader().look(ImageSource("a", (path,)))


def test_looks_say_what_is_stretched_by_percentiles(tmp_path: Path) -> None:
    def look(path: Path, window: Window | None = None) -> Look:
        return FileReader(window).look(ImageSource("a", (path,)))

    deep = write_tiff(tmp_path / "a.tif", np.zeros((4, 4), np.uint16))
    assert look(deep).by_percentiles
    assert not look(deep, Window(1, 2)).by_percentiles
    assert look(testdata("CT_small.dcm")).by_percentiles
    assert not look(testdata("MR_small.dcm")).by_percentiles
    assert not look(testdata("image_dfl.dcm")).by_percentiles
