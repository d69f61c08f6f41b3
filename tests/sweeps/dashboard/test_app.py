"""The live page answers from a run's files alone, whatever stands in them, and without a write."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient

from analysis import table
from analysis.browser_figures.curves_and_panels import figure
from analysis.evaluation.predictions import prediction_rows
from analysis.page.parts import Plotted, Section
from analysis.page.render import part_html
from analysis.runs.lease import hold
from analysis.runs.run_folder import RunFolder
from sweeps.dashboard.app import Page, make_app
from sweeps.dashboard.computed_sections import ComputedSections, Sections
from sweeps.dashboard.files import Found, end_of_log, pictures_of
from sweeps.dashboard.results import Results
from sweeps.dashboard.sections_program import _write_all
from sweeps.dashboard.trial_sections import _evaluation, _evaluation_figures, trial_sections
from sweeps.live_run.followed_run import FollowedRun
from sweeps.record.ledger import Ledger
from sweeps.record.state import RunState, read_state
from tests.support.drawn_predictions import drawn
from tests.sweeps.dashboard.shown_runs import HOSTILE, hostile, played
from trainables.errors import InputError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return played(tmp_path_factory.mktemp("results"), 20, open_trials=2)


def client(storage: Path, control: bool = False) -> TestClient:
    page = Page(Results(storage), control)
    return TestClient(make_app(page), base_url="http://localhost:8088", headers={"origin": "http://localhost:8088"})


@pytest.fixture
def browser(run: RunFolder) -> Iterator[TestClient]:
    with client(run.path.parent.parent) as found:
        yield found


def api(run: RunFolder) -> str:
    return f"/api/run/{run.sweep}/{run.run_id}"


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}


def column(answer: Any, name: str) -> list[Any]:
    (found,) = [one["values"] for one in answer["trials"]["columns"] if one["name"] == name]
    return list(found)


def test_everything_is_read_and_nothing_written(browser: TestClient, run: RunFolder) -> None:
    before = everything_in(run.path)
    pages = ["/", f"/run/{run.sweep}/{run.run_id}", f"/trial/{run.sweep}/{run.run_id}/0003", "/api/runs"]
    pages += [f"{api(run)}/{name}" for name in ("changes", "stops", "log", "figure/curves", "figure/timeline")]
    pages += [f"{api(run)}/figure/coordinates", f"/api/trial/{run.sweep}/{run.run_id}/0003/figure/gradients"]
    for path in pages:
        assert browser.get(path).status_code == 200, path
    assert everything_in(run.path) == before


def test_the_table_has_each_trial_with_its_best_epoch(browser: TestClient, run: RunFolder) -> None:
    answer = browser.get(f"{api(run)}/changes").json()
    state = read_state(run.ledger)
    assert column(answer, "trial") == list(state.trials)
    assert column(answer, "status") == [trial.status for trial in state.trials.values()]
    means = [[mean["val_auc"] for mean in trial.means] for trial in state.trials.values()]
    assert column(answer, "val_auc") == pytest.approx([max(values) for values in means])
    assert column(answer, "best epoch") == [values.index(max(values)) + 1 for values in means]
    assert (answer["head"]["ended"], answer["head"]["planned"]) == (18, 20)


def test_while_trials_are_to_come_nothing_of_the_test_split_is_shown(browser: TestClient, run: RunFolder) -> None:
    answer = browser.get(f"{api(run)}/changes").text
    trial = browser.get(f"/api/trial/{run.sweep}/{run.run_id}/0003/figure/curves").text
    assert "val_acc" in answer
    assert "test_" not in answer + trial
    assert browser.get(f"{api(run)}/figure/curves?metric=test_auc").status_code == 404


def test_runs_are_compared_without_the_test_split_until_all_have_ended(
    browser: TestClient, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = run.path.with_name("other")
    shutil.copytree(run.path, other)
    given: list[bool] = []
    monkeypatch.setattr(ComputedSections, "of", lambda self, runs, running: given.append(running) or Sections(()))
    for ends in (True, False):
        monkeypatch.setattr(RunState, "ended", property(lambda state, ends=ends: ends))
        path = f"/api/compare?run={run.sweep}/{run.run_id}&run={run.sweep}/other"
        assert browser.get(path).status_code == 200
    shutil.rmtree(other)
    assert given == [False, True]


def test_only_what_has_changed_is_sent_again(tmp_path: Path) -> None:
    run = played(tmp_path, 12, open_trials=2)
    followed = FollowedRun(run)
    followed.look()
    first = followed.changes(0, 0)
    assert len(first.trials) == 12
    assert followed.changes(first.epoch, first.since).trials == []
    ledger = Ledger(run.ledger)
    ledger.append("completed", trial_id="0011", reason="trained all 4 epochs")
    ledger.close()
    followed._looked = -1.0
    followed.look()
    then = followed.changes(first.epoch, first.since)
    assert [(trial.trial_id, trial.status) for trial in then.trials] == [("0011", "completed")]
    # another ledger in its place: all is new
    run.ledger.write_bytes(b"".join(run.ledger.read_bytes().splitlines(keepends=True)[:5]))
    followed._looked = -1.0
    followed.look()
    again = followed.changes(then.epoch, then.since)
    assert again.epoch != then.epoch
    assert len(again.trials) == 5


@pytest.mark.parametrize(
    "path",
    [
        "/run/growth/none", "/run/../etc", "/run/growth/..%2F..", "/trial/growth/RUN/9999",
        "/files/growth/RUN/../run.json",
        "/files/growth/RUN/%2e%2e/run.json", "/files/growth/RUN/..%2f..%2fsecret", "/files/growth/RUN/.lease",
        "/files/growth/RUN/link.json", "/files/growth/RUN/folder/run.json", "/files/growth/RUN/trials",
        "/static/app.py",
        "/static/..%2fapp.py", "/compare?run=growth/RUN", "/compare?run=growth/RUN&run=growth/../x",
        "/api/run/growth/RUN/figure/x",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(path: str, browser: TestClient, run: RunFolder) -> None:
    (run.path.parent.parent / "secret").write_text("hidden")
    for link, target in (("link.json", run.path.parent.parent / "secret"), ("folder", run.path.parent)):
        if not (run.path / link).is_symlink():
            (run.path / link).symlink_to(target)
    answer = browser.get(path.replace("RUN", run.run_id))
    assert answer.status_code == 404
    assert "hidden" not in answer.text
    assert str(run.path.parent) not in answer.text


def test_files_are_sent_as_what_cannot_run(browser: TestClient, run: RunFolder) -> None:
    kinds = {
        "page.html": "application/octet-stream",
        "x.svg": "application/octet-stream",
        "a.txt": "text/plain; charset=utf-8",
    }
    for name, kind in kinds.items():
        (run.path / name).write_text("<script>1</script>")
        answer = browser.get(f"/files/{run.sweep}/{run.run_id}/{name}")
        assert (answer.headers["content-type"], answer.text) == (kind, "<script>1</script>")
        assert "sandbox" in answer.headers["content-security-policy"]
        (run.path / name).unlink()
    os.mkfifo(run.path / "pipe")
    assert browser.get(f"/files/{run.sweep}/{run.run_id}/pipe").status_code == 404
    (run.path / "pipe").unlink()


def test_hostile_names_are_text(tmp_path: Path) -> None:
    run = hostile(tmp_path)
    with client(tmp_path) as browser:
        page = browser.get(f"/run/{run.sweep}/{run.run_id}").text
        head = browser.get(f"{api(run)}/changes").json()["head"]["html"]
    for text in (page, *head.values()):
        assert "<b>relu" not in text
        assert "<img" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "&lt;b&gt;relu&lt;/b&gt;" in page
    assert "\\x1b[31m" in page
    assert HOSTILE not in json.dumps(head, ensure_ascii=False)


def test_a_file_behind_a_link_is_not_shown_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Somebody else's run, whose log or evaluation is a link to a file of the reader's."""
    run = played(tmp_path / "results", 4)
    secret = tmp_path / "key"
    secret.write_text("secret")
    run.log.unlink(missing_ok=True)
    run.log.symlink_to(secret)
    assert end_of_log(run) == ""
    run.log.unlink()
    os.mkfifo(run.log)
    assert end_of_log(run) == ""
    evaluation = run.evaluation_of("0001")
    evaluation.path.mkdir(parents=True)
    evaluation.report.symlink_to(secret)
    trial = read_state(run.ledger).trials["0001"]
    with pytest.raises(InputError, match="no such file in this run"):
        _evaluation(run, trial)
    evaluation.report.unlink()
    evaluation.report.write_text("AUC 0.9")
    assert "AUC 0.9" in repr(_evaluation(run, trial))
    assert _evaluation_figures(run, trial) is None
    evaluation.predictions.symlink_to(secret)
    evaluation.metrics.write_text("{}")
    with pytest.raises(InputError, match="no such file in this run"):
        _evaluation_figures(run, trial)


