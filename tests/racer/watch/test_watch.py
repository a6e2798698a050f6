from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
from chromium import chromium
from racing_builders import scored, write_session
from rich.console import Console

from racer.commands import study as commands
from racer.errors import ConfigError
from racer.sitting.leases import Leases
from racer.study.file import Study, load_study
from racer.watch.server import WatchServer
from racer.watch.snapshot import take_snapshot
from racer.watch.terminal import render

NOW = datetime(2026, 2, 1, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study with a completed sitting, a resumed one and one that declined nothing and was left."""
    (tmp_path / "study.toml").write_text(f"title = {json.dumps(HOSTILE)}\npilots = 0\n[masks]\npico = 'shipped'\n")
    found = load_study(tmp_path)
    drives = [scored("random", 0.5), scored("full", 0.4)]
    kind = {"protocol": "evaluation"}
    write_session(found.recordings, drives, participant="p01", session_id="000001", **kind)
    write_session(found.recordings, drives[:1], "aborted", participant="p02", session_id="000002", **kind)
    write_session(found.recordings, drives[1:], participant="p02", session_id="000003", resumes="000002", **kind)
    write_session(found.recordings, drives[:1], "aborted", participant="p03", session_id="000004", **kind)
    (found.recordings / "broken_evaluation_20260131T140509Z_0000ff.h5").write_text("nothing")
    return found


@contextmanager
def sitting(study: Study, participant: str, session_id: str) -> Iterator[None]:
    """Keep a session running, as far as anybody else can tell."""
    with Leases(study.recordings).lease(session_id, participant, "evaluation", 6):
        yield


@contextmanager
def served(study: Study) -> Iterator[WatchServer]:
    with WatchServer(study, now=lambda: NOW) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_look_says_who_sits_and_who_is_unfinished_and_changes_nothing(study: Study) -> None:
    with sitting(study, "p03", "000004"):
        before = contents(study.recordings)
        seen = take_snapshot(study, NOW)
    assert [(each.participant, each.state, each.rounds) for each in seen.sittings] == [
        ("p03", "running", 1),
        ("p01", "complete", 2),
        ("p02", "complete", 2),
    ]
    assert {each.rounds_planned for each in seen.sittings} == {50}
    assert (seen.sittings[0].condition, seen.sittings[0].phase) == ("random", "evaluation")
    assert seen.unreadable == ("broken_evaluation_20260131T140509Z_0000ff.h5",)
    assert take_snapshot(study, NOW).sittings[0].state == "unfinished"
    assert contents(study.recordings) == before


def test_a_terminal_shows_the_same(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(render(take_snapshot(study, NOW)))
    assert "p03" in shown.get() and "unfinished" in shown.get() and HOSTILE in shown.get()
    assert "Complete: 2 of 12 participants\n" in shown.get()  # no pilots are planned, and none is spoken of
    (over,) = (line for line in shown.get().splitlines() if "p01" in line)
    assert "evaluation" not in over  # somebody whose sitting is over is at nothing now
    commands.study_watch(study.folder, terminal=True)
    assert "1 of 50" in capsys.readouterr().out


def test_only_this_machine_is_served_and_only_by_its_own_name(study: Study) -> None:
    with served(study) as server:
        assert server.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(server.address + "state.json") as answer:
            assert json.load(answer)["participants"] == 2
        for path, host, code in (("", "evil.example", 403), ("study.toml", None, 404), ("..%2fstudy.toml", None, 404)):
            request = urllib.request.Request(server.address + path, headers={"Host": host} if host else {})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request)
            assert refused.value.code == code
        with pytest.raises(ConfigError, match="cannot listen on port"):
            WatchServer(study, server.server_port)


def test_what_is_wrong_with_the_study_is_said_on_the_page(study: Study) -> None:
    with served(study) as server:
        study.path.write_text("title = 3")
        assert "title" in server.state()["error"]


@pytest.mark.chromium
def test_a_browser_follows_the_study_while_it_runs(study: Study, tmp_path: Path) -> None:
    seen = "[...document.querySelectorAll('#sittings tr')].map(r => r.className + ' ' + r.cells[0].textContent)"
    wait = "new Promise(r => { const t = setInterval(() => { if (%s) { clearInterval(t); r(true); } }, 50); })"
    with served(study) as server, chromium(tmp_path / "profile") as page:
        with sitting(study, "p03", "000004"):
            page.open(server.address, 1000)
            assert page.evaluate(wait % "document.querySelector('tr.running')")
            assert page.evaluate(seen) == ["running p03", "complete p01", "complete p02"]
            now = "[...document.querySelectorAll('#sittings tr')].map(r => r.cells[3].textContent)"
            assert page.evaluate(now) == ["evaluation, random", "-", "-"]
            assert page.evaluate("document.getElementById('counts').textContent") == "Complete: 2 of 12 participants"
            assert page.evaluate("document.getElementById('title').textContent") == HOSTILE
        assert page.evaluate(wait % "document.querySelector('tr.unfinished')")
        outward = [url for url in page.requests() if not url.startswith(("data:", server.address))]
        assert outward == [] and page.complaints() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 1000
