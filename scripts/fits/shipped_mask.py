"""Make the mask that ships for car-racing: record simulated pilots and train on them.

python scripts/fits/shipped_mask.py --out build/pico.safetensors
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import sessions
from compression.fitting.config import PicoConfig
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.training.train import train

PILOTS = 3
STEPS = 150
STUDY_SEED = 2108
"""Apart from 0, the default, so that nobody meets the tracks that this mask was trained on."""


def main() -> None:
    """Record, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, PILOTS + 1):
            start_session(
                StartConfig(
                    participant=f"shipped_mask_pilot{number}",
                    protocol=ProtocolConfig("pilot", practice=0, steps=STEPS),
                    driver="simulated",
                    headless=True,
                    data=Path(folder),
                    seed=STUDY_SEED,
                )
            )
        print(train("pico", sessions.find_recordings(Path(folder)), out, PicoConfig()))


if __name__ == "__main__":
    main()
