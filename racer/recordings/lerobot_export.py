"""Recordings as a LeRobot dataset of version 3.0, for learning from what people did (huggingface.co/docs/lerobot).

    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("driving", root="driving")

Written as the format describes itself, without LeRobot: tables of frames, one of episodes, one of tasks, and what they
hold in `meta/info.json`. Frames are PNG in the tables, to the last pixel, where a video would change them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from disk.writing import make_folder, open_new, write_whole
from racer.errors import ConfigError
from racer.recordings.dataset_episodes import AcceptedEpisodes, DatasetSummary, Progress, rewards
from racer.recordings.observations import Observations
from racer.recordings.playhead import recorded_pace
from racer.tasks.gymnasium import REWARD
from racer.training.sheets import png_of
from sessions import Episode, Session, TaskRecord
from sessions.export.dictionary import DATASET_NAME, DESCRIPTION_NAME, whose
from sessions.export.folder import new_folder
from sessions.extras import import_extra

VERSION: Final = "v3.0"
"""Version of LeRobot's dataset format."""
_CHUNK_FILES: Final = 1000
_FILE_MB: Final = 100
"""Size of a file of frames, MB, after which another one follows."""
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_IMAGE = "observation.image"
DESCRIPTION = """Task {task}, done by what a latent channel transmits, recorded with Racer. One episode per accepted
episode of the recordings: complete, not rejected, and of no trial run. Frame t is what action t answered: {observed}.
Actions are {actions}. `observation.latent` is what arrived; `channel.bits` and `channel.mask` are what it took and
which blocks were sent; what is called `next.` followed the action. `timestamp` is the step by the pace; `recorded_time`
is when the frame was shown, seconds from the episode's first. `meta/episodes` says of each episode which session,
participant, condition and seed it is of."""


def export_lerobot(
    paths: Iterable[Path],
    out: Path,
    original: bool = False,
    progress: Progress = lambda done, total: None,
    model: Path | None = None,
) -> DatasetSummary:
    """Write the accepted episodes of recordings, trial runs aside, to a new LeRobot dataset, one at a time.

    Args:
        paths: Recordings, and folders of recordings.
        out: Folder to make.
        original: Whether observations are the original frames, and not what the driver saw.
        progress: Told after each episode.
        model: Folder of their latent model; that of the task if left out.

    Raises:
        ConfigError: If the recordings are of different tasks, or of different paces, or `model` is not theirs.
        WeightsError: If the folder holds no latent model.
        ExportError: If there is nothing to export, `out` exists, or the disk refuses.
        MissingPackageError: If pyarrow is not installed.
        RecordingError: If a recording that was named, or part of any, cannot be read.
    """
    arrow = import_extra("pyarrow", "pyarrow", "export to LeRobot's format")
    parquet = import_extra("pyarrow.parquet", "pyarrow", "export to LeRobot's format")
    out = Path(out)
    episodes = AcceptedEpisodes(paths, model)
    paces = {recorded_pace(info) for info in episodes.infos}
    if len(paces) > 1:
        raise ConfigError(
            f"a LeRobot dataset has one pace; these recordings have {', '.join(f'{pace:g}' for pace in sorted(paces))} "
            "steps per second; nothing was written: export them one by one"
        )
    (pace,) = paces
    features = features_of(episodes.task)
    with new_folder(out) as folder:
        tables = _Tables(arrow, parquet, folder, features)
        with tables:
            for session, episode, drawn in episodes.draw(original, progress):
                tables.add(session, episode, drawn, pace)
        if not tables.episodes:
            raise episodes.nothing()
        steps = tables.frames
        info = {
            "codebase_version": VERSION,
            "robot_type": None,
            "total_episodes": len(tables.episodes),
            "total_frames": steps,
            "total_tasks": 1,
            "chunks_size": _CHUNK_FILES,
            "data_files_size_in_mb": _FILE_MB,
            "video_files_size_in_mb": _FILE_MB,
            "fps": int(pace) if pace == int(pace) else pace,
            "splits": {"train": f"0:{len(tables.episodes)}"},
            "data_path": f"data/{_FILE}",
            "video_path": None,
            "features": features,
        }
        observed = "the original one" if original else "what the driver saw, decoded from what the channel transmitted"
        actions = ", ".join(f"{index} {name}" for index, name in enumerate(episodes.task.actions))
        description = {
            "name": DATASET_NAME,
            "description": DESCRIPTION.replace("\n", " ").format(
                task=episodes.task.name, observed=observed, actions=actions
            ),
            **whose(episodes.held.values()),
        }
        texts = {"meta/info.json": info, "meta/stats.json": tables.statistics(), DESCRIPTION_NAME: description}
        for name, content in texts.items():
            write_whole(folder / name, f"{json.dumps(content, indent=1)}\n".encode(), overwrite=False)
    return DatasetSummary(out, episodes.recordings, len(tables.episodes), steps, episodes.left_out)


