from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from command_builders import Outcome, Racer, Refuse, strictly
from racing_builders import RIGHT, pilot_drives, scored, write_mask, write_session
from task_builders import COUNTING, installing
from tiny_models import write_tiny_model

import racer
import sessions
from compression.fitting.fitted import load_fitted
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes
from racer.drivers.registry import GROUP as DRIVERS
from racer.drivers.registry import families_for, family_names
from racer.tasks.car_racing import raster
from racer.tasks.registry import GROUP as TASKS
from racer.tasks.registry import describe_settings, make_task, needed_settings, task_names
from racer.workers import in_parallel

ROOT = Path(racer.__file__).parent.parent
HEAVY = ("torch", "pygame", "h5py", "gymnasium", "numpy", "scipy", "pandas", "statsmodels", "rich.table")
QUICK = "--driver simulated --headless --practice 0 --calibration 2 --exploration 2 --evaluation 1 --steps 2"
COMMANDS = {
    "": ["doctor", "demo", "play", "session", "train", "study", "crowd", "task", "model", "agent", "driver", "rates"],
    "session": ["start", "list", "show", "verify", "repair", "replay", "video", "export", "merge", "withdraw"],
    "study": [
        *("init", "preview", "power", "preregister", "status", "watch"),
        *("train", "amend", "run", "report", "seal", "key"),
    ],
    "crowd": ["export", "import"],
    "task": ["list", "show"],
    "model": ["train", "train-coder", "tune", "show"],
    "agent": ["train", "show"],
    "driver": ["list", "fit"],
}

READY = [name for name in task_names() if not needed_settings(name)]
"""Tasks that need no settings."""


