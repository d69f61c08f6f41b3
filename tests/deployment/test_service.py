"""`python -m deployment.serve`: the same answers as `deployment.predict`, who may ask, what is refused and how."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import signal
import socket
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy
from PIL import Image
from typer.testing import CliRunner

from analysis.web_requests import is_loopback
from deployment.export import write_exports
from deployment.formats.opening import open_artefact
from deployment.predict import app as predict
from deployment.serve import app as serve
from deployment.serve import host_names
from deployment.service.settings import Settings, check_reach, read_token
from deployment.trial_network.network import DeployedNetwork
from tests.support.deployed import drawn_network, made_data
from trainables.errors import InputError

pytest.importorskip("fastapi")
import uvicorn
from starlette.testclient import TestClient

from deployment.service.run_server import app_of
from deployment.service.run_server import run as run_server

SIDE = 12
TOKEN = "a token of 16 and more".replace(" ", "-")
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture(scope="module")
def network() -> DeployedNetwork:
    return drawn_network(made_data((SIDE, SIDE, 3), "multi-class", 3), {"model": "cnn", "width": 2, "depth": 1})


@pytest.fixture(scope="module")
def model(network: DeployedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    write_exports(network, folder, ["onnx"])
    return folder / "model.onnx"


def client_of(model: Path, settings: Settings) -> TestClient:
    return TestClient(
        app_of(open_artefact(model), settings), base_url="http://localhost", raise_server_exceptions=False
    )


@pytest.fixture(scope="module")
def client(model: Path) -> Iterator[TestClient]:
    with client_of(model, Settings(images=8, body=200_000, pixels=40_000)) as made:
        yield made


def png(image: np.ndarray, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, kind)
    return content.getvalue()


def files_of(*contents: bytes) -> Files:
    return [("images", (f"{number}.png", content)) for number, content in enumerate(contents)]


def test_answers_are_those_of_predict(
    client: TestClient, model: Path, network: DeployedNetwork, tmp_path: Path
) -> None:
    images = network.data.splits["test"].images[:4]
    for number, image in enumerate(images):
        (tmp_path / f"{number}.png").write_bytes(png(image))
    plain = json.loads(CliRunner().invoke(predict, [str(model), str(tmp_path), "--json"]).output)
    answer = client.post("/predict", files=files_of(*map(png, images))).json()
    assert answer["model"] == plain["model"]
    assert answer["notice"] == "for research use only"
    for found, expected in zip(answer["images"], plain["images"], strict=True):
        assert found.pop("image") == Path(expected.pop("image")).name
        for key in ("confidence", "calibrated", "uncertainty"):
            assert found.pop(key) == pytest.approx(expected.pop(key), abs=1e-6)
        assert found.pop("probabilities") == pytest.approx(expected.pop("probabilities"), abs=1e-6)
        assert found == expected


def test_files_are_taken_by_their_content_whatever_their_name(client: TestClient, network: DeployedNetwork) -> None:
    image = network.data.splits["test"].images[0]
    array = io.BytesIO()
    np.savez_compressed(array, images=network.data.splits["test"].images[:2])
    kinds = [png(image), png(image, "TIFF"), png(image, "JPEG"), array.getvalue()]
    files = [("images", ("../../etc/\x1b[31mpasswd\n", content)) for content in kinds]
    rows = client.post("/predict", files=files).json()["images"]
    assert [row["fault"] for row in rows] == [""] * 5
    assert len({row["answer"][0] for row in (rows[0], rows[1], rows[3])}) == 1
    assert all("\x1b" not in row["image"] and "\n" not in row["image"] for row in rows)


def bomb(shape: tuple[int, ...]) -> bytes:
    """An npz file whose header promises more than it holds."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as member:
        npy.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return content.getvalue()


