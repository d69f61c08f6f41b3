"""The live page admits nothing but loopback without a token, and no page of another site."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from analysis.web_requests import is_loopback
from sweeps.dashboard.access import COOKIE, HEADERS, TOKEN, Guard, find_token
from sweeps.dashboard.serve import serve
from trainables.errors import InputError

SECRET = "0123456789abcdef0123"


def client(token: str = "", host: str = "localhost:8088") -> TestClient:
    guard = Guard(PlainTextResponse("the page"), token)
    return TestClient(guard, base_url=f"http://{host}", follow_redirects=False)


@pytest.mark.parametrize("host", ["localhost:8088", "127.0.0.1:9000", "[::1]:8088", "LOCALHOST", "127.8.8.8"])
def test_this_machine_is_reached_by_its_own_names_and_through_tunnels(host: str) -> None:
    answer = client(host=host).get("/")
    assert answer.status_code == 200
    assert set(HEADERS) <= set(answer.headers)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8088", "10.0.0.7:8088", "0.0.0.0", ""])
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    answer = client().get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "the page" not in answer.text
    assert set(HEADERS) <= set(answer.headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"origin": "http://[localhost:8088"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    ],
)
@pytest.mark.parametrize("token", ["", SECRET])
def test_a_page_of_another_site_is_refused(headers: dict[str, str], token: str) -> None:
    given = {"authorization": f"Bearer {token}"} if token else {}
    assert client(token).get("/", headers={**headers, **given}).status_code == 403
    assert client(token).post("/", headers={**headers, **given}).status_code == 403


def test_a_link_from_another_site_may_open_the_page_and_change_nothing() -> None:
    navigates = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client().get("/", headers=navigates).status_code == 200
    assert client().post("/", headers=navigates).status_code == 403


def test_a_change_needs_the_pages_own_origin() -> None:
    assert client().post("/").status_code == 403
    assert client().post("/", headers={"origin": "http://localhost:8088"}).status_code == 200


@pytest.mark.parametrize("given", ["", "Bearer", f"Bearer {SECRET}x", f"Basic {SECRET}", f"Bearer {SECRET[:-1]}"])
def test_without_the_token_nothing_is_shown(given: str) -> None:
    answer = client(SECRET, "10.0.0.7:8088").get("/", headers={"authorization": given} if given else {})
    assert answer.status_code == 401
    assert "the page" not in answer.text
    assert client(SECRET).get("/?token=wrong").status_code == 401
    assert client(SECRET).get("/", headers={"cookie": f"{COOKIE}={SECRET}"}).status_code == 401


def test_the_token_becomes_a_cookie_at_its_first_use() -> None:
    browser = client(SECRET, "10.0.0.7:8088")
    answer = browser.get(f"http://10.0.0.7:8088//run/a?x=1&token={SECRET}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/run/a?x=1")
    cookie = answer.headers["set-cookie"]
    assert SECRET not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert browser.get("/run/a").text == "the page"
    assert client(SECRET).get("/", headers={"authorization": f"Bearer {SECRET}"}).text == "the page"


def test_a_pipe_in_the_place_of_a_token_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(InputError, match="16 or more characters"):
        find_token(tmp_path / "pipe")


def test_a_token_is_made_for_its_owner_alone_and_one_that_others_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    token = find_token(file)
    assert len(token) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert find_token(file) == token
    file.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        find_token(file)
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(InputError, match="cannot be read"):
        find_token(tmp_path / "link")
    monkeypatch.setenv(TOKEN, "short")
    with pytest.raises(InputError, match="16 or more characters"):
        find_token(None)
    monkeypatch.setenv(TOKEN, SECRET)
    assert find_token(None) == SECRET


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "::", "example.org"])
def test_another_host_than_loopback_needs_a_token(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert not is_loopback(host)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with pytest.raises(InputError, match="token"):
        serve(str(tmp_path), host, 0, None, False, False)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