def test_an_evaluated_trial_has_the_figures_of_the_report(tmp_path: Path) -> None:
    run = played(tmp_path / "results", 4)
    folder = run.evaluation_of("0001")
    folder.path.mkdir(parents=True)
    (val,), (test,) = (drawn("binary-class", 2, seeds=1, split=split) for split in ("val", "test"))
    rows = ({"trial_id": "0001", **row} for part in (val, test) for row in prediction_rows(part))
    table.write(folder.predictions, "predictions", rows, {"task": test.task, "class_names": list(test.class_names)})
    trial = read_state(run.ledger).trials["0001"]
    with pytest.raises(InputError, match="no such file in this run"):
        _evaluation_figures(run, trial)
    document = {"run": "a/b", "trial": "0001", "split": "test", "images": len(test), "figures": {}}
    folder.metrics.write_text(json.dumps(document))
    section = _evaluation_figures(run, trial)
    assert section
    html = "".join(part_html(part, interactive=True) for part in section.parts)
    assert html.count('class="plot"') == 5
    assert "&lt;b&gt;normal" in html
    folder.metrics.write_text("[")
    with pytest.raises(InputError, match=r"metrics.json cannot be read: evaluate the trial again"):
        _evaluation_figures(run, trial)


@pytest.mark.parametrize("open_trials", [0, 1])
def test_an_evaluation_is_held_back_until_all_trials_have_ended(open_trials: int, tmp_path: Path) -> None:
    run = played(tmp_path / "results", 4, open_trials=open_trials)
    evaluation = run.evaluation_of("0001")
    evaluation.path.mkdir(parents=True)
    evaluation.report.write_text("AUC 0.9")
    shown = repr([build() for build in trial_sections(run, "0001")])
    page = client(tmp_path / "results").get(f"/trial/{run.sweep}/{run.run_id}/0001").text
    assert ("report.txt" in page) == (not open_trials)
    assert ("AUC 0.9" in shown) == (not open_trials)
    assert ("Shown when all trials have ended" in shown) == bool(open_trials)