def tiff_of_pages(count: int) -> bytes:
    content = io.BytesIO()
    pages = [Image.new("L", (1, 1))] * count
    pages[0].save(content, "TIFF", save_all=True, append_images=pages[1:])
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>no image</html>", "is no PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run", "is no PNG, JPEG"),
        (png(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8))[:300], "0.png: "),
        (png(np.zeros((201, 200), np.uint8)), "40,200 values; at most 40,000 are read"),
        (bomb((10**6, SIDE, SIDE, 3)), "432,000,000 values"),
        (bomb((2, SIDE, SIDE, 3)), "0.png: "),
        (tiff_of_pages(1025), "more than 1024 pages"),
        (gzip.compress(bytes(40_000 * 16 + 1), mtime=0), "bytes when unpacked"),
        (gzip.compress(b"x", mtime=0)[:12], "0.png: "),
        (bytes(128) + b"DICM" + bytes(64), "0.png: "),
        (b"PK\x03\x04nothing", "0.png"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_without_a_path(client: TestClient, content: bytes, said: str) -> None:
    found = client.post("/predict", files=files_of(content))
    assert found.status_code == 422, found.text
    error = found.json()["error"]
    assert said in error["message"]
    assert error["code"] == "unreadable"
    assert "/tmp" not in found.text
    assert "sweeps-upload" not in found.text


def test_an_unreadable_file_leaves_the_others_answered(client: TestClient, network: DeployedNetwork) -> None:
    good = png(network.data.splits["train"].images[0])
    found = client.post("/predict", files=files_of(good, b"bad", good))
    assert found.status_code == 200
    assert [bool(row["answer"]) for row in found.json()["images"]] == [True, False, True]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"content": bytes(200_001)}, 413, "too_large"),
        ({"content": b"x", "headers": {"Content-Type": "image/png"}}, 415, "unsupported_type"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_request"),
        (
            {
                "content": b"--x\r\nA: b\r\n\r\nc\r\n--x--",
                "headers": FORM,
            },
            400,
            "bad_request",
        ),
        ({"data": {"images": "text"}, "files": [("other", b"x")]}, 400, "no_images"),
        ({"files": files_of(*[b"x"] * 9)}, 400, "bad_request"),
        ({"data": {"x": "y" * 2000}, "files": files_of(b"x")}, 400, "bad_request"),
    ],
)
def test_requests_that_are_not_ours_get_a_code_and_a_sentence(
    client: TestClient, sent: dict[str, object], status: int, code: str
) -> None:
    found = client.post("/predict", **sent)  # type: ignore[arg-type]
    assert (found.status_code, found.json()["error"]["code"]) == (status, code)
    assert found.json()["error"]["request"] == found.headers["x-request-id"]


def test_a_body_without_a_length_is_counted_while_it_comes(client: TestClient) -> None:
    given = 0

    def endless() -> Iterator[bytes]:
        nonlocal given
        for _ in range(10_000):
            given += 1
            yield bytes(10_000)

    found = client.post("/predict", content=endless(), headers=FORM)
    assert found.status_code == 413
    assert client.get("/ready").status_code == 200


def test_more_images_than_allowed_in_one_array_are_refused(client: TestClient) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, images=np.zeros((9, SIDE, SIDE, 3), np.uint8))
    found = client.post("/predict", files=files_of(content.getvalue()))
    assert (found.status_code, found.json()["error"]["code"]) == (413, "too_many_images")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8000"}, 200), ({"Host": "[::1]:8000"}, 200), ({"Host": "LOCALHOST"}, 200),
        ({"Host": "rebound.example"}, 421), ({"Host": ""}, 421), ({"Host": "localhost.example"}, 421),
        ({"Host": "localhost@evil"}, 421), ({"Origin": "http://localhost"}, 200), ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403), ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200), ({"Sec-Fetch-Site": "none"}, 200),
    ],
)  # fmt: skip
def test_other_names_and_other_sites_are_refused(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.get("/model", headers=headers).status_code == status


def test_probes_are_answered_under_any_name_and_the_page_may_be_linked_to(client: TestClient) -> None:
    assert client.get("/health", headers={"Host": "10.0.0.7:8000"}).json() == {"status": "alive"}
    assert client.get("/ready", headers={"Host": "10.0.0.7:8000"}).json() == {"status": "ready"}
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=followed).status_code == 200
    assert client.get("/model", headers=followed).status_code == 403


