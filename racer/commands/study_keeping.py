"""`racer study` and what it records: `watch`, `seal`, `key`."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from racer.commands.maintenance import finish_begun
from racer.commands.options import JsonOption
from racer.commands.output import print_json
from racer.commands.study_data import DataArgument, StudyArgument, find_data

if TYPE_CHECKING:
    from racer.study.file import Study


def study_watch(
    study: StudyArgument = None,
    port: Annotated[
        int, typer.Option(min=0, help="Port of the page, which only this machine can open; 0 picks a free one.")
    ] = 0,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Watch in this terminal instead of in a browser.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Look once, and print one JSON object.")] = False,
) -> None:
    """Watch a running study: who is at a desk, how far they are, what comes next. Changes nothing; Ctrl-C ends it."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from racer.study.file import find_study, load_study
    from racer.watch.server import WatchServer
    from racer.watch.snapshot import take_snapshot

    loaded = load_study(find_study(study))
    if as_json:
        print_json(asdict(take_snapshot(loaded, datetime.now(UTC))))
    elif terminal:
        _watch_here(loaded)
    else:
        with WatchServer(loaded, port) as server:
            print(f"Open {server.address} in a browser on this machine; Ctrl-C ends it.", flush=True)
            server.serve_forever()


def _watch_here(study: Study) -> None:
    """Look every two seconds, or once where nobody sits at a terminal."""
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.live import Live

    from racer.watch.snapshot import take_snapshot
    from racer.watch.terminal import render

    console = Console(highlight=False)
    if not console.is_terminal:
        Console(width=10_000, highlight=False).print(render(take_snapshot(study, datetime.now(UTC))))
        return
    # See `progress_bar`.
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            live.update(render(take_snapshot(study, datetime.now(UTC))), refresh=True)
            time.sleep(2)


def study_seal(
    data: DataArgument = None,
    key: Annotated[
        Path | None, typer.Option(help="Sign the head with this private key, which `racer study key` makes.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the head of the recordings' ledger, for deposit: it covers every byte of every recording."""
    from racer.errors import ConfigError
    from racer.plain_text import plain
    from racer.recordings.signing import SIGNATURE_NAME, sign
    from racer.report.wording import counted
    from sessions.ledger import note_recorded, read_ledger

    folder = find_data(data).recordings
    finish_begun(folder)
    noted = note_recorded(folder) if folder.is_dir() else []
    ledger = read_ledger(folder)
    if ledger is None:
        raise ConfigError(f"there is no recording in {folder}: nothing to seal")
    public_key = sign(folder, ledger, key) if key else ""
    recorded, withdrawn = len(ledger.hashes("recorded")), len(ledger.hashes("withdrawn"))
    if as_json:
        print_json(
            {
                "head": ledger.head,
                "recorded": recorded,
                "withdrawn": withdrawn,
                "noted_now": [str(path) for path in noted],
                "public_key": public_key or None,
            }
        )
        return
    for path in noted:
        print(f"noted only now: {plain(str(path))}")
    print(f"{counted(recorded, 'recording')} noted, {withdrawn} withdrawn; head {ledger.head}")
    verify = f"racer session verify {shlex.quote(str(folder))}"
    if public_key:
        print(f"Signed, in {folder / SIGNATURE_NAME}. Next: {verify} --public-key {public_key}")
    else:
        print(f"Deposit the head where nobody can change it. Next: {verify} --head {ledger.head}")


def study_key(
    file: Annotated[Path, typer.Argument(help="File for the private key; keep it away from the recordings.")],
    as_json: JsonOption = False,
) -> None:
    """Create a key that signs ledgers (Ed25519), and print its public half, to deposit before the study begins."""
    from racer.recordings.signing import make_key

    public_key = make_key(file)
    if as_json:
        print_json({"key": str(file), "public_key": public_key})
        return
    print(f"Wrote the private key to {file}; the public key is {public_key}")
    print(f"Next: racer study seal --key {shlex.quote(str(file))}")
