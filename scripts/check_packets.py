"""Check every packet of recordings: no slot over 85 bits, and `received` recomputes from packets and actions alone.

python scripts/check_packets.py build/evaluation/*/*/*.h5
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import sessions
from compression.coders.blocks import BlockReceiver
from compression.coders.packet import layout_for
from compression.masks import BLOCKS
from compression.model.latent_model import load_codec, use_one_thread

SLOT = 85


def check(path: Path) -> tuple[int, int, int]:
    """Return the steps checked, the longest slot in bits, and the steps whose latent came out otherwise."""
    use_one_thread()
    codec = load_codec()
    steps = longest = wrong = 0
    with sessions.open(path) as session:
        if session.info.codec_sha256 != codec.sha256:
            raise SystemExit(f"{path} was recorded with other weights")
        for episode in session.episodes:
            if episode.info.condition == "raw":
                continue
            layout = layout_for(SLOT, 2, BLOCKS) if episode.info.condition == "full" else layout_for(SLOT)
            receiver = BlockReceiver(codec, layout, episode.info.fill)  # type: ignore[arg-type]
            actions = np.concatenate([[0], episode.action[:-1]])
            for packet, action, received in zip(episode.packet, actions, episode.received, strict=True):
                data = packet.tobytes()
                for start in range(0, len(data), layout.slot_bytes):
                    value = int.from_bytes(data[start : start + layout.slot_bytes], "big")
                    longest = max(longest, value.bit_length())
                wrong += not np.array_equal(receiver.receive(data, int(action)), received)
                steps += 1
    return steps, longest, wrong


def main() -> None:
    """Check all files and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    paths = parser.parse_args().recordings
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(check, paths))
    steps, wrong = sum(r[0] for r in results), sum(r[2] for r in results)
    longest = max(r[1] for r in results)
    print(f"{len(paths)} recordings, {steps} steps: longest slot {longest} of {SLOT} bits; {wrong} recompute otherwise")
    if longest > SLOT or wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