def test_a_token_is_asked_for_and_nothing_is_said_without(model: Path) -> None:
    with client_of(model, Settings(token=TOKEN)) as client:
        for route in ("/model", "/metrics", "/openapi.json", "/nothing"):
            assert client.get(route).status_code == 401
        assert client.post("/predict", files=files_of(b"x")).headers["www-authenticate"] == "Bearer"
        for wrong in (TOKEN, f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer ü"):
            headers = {"Authorization": wrong.encode("latin-1")}
            assert client.get("/model", headers=headers).status_code == 401  # type: ignore[arg-type]
        assert client.get("/model", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        page = client.get("/")
        assert page.status_code == 200
        assert "class 0" not in page.text
        assert 'type="password"' in page.text


def test_a_token_comes_from_a_file_of_its_owner_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o640)
    with pytest.raises(InputError, match="can be read by others"):
        read_token(file)
    file.chmod(0o600)
    assert read_token(file) == TOKEN
    monkeypatch.setenv("SWEEPS_SERVE_TOKEN", "short")
    with pytest.raises(InputError, match="16 printable ASCII characters") as found:
        read_token(None)
    assert "short:" not in str(found.value)
    file.write_text("")
    with pytest.raises(InputError, match="16 printable"):
        read_token(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_token(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe", 0o600)
    monkeypatch.delenv("SWEEPS_SERVE_TOKEN")
    assert read_token(None) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "scans.example"])
def test_no_host_but_loopback_is_listened_on_without_a_token(host: str, model: Path) -> None:
    with pytest.raises(InputError, match="give a token"):
        check_reach(host, None)
    check_reach(host, TOKEN)
    found = CliRunner().invoke(serve, [str(model), "--host", host], env={"SWEEPS_SERVE_TOKEN": ""})
    assert isinstance(found.exception, InputError)


def test_loopback_is_known_and_names_follow_from_the_host() -> None:
    assert [host for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "x") if is_loopback(host)] == [
        "localhost", "127.0.0.1", "127.9.9.9", "::1",
    ]  # fmt: skip
    assert host_names("0.0.0.0", ["Scans.example"]) == ("localhost", "127.0.0.1", "[::1]", "scans.example")
    assert host_names("fd00::1", []) == ("localhost", "127.0.0.1", "[::1]", "[fd00::1]")


def test_the_log_names_requests_and_neither_files_nor_controls(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "deployment.serve")
    client.post("/predict", files=[("images", ("secret-patient.png", b"x"))], headers={"X-Request-ID": "mine-1"})
    client.get("/a%0d%0aINFO%20forged%1b[31m", headers={"X-Request-ID": "bad id\t"})
    client.get("/model?token=hidden")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0].startswith("request=mine-1 client=")
    assert "status=422" in lines[0]
    assert "code=unreadable" in lines[0]
    assert "path=/a\\r\\nINFO forged\\x1b[31m status=404" in lines[1]
    assert "bad id" not in lines[1]
    assert not any("secret" in line or "hidden" in line or "\n" in line for line in lines)