def test_a_section_that_cannot_be_drawn_takes_no_other_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    draws: dict[str, Any] = {"a": lambda: 1 / 0, "b": lambda: figure([])}
    sections = [Section(name, name, (Plotted(draw, "x"),)) for name, draw in draws.items()]
    _write_all(partial(next, iter([section])) for section in sections)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "ZeroDivisionError" in first["html"]
    assert second["name"] == "b"


def test_pictures_stand_by_what_they_are_of() -> None:
    names = [
        "trials/a/training_curves.png", "trials/a/x.png", "evaluation/1/roc.png", "evaluation/1/correct_incorrect.png",
        "evaluation/1/explain/map_a.jpg", "evaluation/1/report.txt",
    ]  # fmt: skip
    found = pictures_of([Found(name, "1 kB") for name in names])
    shown = {title: [file.words for file in files] for title, files in found.items()}
    assert shown == {"Pictures": ["x"], "Evaluation": ["correct incorrect"], "Explanation": ["map a"]}


def test_without_control_nothing_can_be_asked(browser: TestClient, run: RunFolder) -> None:
    answer = browser.post(f"{api(run)}/ask", content='{"kind": "end_run"}')
    assert answer.status_code == 403
    assert not run.requests.exists()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('{"kind": "end_run"}', 200), ('{"kind": "stop_trial", "trial_id": "0020"}', 200), ("", 400), ("[]", 400),
        ('{"kind": "stop_trial", "trial_id": "../../x"}', 404), ('{"kind": "delete"}', 400), ("{" + " " * 5000, 413),
        ('{"kind": "add_values", "values": "lr=0.1,<b>"}', 200), ('{"kind": "add_values", "values": ""}', 400),
        ('{"kind": "add_values", "values": "' + "x" * 1001 + '"}', 400),
    ],
)  # fmt: skip
def test_a_request_is_left_for_the_driver(content: str, code: int, tmp_path: Path) -> None:
    run = played(tmp_path, 20, open_trials=2)
    with client(tmp_path, control=True) as browser:
        # nobody works on it: the answer names the command that extends it
        answer = browser.post(f"{api(run)}/ask", content='{"kind": "add_values", "values": "lr=0.1"}')
        assert answer.status_code == 409
        assert f"python -m sweeps.run {run.path} --resume {run.path} --set activation=relu," in answer.text
        with hold(run):
            before = run.ledger.read_bytes()
            answer = browser.post(f"{api(run)}/ask", content=content)
            assert answer.status_code == code
            assert run.ledger.read_bytes() == before
            left = list(run.requests.iterdir()) if run.requests.exists() else []
            assert len(left) == (code == 200)
            if left:
                assert json.loads(left[0].read_text()) == json.loads(content)
            foreign = browser.post(f"{api(run)}/ask", content=content, headers={"origin": "http://evil.example"})
            assert foreign.status_code == 403