def features_of(task: TaskRecord) -> dict[str, dict[str, Any]]:
    """Return what `meta/info.json` says of the columns: types, shapes and names."""

    def column(dtype: str, count: int = 1, names: list[str] | None = None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": [count], "names": names}

    height, width, _ = task.frame
    return {
        # Frames of one channel are stored with three equal ones.
        _IMAGE: {"dtype": "image", "shape": [height, width, 3], "names": ["height", "width", "channels"]},
        "observation.latent": column("float32", task.latents),
        "action": column("int64"),
        "channel.bits": column("int64"),
        "channel.mask": column("bool", task.blocks),
        "next.reward": column("float32"),
        "next.done": column("bool"),
        **{f"next.{metric.name}": column("float32") for metric in task.metrics if metric.name != REWARD},
        "recorded_time": column("float64"),
        "timestamp": column("float32"),
        **{name: column("int64") for name in ("frame_index", "episode_index", "index", "task_index")},
    }


def _values(session: Session, episode: Episode, drawn: Observations, pace: float) -> dict[str, NDArray[Any]]:
    """Return the columns of an episode but for those that number its rows; images as PNG, object[n_steps]."""
    count = episode.n_steps
    done = np.zeros(count, bool)
    done[-1] = True
    time_ns = episode.time_ns
    return {
        _IMAGE: np.array([png_of([[frame]]) for frame in drawn.frames[:count]], object),
        "observation.latent": episode.received,
        "action": episode.action.astype(np.int64),
        "channel.bits": episode.bits.astype(np.int64),
        "channel.mask": episode.mask,
        "next.reward": rewards(episode),
        "next.done": done,
        **{
            f"next.{metric.name}": episode[metric.name].astype(np.float32)
            for metric in session.info.task.metrics
            if metric.name != REWARD
        },
        "recorded_time": (time_ns - time_ns[0]) / 1e9,
        "timestamp": (np.arange(count) / pace).astype(np.float32),
        "frame_index": np.arange(count),
    }


class _Tables:
    """The Parquet files of a dataset, written episode by episode; a context manager.

    Args:
        arrow: The module pyarrow.
        parquet: Its module parquet.
        folder: Of the dataset.
        features: See `features_of`.
    """

    episodes: list[dict[str, Any]]
    """One row of `meta/episodes` per episode."""
    frames: int
    """Frames written so far."""

    def __init__(self, arrow: Any, parquet: Any, folder: Path, features: dict[str, dict[str, Any]]) -> None:
        self._arrow, self._parquet, self._folder, self._features = arrow, parquet, folder, features
        self.episodes, self.frames = [], 0
        self._schema = arrow.schema([(name, self._type(feature)) for name, feature in features.items()])
        self._sums: dict[str, _Sums] = {}
        self._file, self._bytes, self._open = -1, 0, ExitStack()
        self._writer: Any = None

    def add(self, session: Session, episode: Episode, drawn: Observations, pace: float) -> None:
        """Write the rows of an episode, in a row group of their own."""
        if self._writer is None or self._bytes > _FILE_MB * 2**20:
            self._next_file()
        index, count, first = len(self.episodes), episode.n_steps, self.frames
        values = _values(session, episode, drawn, pace)
        values |= {"index": first + np.arange(count), "episode_index": np.full(count, index)}
        values["task_index"] = np.zeros(count, np.int64)
        columns = [self._column(name, values[name]) for name in self._features]
        self._writer.write_table(self._arrow.Table.from_arrays(columns, schema=self._schema))
        self._bytes += sum(map(len, values[_IMAGE]))
        for name, value in values.items():
            numbers = drawn.frames[:count].reshape(-1, drawn.frames.shape[-1]) / 255.0 if name == _IMAGE else value
            self._sums.setdefault(name, _Sums()).add(np.asarray(numbers, np.float64).reshape(len(numbers), -1), count)
        self.frames += count
        info = session.info
        chunk, file = divmod(self._file, _CHUNK_FILES)
        self.episodes.append(
            {
                "episode_index": index,
                "tasks": [info.task.name],
                "length": count,
                "data/chunk_index": chunk,
                "data/file_index": file,
                "dataset_from_index": first,
                "dataset_to_index": self.frames,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
                "session_id": info.session_id,
                "participant": info.participant,
                "driver": info.driver,
                "phase": episode.info.phase,
                "condition": episode.info.condition,
                "seed": episode.info.seed,
            }
        )

    def statistics(self) -> dict[str, Any]:
        """Return the content of `meta/stats.json`: of every feature least, most, mean, standard deviation and count."""
        shapes = {_IMAGE: (3, 1, 1)}
        return {name: sums.told(shapes.get(name, (-1,))) for name, sums in self._sums.items()}

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._open.close()
        if kind is None and self.episodes:
            with self._opened(f"meta/episodes/{_FILE.format(chunk_index=0, file_index=0)}") as file:
                self._parquet.write_table(self._arrow.Table.from_pylist(self.episodes), file)
            with self._opened("meta/tasks.parquet") as file:
                self._parquet.write_table(self._tasks(), file)

    def _opened(self, name: str) -> BufferedWriter:
        make_folder((self._folder / name).parent)
        return BufferedWriter(open_new(self._folder / name))

    def _next_file(self) -> None:
        self._open.close()
        self._file += 1
        self._bytes = 0
        chunk, file = divmod(self._file, _CHUNK_FILES)
        stream = self._open.enter_context(self._opened(f"data/{_FILE.format(chunk_index=chunk, file_index=file)}"))
        self._writer = self._open.enter_context(self._parquet.ParquetWriter(stream, self._schema))

    def _type(self, feature: dict[str, Any]) -> Any:
        arrow = self._arrow
        if feature["dtype"] == "image":
            return arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
        kind = arrow.bool_() if feature["dtype"] == "bool" else getattr(arrow, feature["dtype"])()
        (count,) = feature["shape"]
        return kind if count == 1 else arrow.list_(kind, count)

    def _column(self, name: str, values: NDArray[Any]) -> Any:
        """Return values as an array of Arrow."""
        kind = self._schema.field(name).type
        if name == _IMAGE:
            return self._arrow.array([{"bytes": each, "path": None} for each in values], kind)
        if self._features[name]["shape"] == [1]:
            return self._arrow.array(values.reshape(-1), kind)
        flat = self._arrow.array(values.reshape(-1), kind.value_type)
        return self._arrow.FixedSizeListArray.from_arrays(flat, type=kind)

    def _tasks(self) -> Any:
        """Return the table of tasks, of which pandas takes the name as its index, as LeRobot expects."""
        names = list(dict.fromkeys(episode["tasks"][0] for episode in self.episodes))
        table = self._arrow.table({"task_index": list(range(len(names))), "task": names})
        types = (("task_index", "int64", "int64"), ("task", "unicode", "object"))
        columns = [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, kind, numpy in types
        ]
        told = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.1.0"}
        return table.replace_schema_metadata({"pandas": json.dumps(told)})


class _Sums:
    """What statistics are made of, gathered episode by episode."""

    def __init__(self) -> None:
        self._count = self._rows = 0
        self._sum: Any = 0.0
        self._squares: Any = 0.0
        self._least: Any = np.inf
        self._most: Any = -np.inf

    def add(self, values: NDArray[np.float64], frames: int) -> None:
        """Take in float64[rows, n] of so many frames."""
        self._count += frames
        self._rows += len(values)
        self._sum += values.sum(0)
        self._squares += (values**2).sum(0)
        self._least = np.minimum(self._least, values.min(0))
        self._most = np.maximum(self._most, values.max(0))

    def told(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the statistics, each in this shape; of images of one channel three equal ones."""
        mean = self._sum / self._rows
        deviation = np.sqrt(np.maximum(self._squares / self._rows - mean**2, 0.0))
        found = {"min": self._least, "max": self._most, "mean": mean, "std": deviation}
        spread = {
            name: np.broadcast_to(value, (3,)) if len(shape) == 3 and value.size == 1 else value
            for name, value in found.items()
        }
        return {**{name: value.reshape(shape).tolist() for name, value in spread.items()}, "count": [self._count]}