def test_metrics_count_what_happened(model: Path, network: DeployedNetwork) -> None:
    images = [png(image) for image in network.data.splits["train"].images]
    with client_of(model, Settings()) as client:
        for start in (0, 35):
            client.post("/predict", files=files_of(*images[start : start + 35]))
        before = client.get("/metrics").text
        assert 'medsweeps_input_drift{statistic="brightness"} NaN' in before
        client.post("/predict", files=files_of(*images[:35]))
        client.post("/predict", files=files_of(b"x"))
        client.get("/what/is/this")
        white = png(np.full((SIDE, SIDE, 3), 255, np.uint8))
        client.post("/predict", files=files_of(white))
        text = client.get("/metrics").text
    assert 'medsweeps_requests_total{route="/predict",status="200"} 4.0' in text
    assert 'medsweeps_requests_total{route="other",status="404"} 1.0' in text
    assert 'medsweeps_refused_total{code="unreadable"} 1.0' in text
    assert 'medsweeps_images_total{outcome="answered"} 106.0' in text
    assert 'medsweeps_images_total{outcome="unreadable"} 1.0' in text
    assert "medsweeps_images_unlike_training_total 1.0" in text
    assert f'medsweeps_input_outside_training{{statistic="brightness"}} {1 / 106}' in text
    drift = float(text.split('medsweeps_input_drift{statistic="contrast"} ')[1].split()[0])
    assert 0 <= drift < 0.2


@pytest.mark.parametrize("settings", [Settings(connections=0), Settings(queue=0)])
def test_too_much_at_once_is_refused_with_when_to_come_again(model: Path, settings: Settings) -> None:
    with client_of(model, settings) as client:
        found = client.post("/predict", files=files_of(b"x"))
        assert (found.status_code, found.json()["error"]["code"]) == (503, "busy")
        assert int(found.headers["retry-after"]) >= 1
        assert client.get("/ready").status_code == 503


def test_a_failure_is_said_without_its_stack(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    artefact = open_artefact(model)

    def fail(images: np.ndarray) -> np.ndarray:
        raise RuntimeError(f"{model} broke")

    app = app_of(replace(artefact, run=fail), Settings())
    image = png(np.zeros((SIDE, SIDE, 3), np.uint8))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        found = client.post("/predict", files=files_of(image))
        assert (found.status_code, found.json()["error"]["code"]) == (500, "failed")
        assert str(model) not in found.text
        assert "broke" in caplog.text
        assert client.get("/health").status_code == 200


def test_the_page_has_no_assets_of_others_and_its_script_alone_may_run(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert page.text.count(f'nonce="{nonce}"') == 2
    assert "default-src 'none'" in policy
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "class 0, class 1, class 2" in page.text
    assert client.get("/").headers["content-security-policy"] != policy


def test_names_of_classes_are_text_in_the_page(model: Path) -> None:
    artefact = open_artefact(model)
    metadata = artefact.metadata.model_copy(update={"class_names": ("<script>alert(1)</script>", "b", "c")})
    with TestClient(app_of(replace(artefact, metadata=metadata), Settings()), base_url="http://localhost") as client:
        assert "<script>alert" not in client.get("/").text


def test_openapi_describes_the_upload_and_the_answers(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    post = document["paths"]["/predict"]["post"]
    field = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["images"]
    assert field == {"type": "array", "items": {"type": "string", "format": "binary"}}
    assert post["responses"]["503"]["content"]["application/json"]["schema"]["$ref"].endswith("ErrorAnswer")
    assert "probabilities" in document["components"]["schemas"]["ImageAnswer"]["properties"]
    assert client.get("/docs").status_code == 404


def test_the_card_of_a_registered_model_is_shown(model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(model.read_bytes())
    (tmp_path / "extra_files").mkdir()
    (tmp_path / "extra_files" / "MODEL_CARD.md").write_text("# breast 1.0.0\n")
    with client_of(tmp_path / "model.onnx", Settings()) as client:
        assert client.get("/model").json()["card"] == "# breast 1.0.0\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_the_server_takes_signals_is_not_lost(
    number: int, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        signal.raise_signal(number)
        asked.append(server.should_exit)
        sockets[0].close()

    asked: list[bool] = []
    monkeypatch.setattr("uvicorn.Server.run", run)
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        run_server(open_artefact(model), Settings(port=0))
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert asked == [True]