def test_a_request_that_cannot_be_written_or_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    run = played(tmp_path, 20, open_trials=2)
    run.requests.write_text("a file where the folder goes")
    with client(tmp_path, control=True) as browser, hold(run):
        answer = browser.post(f"{api(run)}/ask", content='{"kind": "end_run"}')
        assert (answer.status_code, answer.text) == (500, f"{run.requests}: File exists\n")
        answer = browser.post(f"{api(run)}/ask", content='{"kind": "add_values", "values": ""}')
        assert answer.text == "no request: String should have at least 1 character\n"
        answer = browser.post(f"{api(run)}/ask", content='{"kind": "delete"}')
        assert "'stop_trial', 'end_run', 'add_values'" in answer.text


def test_a_place_without_results_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        Results(tmp_path / "none")
    with client(tmp_path) as browser:
        assert "There is no run yet" in browser.get("/").text


def test_a_damaged_run_keeps_its_line_and_the_others_theirs(tmp_path: Path) -> None:
    run = played(tmp_path, 10)
    other = RunFolder(run.path.with_name("other"))
    other.path.mkdir()
    other.description.write_text("{")
    other.ledger.write_text("")
    with client(tmp_path) as browser:
        assert browser.get("/").status_code == 200
        rows = {row["run"]: row["state"] for row in browser.get("/api/runs").json()}
        assert browser.get("/run/growth/other").status_code == 404
    assert rows[run.run_id] == "finished"
    assert rows["other"].startswith("damaged: ")


def test_the_sections_of_a_trial_are_of_its_own_weights(tmp_path: Path) -> None:
    run = played(tmp_path, 6)
    rows = [
        {
            "sweep": run.sweep, "run_id": run.run_id, "trial_id": f"{number:04d}", "trial_key": f"{number - 1:016x}",
            "replicate": 0, "seed": 0, "stage": "best", "epoch": 4, "tensor": f"layer{number}.weight", "position": 0,
            "module_type": "Linear", "shape": [4, 4], "lmc": 0.1, "sample_entropy": 2.0,
        }
        for number in (1, 2)
    ]  # fmt: skip
    table.write(run.weights_table, "weights", rows, run.metadata())
    sections = [section for build in trial_sections(run, "0002") if (section := build())]
    assert [section.name for section in sections] == ["weights", "complexity", "evaluation"]
    shown = part_html(sections[1].parts[0])
    assert "layer2.weight" in shown
    assert "layer1.weight" not in shown
    with pytest.raises(InputError, match="no trial 0009"):
        next(trial_sections(run, "0009"))