def started(arguments: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a command line in a process of its own that heeds Ctrl-C wherever these tests run."""
    return subprocess.Popen(
        [sys.executable, "-m", "racer", *arguments.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_command_and_option(command: str, run: Racer) -> None:
    outcome = run(f"{command} --help")
    assert (outcome.code, outcome.err) == (0, "")
    assert all(name in outcome.out for name in COMMANDS[command])


@pytest.mark.parametrize(
    "command", [f"{group} {name}".strip() for group in COMMANDS for name in COMMANDS[group] if name not in COMMANDS]
)
def test_every_command_explains_itself_with_an_example(command: str, run: Racer) -> None:
    outcome = run(f"{command} -h")
    assert outcome.code == 0
    assert f"Example: racer {command}" in outcome.out
    assert not re.findall(r"<bool>|<list|Path\b| range>|\d{12}", outcome.out), "what only its library means"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_group_without_a_command_shows_its_help(command: str, run: Racer) -> None:
    outcome = run(command)
    assert all(name in outcome.out for name in COMMANDS[command])
    assert not outcome.err.removeprefix("racer: ").startswith(" "), "a line that says nothing"


def test_help_is_answered_without_loading_anything_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['racer', '--help']\n"
        "from racer.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "session" in result.stdout
    # typer draws its help with rich; everything else waits until it is used.
    assert set(json.loads(result.stderr.replace("'", '"'))) <= {"rich.table"}


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def completed(words: str) -> list[str]:
        asked = {"_RACER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        out, err = started("", tmp_path, **asked).communicate(timeout=60)
        assert err == ""
        return out.split()

    assert completed("racer session re") == ["repair", "replay"]
    assert completed("racer session export --or") == ["--original"]


def test_the_version_is_told(run: Racer) -> None:
    assert run("--version") == Outcome(0, f"racer {racer.__version__}\n", "")


def test_the_version_as_json_says_what_racer_runs_on(run: Racer, refuse: Refuse) -> None:
    told = strictly(run("--version --json").out)
    assert (told["racer"], told["drawing"]["car-racing"]) == (racer.__version__, raster.drawn_by())
    refuse("--json task list", "--json goes with --version")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("frobnicate", "No such command 'frobnicate'. See `racer --help`."),
        ("session frobnicate", "See `racer session --help`."),
        ("session start p01 --frobnicate", "No such option: --frobnicate"),
        ("session start p01 extra", "unexpected extra argument"),
        ("session start p01 --steps many", "--steps"),
        ("session start p01 --steps 0", "--steps"),
        ("session start p01 --practice -1", "--practice"),
        ("session start p01 --seed -1", "--seed"),
        ("session start p01 --protocol trial", "'trial'"),
        ("session start p01 --fill zeros", "'zeros'"),
        ("session start p01 --steps", "--steps"),
        ("play --condition blurred", "'blurred'"),
        ("play --episodes 0", "--episodes"),
        ("train", "Missing argument"),
        ("train some.h5", "--out"),
        ("train some.h5 --out mask --iterations 1", "--iterations"),
        ("session show", "Missing argument"),
    ],
)
def test_a_slip_on_the_command_line_is_one_line(arguments: str, told: str, refuse: Refuse) -> None:
    refuse(arguments, told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (f"session start ../x {QUICK}", "participant name '../x' cannot be used"),
        (f"session start {'x' * 65} {QUICK}", "1 to 64 letters"),
        ("session start p01 --headless", "leave out --headless, or add --driver simulated"),
        ("play --headless", "leave out --headless, or add --driver simulated"),
        ("session start p01 --driver nobody --headless", "unknown driver 'nobody'"),
        ("session start p01 --driver no_such_module:factory --headless", "No module named 'no_such_module'"),
        (f"session start p01 {QUICK} --bits 1", "bits per step or more; got 1"),
        ("play --driver simulated --headless --bits 1", "bits per step or more; got 1"),
        (f"session start p01 {QUICK} --bits 0", "between 1 and 4096"),
        (f"session start p01 {QUICK} --pace 0", "pace must lie between 1 and 50"),
        pytest.param(
            "rates --device cuda",
            "there is no cuda here that PyTorch can use",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (f"session start p01 {QUICK} --pace nan", "pace must lie between 1 and 50"),
        (f"session start p01 {QUICK} --set speed=inf", "task car-racing: speed must be above 0 and at most 200"),
        (f"session start p01 {QUICK} --set speed=fast", "task car-racing: speed: input should be a valid number"),
        (f"session start p01 {QUICK} --set sped=60", "no setting 'sped'; did you mean 'speed'?"),
        (f"session start p01 {QUICK} --set speed", "--set takes NAME=VALUE"),
        (f"session start p01 {QUICK} --set speed=1 --set speed=2", "--set speed is given twice"),
        (f"session start p01 {QUICK} --task lunar-landr", "did you mean 'lunar-lander'?"),
        (f"session start p01 {QUICK} --model nowhere", "nowhere"),
        (f"session start p01 {QUICK} --model .", "model.safetensors"),
        ("play --headless --driver lander-pilot", "cannot do car-racing; choose pursuit"),
        ("play --headless --driver pursuit:fast", "a seed, a number of 0 or more"),
        ("play --task quoits", "there is no task 'quoits'"),
        ("play --driver simulated --headless --set handling=easy", "'stock' or 'forgiving'"),
        ("task show quoits", "there is no task 'quoits'; choose from car-racing"),
        ("study init x --task quoits", "there is no task 'quoits'"),
        ("study init x --task lunar-lander --preset paper", "use --preset default with task lunar-lander"),
        (f"session start p01 {QUICK} --steps 1000000", "steps per episode"),
        (f"session start p01 {QUICK} --protocol evaluation --conditions random,blurred", "'blurred'"),
        (f"session start p01 {QUICK} --protocol evaluation --conditions random,random", "once each"),
        (f"session start p01 {QUICK} --protocol evaluation --conditions perceptual", "--objective perceptual"),
        (f"session start p01 {QUICK} --protocol evaluation --mask nowhere", "cannot read nowhere: "),
        ("session start p01 --driver simulated --headless --practice 0 --calibration 0 --exploration 0", "no episodes"),
        ("session start", "racer session start NAME"),
        ("session show nowhere.h5", "there is no recording or folder nowhere.h5"),
        ("train nowhere.h5 --out mask", "there is no recording nowhere.h5"),
        ("study report nowhere", "there is no folder nowhere; check the name"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(arguments: str, told: str, refuse: Refuse) -> None:
    refuse(arguments, told)


@pytest.mark.parametrize(
    "arguments", ["session start p01", "play --condition raw", "session start p01 --driver simulated"]
)
def test_without_a_display_a_window_is_refused_before_anything_is_written(
    arguments: str, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    refuse(arguments, "--headless")


def foreign_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["measurements"] = np.arange(10)


def no_hdf5(path: Path) -> None:
    path.write_bytes(b"\x89PNG and so on" * 100)


def cut_short(path: Path) -> None:
    whole = write_session(path.parent / "whole", [scored("random", 0.5)])
    path.write_bytes(whole.read_bytes()[:1500])


def newer_schema(path: Path) -> None:
    write_session(path.parent / "whole", [scored("random", 0.5)]).rename(path)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 3


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [foreign_hdf5, no_hdf5, cut_short, newer_schema, a_folder])
@pytest.mark.parametrize("command", ["session show odd.h5", "train odd.h5 --out mask"])
def test_what_is_no_recording_is_one_line_and_left_as_it_is(
    make: Callable[[Path], None], command: str, refuse: Refuse, tmp_path: Path
) -> None:
    make(tmp_path / "odd.h5")
    refuse(command, "odd.h5")


def test_a_mask_of_other_weights_is_one_line(refuse: Refuse, tmp_path: Path, model: LatentModel) -> None:
    write_mask(tmp_path / "other.mask", model, model_sha256="cd" * 32)
    refuse(f"session start p01 {QUICK} --protocol evaluation --mask other.mask", "was fitted for other weights")
    refuse("play --driver simulated --headless --mask other.mask", "was fitted for other weights")


def test_an_existing_mask_file_is_never_written_over(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "mask").write_text("precious")
    refuse("train some.h5 --out mask", "mask exists and was left as it is")


def test_a_data_folder_that_is_a_file_is_one_line(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for command in (f"session start p01 {QUICK} --data file", "session list file", "study report file"):
        refuse(command, "file")


def test_a_drivers_failure_is_one_line_that_says_the_recording_is_safe(run: Racer, tmp_path: Path) -> None:
    (tmp_path / "faulty_driver.py").write_text(
        "class Faulty:\n"
        "    def __init__(self, seed): pass\n"
        "    def reset(self): pass\n"
        "    def act(self, frame): raise RuntimeError('flat\\ntyre')\n"
    )
    outcome = run(f"session start p01 {QUICK} --driver faulty_driver:Faulty")
    assert (outcome.code, outcome.out) == (2, "p01 sits down: random; 4 rounds\n")
    assert len(outcome.err.splitlines()) == 1
    assert "act(frame) failed: RuntimeError: flat" in outcome.err
    assert "saved" in outcome.err or "recorded" in outcome.err
    (path,) = sessions.find_recordings(tmp_path / "recordings")
    assert sessions.open(path).status == "aborted"


def test_the_whole_job_prints_what_it_wrote_and_the_next_command(run: Racer, tmp_path: Path) -> None:
    pilot = run(f"session start pilot01 {QUICK}")
    assert (pilot.code, pilot.err) == (0, "")
    (recording,) = sessions.find_recordings(tmp_path / "recordings")
    assert f"Recorded recordings/{recording.name}" in pilot.out
    command = next(line for line in pilot.out.splitlines() if line.startswith("Next: racer train "))
    trained = run(command.removeprefix("Next: racer ") + " --iterations 25")
    assert (trained.code, trained.err) == (0, "")
    assert "Wrote masks/pilot01.safetensors" in trained.out
    command = next(line for line in trained.out.splitlines() if line.startswith("Next: racer session start NAME "))
    for name in ("p01", "p02"):
        evaluated = run(f"{command.removeprefix('Next: racer ').replace('NAME', name)} {QUICK}")
        assert (evaluated.code, evaluated.err) == (0, "")
        assert "Next: racer study report recordings" in evaluated.out
    report = run("study report recordings")
    assert report.code == 0
    assert "2 participants, simulated: p01, p02" in report.out
    assert "a pilot user's session" in report.out
    refused = run(f"{command.removeprefix('Next: racer ').replace('NAME', 'pilot01')} {QUICK}")
    assert refused.code == 2
    assert "pilot01 took part in training this mask" in refused.err


def test_json_is_one_object_on_stdout_and_nothing_else(run: Racer, tmp_path: Path, model: LatentModel) -> None:
    played = run("play --driver simulated --headless --condition raw --episodes 1 --steps 2 --json")
    assert (played.code, played.err) == (0, "")
    assert [episode["steps"] for episode in strictly(played.out)["episodes"]] == [2]

    evaluated = strictly(
        run(f"session start p01 {QUICK} --protocol evaluation --conditions raw,random --trial --json").out
    )
    assert (evaluated["complete"], len(evaluated["episodes"]), evaluated["overruns"]) == (True, 2, None)
    assert Path(evaluated["recording"]).is_file()
    (listed,) = strictly(run("session list --json").out)["sessions"]
    assert (listed["participant"], listed["trial_run"], listed["steps"]) == ("p01", True, 4)
    shown = strictly(run(f"session show {evaluated['recording']} --json").out)
    assert [episode["condition"] for episode in shown["episodes"]] == ["raw", "random"]

    path = write_session(tmp_path, pilot_drives(np.random.default_rng(0)), model_sha256=model.sha256)
    for objective in ("pico", "perceptual"):
        trained = run(f"train {path} --out {objective}.mask --objective {objective} --iterations 25 --json")
        assert (trained.code, trained.err) == (0, "")
        assert strictly(trained.out)["mask"] == f"{objective}.mask"
        assert load_fitted(tmp_path / f"{objective}.mask", model).record.objective == objective
    trained = run(f"train {path} --out levels --objective pico-rate --iterations 25 --json")
    assert [len(levels) for levels in strictly(trained.out)["levels"].values()] == [32, 32]


@pytest.mark.parametrize("participants", [1, 2])
def test_a_report_is_valid_json_however_few_took_part(participants: int, run: Racer, tmp_path: Path) -> None:
    for number in range(participants):
        drives = [scored("random", 0.1 + number / 10), scored("pico", 0.3), scored("full", 0.4)]
        name = f"p{number}"
        write_session(tmp_path, drives, protocol="evaluation", participant=name, session_id=f"{number:06x}")
    outcome = run("study report . --json")
    assert outcome.code == 0
    assert strictly(outcome.out)["participants"] == [f"p{number}" for number in range(participants)]


def test_the_tasks_are_listed_with_what_people_do(run: Racer) -> None:
    listed = run("task list")
    assert (listed.code, listed.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in listed.out.splitlines()[:-1])
    assert lines.pop("folder").endswith("; needs --set images=...") and lines.keys() == set(READY)
    assert lines == {name: make_task(name).spec.summary for name in READY}
    assert "racer task show NAME" in listed.out
    told = strictly(run("task list --json").out)
    assert (told["tasks"].keys(), told["unusable"]) == (set(task_names()), {})


@pytest.mark.parametrize("name", READY)
def test_a_task_is_shown_with_all_that_there_is_to_know(name: str, run: Racer) -> None:
    shown, told = run(f"task show {name}"), strictly(run(f"task show {name} --json").out)
    assert (shown.code, shown.err) == (0, "")
    spec = make_task(name).spec
    for action in spec.actions:
        assert all(word in shown.out for word in (action.name, *action.keys))
    assert ("no key: when nothing is pressed" in shown.out) == (spec.neutral is not None)
    for metric in spec.metrics:
        assert f"{metric.meaning} [{metric.unit}]" in shown.out
    for setting in describe_settings(name):
        assert setting.name in shown.out and setting.meaning in shown.out
    told_drivers = f"drivers   {', '.join(families_for(spec))}; simulated is {spec.driver}\n"
    assert told_drivers in shown.out and f"racer play --task {name}" in shown.out
    assert [action["name"] for action in told["actions"]] == [action.name for action in spec.actions]
    defaults = {setting.name: setting.default for setting in describe_settings(name)}
    assert {setting["name"]: setting["default"] for setting in told["settings"]} == defaults
    assert (told["frame"], told["neutral"], told["driver"]) == ([*spec.frame], spec.neutral, spec.driver)


def test_a_task_of_a_package_is_listed_and_shown_and_a_broken_one_is_told(run: Racer, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    odd = COUNTING.replace("share: float = 0.5", "share: object = float('nan')").replace("neutral=0", "paced=False")
    with installing(packages) as install:
        install("their_task", odd, TASKS, "counting = their_task:Counting")
        install("broken_task", "raise RuntimeError('half\\ninstalled')", TASKS, "broken = broken_task:Broken")
        listed, told = run("task list"), strictly(run("task list --json").out)
        shown, described = run("task show counting"), strictly(run("task show counting --json").out)
        refused = run("task show broken")
    assert "counting            count to the end" in listed.out
    assert "broken              cannot be used: task broken of package broken-task cannot be loaded" in listed.out
    assert told["tasks"]["counting"] == "count to the end" and list(told["unusable"]) == ["broken"]
    assert "waits for every answer" in shown.out and "size         int, 3  Of what is counted" in shown.out
    assert "no simulated people" in shown.out and "none comes with it" in shown.out
    assert described["settings"][-1]["default"] == "nan" and described["metrics"][1]["low"] is None
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)


def test_the_families_of_drivers_are_listed_and_a_broken_one_is_told(run: Racer, tmp_path: Path) -> None:
    listed = run("driver list")
    assert (listed.code, listed.err) == (0, "")
    told = strictly(run("driver list --json").out)
    assert [family["name"] for family in told["families"]] == list(family_names())
    for family in told["families"]:
        assert all(family[key] for key in ("tasks", "summary", "source"))
        assert f"{family['name']}: {family['summary']}" in listed.out
    packages = tmp_path / "packages"
    packages.mkdir()
    with installing(packages) as install:
        install("their_drivers", "raise RuntimeError", DRIVERS, "theirs = their_drivers:THEIRS")
        assert "theirs: cannot be used: driver theirs of package their-drivers" in run("driver list").out
        assert list(strictly(run("driver list --json").out)["unusable"]) == ["theirs"]


def test_families_are_listed_for_one_task_with_a_picture_of_their_paths_that_is_not_written_over(
    run: Racer, tmp_path: Path
) -> None:
    out = tmp_path / "paths.png"
    asked = f"driver list --task lunar-lander --people 1 --steps 20 --pictures {out}"
    drawn = run(asked)
    assert (drawn.code, drawn.err) == (0, "") and f"Wrote {out}" in drawn.out
    assert "lander-pilot: " in drawn.out and "pursuit: " not in drawn.out
    kept = out.read_bytes()
    assert kept.startswith(b"\x89PNG")
    for command, told in (
        (asked, "exists and was left as it is; give another name with --pictures"),
        (asked.replace(".png", ".svg"), "--pictures must end in .png"),
        (asked.replace("paths.png", "no/paths.png"), "cannot write"),
        ("driver list --task sailing", "there is no task 'sailing'"),
        (f"driver list --task vehicles --pictures {tmp_path}/more.png", "there are no paths; choose another --task"),
    ):
        refused = run(command)
        assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1) and told in refused.err
    assert out.read_bytes() == kept and [path.name for path in tmp_path.glob("*.png")] == ["paths.png"]


@pytest.mark.parametrize("place", ["no/paths.png", "file/paths.png", "locked/paths.png"])
def test_a_picture_of_paths_that_cannot_be_written_is_refused_before_anybody_drives(
    run: Racer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def drive(*_: object) -> None:
        raise AssertionError("somebody drove")

    may = os.access
    monkeypatch.setattr("racer.rates.paths.drive_paths", drive)
    monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and Path(path).name != "locked")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "locked").mkdir()
    refused = run(f"driver list --pictures {tmp_path / place}")
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
    assert f"cannot write {tmp_path / place}: " in refused.err and "give another name with --pictures" in refused.err


@pytest.mark.parametrize("option", ["--people 3", "--steps 20", "--seed 0"])
def test_what_decides_a_picture_of_paths_is_refused_without_one(run: Racer, option: str) -> None:
    refused = run(f"driver list {option}")
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
    assert f"{option.split()[0]} goes with --pictures" in refused.err


def test_what_a_study_file_decides_cannot_be_given_beside_it(run: Racer, tmp_path: Path) -> None:
    assert run("study init demo").code == 0
    for option, written in (
        ("--set speed=60", "--set"),
        ("--task car-racing", "--task"),
        ("--model m", "--model"),
        ("--pace 20", "--pace"),
        ("--mask-interval step", "--mask-interval"),
    ):
        outcome = run(f"session start --study demo {option}")
        assert outcome.code == 2
        assert f"racer: {written} cannot be given with --study, whose file decides it" in outcome.err


def test_a_study_s_folder_asks_whether_a_sitting_is_of_the_study(
    run: Racer, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("study init demo").code == 0
    monkeypatch.chdir(tmp_path / "demo")
    for told in ("--study .", "--no-study"):
        refuse(f"session start p01 {QUICK}", told)
    outcome = run(f"session start p01 {QUICK} --no-study --json")
    assert (outcome.code, outcome.err) == (0, "")
    shown = strictly(run(f"session show {strictly(outcome.out)['recording']} --json").out)
    assert (shown["participant"], shown["study"]) == ("p01", "")


@pytest.mark.parametrize("task", READY)
def test_a_new_study_says_what_comes_next(task: str, run: Racer) -> None:
    outcome = run(f"study init demo --task {task}")
    assert (outcome.code, outcome.err) == (0, "")
    model = make_task(task).spec.model
    if model is not None and model.is_dir():
        assert "Next: racer session start --study demo" in outcome.out
        assert run("study status demo").code == 0
    else:
        assert f"Next: racer model train --task {task} --out demo/model" in outcome.out
        refused = run("study status demo")
        assert (refused.code, len(refused.err.splitlines()), "task.model: " in refused.err) == (2, 1, True)


def test_another_task_is_played_recorded_and_shown(run: Racer, tmp_path: Path) -> None:
    spec = make_task("lunar-lander").spec
    write_tiny_model(tmp_path / "m", Sizes(spec.frame, latents=16, blocks=8, actions=4, hidden=16, dense=32))
    task = "--task lunar-lander --model m --set view=12 --driver simulated --headless --steps 3"
    played = run(f"play {task} --episodes 1 --json")
    assert (played.code, played.err) == (0, "")
    (episode,) = strictly(played.out)["episodes"]
    assert episode["steps"] == 3 and set(episode["metrics"]) == {metric.name for metric in spec.metrics}
    recorded = run(f"session start p01 {task} --practice 1 --calibration 0 --exploration 1 --json")
    assert (recorded.code, recorded.err) == (0, "")
    shown = strictly(run(f"session show {strictly(recorded.out)['recording']} --json").out)
    assert shown["task"] == {"name": "lunar-lander", "settings": {"handling": "eased", "view": 12.0}}
    wrong = run("play --model m --driver simulated --headless")
    assert wrong.code == 2 and "the latent model in m is for " in wrong.err


def test_an_empty_folder_lists_nothing_and_says_how_to_begin(run: Racer, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    listed = run("session list")
    assert listed.code == 0
    assert "racer session start NAME" in listed.out
    assert not list((tmp_path / "recordings").iterdir())


def test_a_folder_that_is_not_there_is_not_listed_as_an_empty_one(refuse: Refuse, tmp_path: Path) -> None:
    refuse("session list", "recordings does not exist")
    refuse("session list --json", "recordings does not exist")
    assert not list(tmp_path.iterdir())


def test_a_study_stands_for_its_recordings_and_a_pattern_for_all_that_it_matches(run: Racer, tmp_path: Path) -> None:
    (tmp_path / "demo" / "recordings").mkdir(parents=True)
    (tmp_path / "demo" / "study.toml").write_text('title = "T"\n')
    paths = [
        write_session(
            tmp_path / "demo" / "recordings", [scored("random", 0.5)], session_id=number * 6, protocol="evaluation"
        )
        for number in "12"
    ]
    assert len(strictly(run("session list demo --json").out)["sessions"]) == 2
    shown = strictly(run(f"session show {paths[0]} {paths[1]} --json").out)["sessions"]
    assert {one["recording"] for one in shown} == set(map(str, paths))
    assert "2 recordings" in run("session verify demo --no-replay").out
    assert "no pilot has been recorded in demo" in run("train demo --out mask").err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("play --steps 0", "Invalid value for '--steps': it must be 1 or more. See"),
        ("play --seed x", "Invalid value for '--seed': it must be a whole number. See"),
        ("play --seed -1", "it must be a whole number from 0 on, below 2^63. See"),
        ("study init x --preset foo", "'foo' is not one of 'default', 'paper', 'digits', 'vehicles', 'faces'. See"),
    ],
)
def test_an_option_that_cannot_be_is_told_in_racers_words(arguments: str, told: str, refuse: Refuse) -> None:
    refuse(arguments, told)


def test_an_interruption_inside_this_process_is_code_130_and_one_line_that_says_what_was_saved(
    run: Racer, tmp_path: Path
) -> None:
    (tmp_path / "impatient_driver.py").write_text(
        "class Impatient:\n"
        "    def __init__(self, seed): self.steps = 0\n"
        "    def reset(self): pass\n"
        "    def act(self, frame):\n"
        "        self.steps += 1\n"
        "        if self.steps == 6: raise KeyboardInterrupt\n"
        "        return 2\n"
    )
    outcome = run("session start p01 --headless --driver impatient_driver:Impatient --steps 100")
    assert (outcome.code, outcome.out) == (130, "p01 sits down: random; 30 rounds\n")
    assert outcome.err == "racer: interrupted; nothing that was recorded is lost\n"
    (path,) = (tmp_path / "recordings").glob("*.h5")
    with sessions.open(path) as session:
        assert session.status == "aborted"
        assert [episode.action.tolist() for episode in session.episodes] == [[RIGHT] * 5]
    played = run("play --headless --driver impatient_driver:Impatient --steps 100")
    assert (played.code, played.out, played.err) == (130, "", "racer: interrupted; nothing was recorded\n")


def steps_so_far(folder: Path) -> int:
    """Return how many steps the recordings in a folder hold; 0 where one is just being written."""
    steps = 0
    with suppress(sessions.RecordingError):
        for path in sessions.find_recordings(folder):
            with sessions.open(path) as session:
                steps += sum(episode.n_steps for episode in session.episodes)
    return steps


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_during_a_sitting_closes_the_file_and_ends_with_130(number: signal.Signals, tmp_path: Path) -> None:
    arguments = "session start p01 --driver simulated --headless --practice 100 --steps 100000 --data ."
    process = started(arguments, tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not (seen := steps_so_far(tmp_path)):
            assert time.monotonic() < deadline, "nothing was recorded"
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
            assert process.returncode is None, process.communicate()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "p01 sits down: random; 125 rounds\n")
    assert err == "racer: interrupted; nothing that was recorded is lost\n"
    (path,) = sessions.find_recordings(tmp_path)
    assert path.suffix == ".h5"
    with sessions.open(path) as session:
        assert session.status == "aborted"
        assert session.episodes[-1].status == "aborted"
        assert sum(episode.n_steps for episode in session.episodes) >= seen
        for episode in session.episodes:
            assert all(len(episode[column]) == episode.n_steps for column in episode.columns)
            assert set(episode.bits.tolist()) == {170}


def test_a_defect_of_racers_own_is_one_line_and_a_file_with_the_details(
    run: Racer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*arguments: object) -> None:
        try:
            raise KeyError("alice")
        except KeyError as error:
            raise ZeroDivisionError("by\nalice") from error

    monkeypatch.setattr("racer.recordings.listing.describe_session", broken)
    (tmp_path / "alice.h5").touch()
    outcome = run("session show alice.h5 --json")
    assert outcome.code == 70
    assert len(outcome.err.splitlines()) == 1
    assert "(ZeroDivisionError: by alice)" in outcome.err
    log = Path(outcome.err.split()[-1])
    told = log.read_text()
    assert told.startswith(f"racer {racer.__version__} session show ... --json\n")
    assert "ZeroDivisionError" in told and "KeyError" in told and "in broken" in told
    assert "alice" not in told and str(Path.home()) not in told and "racer/cli.py, line " in told
    assert os.name == "nt" or log.stat().st_mode & 0o077 == 0
    log.unlink()


def test_the_details_of_a_defect_say_where_in_another_process_it_happened(
    run: Racer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def spread(*arguments: object) -> None:
        list(in_parallel(json.loads, ["alice"], 1, "a text"))

    monkeypatch.setattr("racer.recordings.listing.describe_session", spread)
    (tmp_path / "alice.h5").touch()
    log = Path(run("session show alice.h5").err.split()[-1])
    told = log.read_text()
    assert re.search(r"^  json/decoder.py, line \d+, in raw_decode$", told, re.MULTILINE) and "alice" not in told
    log.unlink()


def test_a_reader_that_goes_away_ends_a_command_without_a_word(tmp_path: Path) -> None:
    process = started("task show car-racing", tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(timeout=60)) == ("", 141)


def test_of_several_unfinished_sittings_one_has_to_be_named(refuse: Refuse, tmp_path: Path) -> None:
    for number, name in (("1", "p03"), ("2", "p05")):
        write_session(
            tmp_path / "recordings", [scored("random", 0.5)], "aborted", session_id=number * 6, participant=name
        )
    refuse("session start --resume", "the sittings of p03 and p05 are unfinished; nothing was recorded")
