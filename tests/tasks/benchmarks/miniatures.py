"""Miniatures of benchmarks: about ten rows in each set's real shape, flawed ones included, in known layouts."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vzgym.tasks import load_tasks

__all__ = ["MINIATURES", "Folder", "Miniature", "load_set", "videomme_rows"]

Row = dict[str, Any]

load_set: Any = load_tasks
"""`load_tasks`; its result is a `BenchmarkTasks`, which type checkers cannot know."""


class Folder:
    """Writes a benchmark's files below a root.

    Args:
        root: The folder; made.
        clip: The video file that every video is a copy of.
    """

    def __init__(self, root: Path, clip: Path) -> None:
        self.root = root
        self.clip = clip
        root.mkdir(parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def videos(self, names: Iterable[str], under: str = "") -> None:
        for name in dict.fromkeys(names):
            shutil.copyfile(self.clip, self._path(f"{under}/{name}" if under else name))

    def text(self, name: str, text: str) -> Path:
        path = self._path(name)
        path.write_text(text, encoding="utf-8")
        return path

    def json(self, name: str, value: Any) -> Path:
        return self.text(name, json.dumps(value, ensure_ascii=False))

    def json_lines(self, name: str, rows: Iterable[Any]) -> Path:
        return self.text(name, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))

    def parquet(self, name: str, rows: Sequence[Row]) -> Path:
        import pyarrow
        import pyarrow.parquet

        path = self._path(name)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], delimiter: str = "\t") -> Path:
        path = self._path(name)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        return path


@dataclass(frozen=True)
class Miniature:
    """A benchmark's miniature.

    Args:
        name: The benchmark's name.
        layouts: Writes the files, by layout.
        ids: The tasks' ids in order.
        golds: The right letter, or the right text of open questions; "" where it is unknown.
        flaws: Numbers of rows by flaw.
        given: Options in place of a root, for files anywhere: paths relative to the root that the first layout writes.
        evidence: Evidence of some tasks, by position.
    """

    name: str
    layouts: Mapping[str, Callable[[Folder], None]]
    ids: Sequence[str]
    golds: Sequence[str]
    flaws: Mapping[str, int] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[int, Any] = field(default_factory=dict)


MINIATURES: dict[str, Miniature] = {}


def _add(miniature: Miniature) -> None:
    MINIATURES[miniature.name] = miniature


def hub(name: str) -> str:
    """The folder of a dataset's snapshot in a Hugging Face cache."""
    return f"hub/datasets--{name.replace('/', '--')}/snapshots/abc123"


# Video-MME -------------------------------------------------------------------------------------------------------


def videomme_rows() -> list[Row]:
    """Ten rows of four videos. Row 119-1 repeats its right option."""
    shapes = [
        ("001", "-short_1", "short"),
        ("119", "Rep3at", "short"),
        ("400", "Medium", "medium"),
        ("801", "LONG", "long"),
    ]
    rows = []
    for video, youtube, duration in shapes:
        for number in (1, 2, 3):
            repeated = (video, number) == ("119", 1)
            rows.append(
                {
                    "video_id": video,
                    "duration": duration,
                    "domain": "Knowledge" if number < 3 else "Film & Television",
                    "sub_category": "Astronomy",
                    "url": f"https://www.youtube.com/watch?v={youtube}",
                    "videoID": youtube,
                    "question_id": f"{video}-{number}",
                    "task_type": ["OCR Problems", "Counting Problem", "Object Reasoning"][number - 1],
                    "question": f"What is shown in {video}, {number}?",
                    "options": ["A. Mars.", "B. Venus.", "C. Venus." if repeated else "C. Io.", "D. Titan."],
                    "answer": "ABCB"[number] if not repeated else "C",
                }
            )
    return rows[:10]


_MME = videomme_rows()
_MME_VIDEOS = [f"{row['videoID']}.mp4" for row in _MME]
_SRT = "1\n00:00:00,000 --> 00:00:01,000\n<font color=white>hello</font>\n\n2\n00:00:01,000 --> 00:00:01,900\nworld\n"


def _mme_lmms(folder: Folder) -> None:
    folder.parquet(f"{hub('lmms-lab/Video-MME')}/videomme/test-00000-of-00001.parquet", _MME)
    folder.videos(_MME_VIDEOS, "videomme/data")
    folder.text("videomme/subtitle/-short_1.srt", _SRT)


def _mme_vlmevalkit(folder: Folder) -> None:
    columns = ("duration", "domain", "sub_category", "task_type", "question", "answer")
    rows = [
        {
            "index": int(row["video_id"]) * 3 - 3 + int(row["question_id"][-1]) - 1,
            "video": row["videoID"],
            "video_path": f"./video/{row['videoID']}.mp4",
            "candidates": str(row["options"]),
            **{name: row[name] for name in columns},
        }
        for row in _MME
    ]
    snapshot = hub("lmms-lab/Video-MME")
    folder.table(f"{snapshot}/Video-MME.tsv", rows)
    folder.videos(_MME_VIDEOS, f"{snapshot}/video")
    folder.text(f"{snapshot}/subtitle/-short_1.srt", _SRT)


def _mme_official(folder: Folder) -> None:
    folder.parquet("videomme/test-00000-of-00001.parquet", _MME)
    folder.videos(_MME_VIDEOS[:6], "videos_chunked_01/data")
    folder.videos([f"{name[:-4]}.MKV" for name in _MME_VIDEOS[6:]], "videos_chunked_02/data")
    folder.text("videos_chunked_01/__MACOSX/data/._LONG.mp4", "no video")
    folder.text("subtitle/-short_1.srt", _SRT)


_add(
    Miniature(
        "videomme",
        {"official": _mme_official, "lmms-eval": _mme_lmms, "VLMEvalKit": _mme_vlmevalkit},
        [row["question_id"] for row in _MME],
        [row["answer"] for row in _MME],
        {"repeated_options": 1, "repeated_gold": 1},
        {"annotations": "videomme", "videos": "videos_chunked_01"},
    )
)


# LongVideoBench --------------------------------------------------------------------------------------------------

_LVB: list[Row] = [
    {
        "video_id": f"@cook-{number}",
        "question": "In the kitchen,\u2028what does he cut?",
        "question_wo_referring_query": "What does he cut?",
        "candidates": [["bread", "cheese", "ham"], ["a", "b", "c", "d"], ["one", "one", "two", "three", "four"]][
            number % 3
        ],
        "correct_choice": number % 3,
        "position": [[24, 12], [36], [61388250, 24]][number % 3],
        "topic_category": "LC-Lifestyle-Cooking-Recipes",
        "question_category": ["T2E", "SSS", "E2O"][number % 3],
        "level": "L1-Perception",
        "id": f"@cook-{number}_0",
        "video_path": f"{number}.mp4",
        "subtitle_path": f"{number}_en.json",
        "duration_group": 60,
        "starting_timestamp_for_subtitles": 10 if number else 0,
        "duration": 2.0,
        "view_count": 9,
    }
    for number in range(6)
]
_LVB_PARQUET = [
    {
        **{key: row[key] for key in row if key not in ("candidates", "position", "level", "view_count")},
        **{f"option{place}": [*row["candidates"], "N/A", "N/A"][place] for place in range(5)},
    }
    for row in _LVB
]
_LVB_VIDEOS = [row["video_path"] for row in _LVB]


def _lvb_speech(folder: Folder, under: str) -> None:
    folder.json(
        f"{under}/0_en.json", [{"timestamp": [0.0, 1.0], "text": "first"}, {"timestamp": [1.0, None], "text": "last"}]
    )
    folder.json(f"{under}/1_en.json", [{"start": "00:00:10.500", "end": "00:00:11.500", "line": "shifted"}])


def _lvb_lmms(folder: Folder) -> None:
    folder.parquet(f"{hub('longvideobench/LongVideoBench')}/validation-00000-of-00001.parquet", _LVB_PARQUET)
    folder.videos(_LVB_VIDEOS, "datasets/longvideobench/videos")
    _lvb_speech(folder, "datasets/longvideobench/subtitles")


def _lvb_vlmevalkit(folder: Folder) -> None:
    snapshot = hub("longvideobench/LongVideoBench")
    rows = [
        {"index": place, **row, "video": row["video_id"], "video_path": f"./videos/{row['video_path']}"}
        for place, row in enumerate(_LVB)
    ]
    folder.table(f"{snapshot}/LongVideoBench.tsv", rows)
    folder.videos(_LVB_VIDEOS, f"{snapshot}/videos")
    _lvb_speech(folder, f"{snapshot}/subtitles")


def _lvb_official(folder: Folder) -> None:
    folder.json("lvb_val.json", _LVB)
    folder.videos(_LVB_VIDEOS, "videos")
    _lvb_speech(folder, "subtitles")


_add(
    Miniature(
        "longvideobench_val_v",
        {"official": _lvb_official, "lmms-eval": _lvb_lmms, "VLMEvalKit": _lvb_vlmevalkit},
        [row["id"] for row in _LVB],
        list("ABCABC"),
        {"repeated_options": 2, "corrupt_position": 2},
        {"annotations": "lvb_val.json", "videos": "videos", "subtitle_files": "subtitles"},
        {0: [[0.0, 1.5]], 1: [[1.0, 2.0]], 2: [[0.5, 1.5]]},
    )
)


def _lvb_test(folder: Folder) -> None:
    folder.json("lvb_test_wo_gt.json", [{key: row[key] for key in row if key != "correct_choice"} for row in _LVB])
    folder.videos(_LVB_VIDEOS, "videos")
    _lvb_speech(folder, "subtitles")


_add(
    Miniature(
        "longvideobench_test_v",
        {"official": _lvb_test},
        [row["id"] for row in _LVB],
        [""] * 6,
        {"repeated_options": 2, "corrupt_position": 2},
        {"annotations": "lvb_test_wo_gt.json", "videos": "videos"},
    )
)


# MLVU ------------------------------------------------------------------------------------------------------------

_OPTIONS = ["red", "blue", "green", "white"]
_MLVU: dict[str, list[Row]] = {
    "1_plotQA": [
        {"video": "plot_1.mp4", "duration": 408.6, "question": "Which?", "candidates": _OPTIONS, "answer": "blue",
         "question_type": "plotQA"},
    ],
    "2_needle": [
        {"video": "needle_4.mp4", "duration": 300, "question": "Where?", "candidates": _OPTIONS, "answer": "yellow",
         "question_type": "findNeedle"},
        {"video": "needle_5.mp4", "duration": 300, "question": "What?", "candidates": ["a", "", "b", "c"],
         "answer": "b", "question_type": "findNeedle"},
    ],
    "7_topic_reasoning": [
        {"video": "movie101_89.mp4", "duration": 300, "question": "", "candidates": ["", "", "", ""], "answer": "",
         "question_type": "topic_reasoning"},
    ],
}  # fmt: skip
_MLVU_COPY: list[Row] = [
    {
        "video_name": row["video"],
        "duration": row["duration"],
        "question": "\n".join([row["question"], *map("({}) {}".format, "ABCD", row["candidates"]), ""]),
        "candidates": row["candidates"],
        "answer": letter,
        "task_type": kind,
        "question_id": f"Q{place}",
    }
    for place, (row, letter, kind) in enumerate(
        [
            (_MLVU["1_plotQA"][0], "B", "plotQA"),
            (_MLVU["2_needle"][0], "D", "needle"),
            (_MLVU["2_needle"][1], "C", "needle"),
            ({**_MLVU["1_plotQA"][0], "candidates": ["x", "x", "y", "z"]}, "A", "plotQA"),
        ]
    )
]


def _mlvu_official(folder: Folder) -> None:
    for stem, rows in _MLVU.items():
        folder.json(f"MLVU/json/{stem}.json", rows)
        folder.videos([row["video"] for row in rows], f"MLVU/video/{stem}")
    folder.json(
        "MLVU/json/8_sub_scene.json",
        [{"video": "s.mp4", "duration": 9, "question": "What?", "question_type": "subPlot"}],
    )


def _mlvu_vlmevalkit(folder: Folder) -> None:
    snapshot = hub("MLVU/MVLU")
    inner = Folder(folder.root / snapshot, folder.clip)
    _mlvu_official(inner)


_MLVU_IDS = ["1_plotQA-0", "2_needle-0", "2_needle-1", "7_topic_reasoning-0"]
_MLVU_FLAWS = {"empty_option": 2, "empty_question": 1, "bad_gold": 1}
_add(
    Miniature(
        "mlvu_dev",
        {"VLMEvalKit": _mlvu_vlmevalkit},
        _MLVU_IDS,
        ["B", "", "C", ""],
        _MLVU_FLAWS,
        {"annotations": f"{hub('MLVU/MVLU')}/MLVU/json", "videos": f"{hub('MLVU/MVLU')}/MLVU/video"},
    )
)


def mlvu_copy(folder: Folder) -> None:
    """lmms-eval's layout of the hub copy, whose rows differ from the authors'."""
    folder.parquet(f"{hub('sy1998/MLVU_dev')}/data/test-00000-of-00001.parquet", _MLVU_COPY)
    folder.videos([row["video_name"] for row in _MLVU_COPY], "mlvu")


def _mlvu_test(folder: Folder) -> None:
    rows: list[Row] = [
        {
            "video": f"test_surveil_{number}.mp4",
            "duration": 200,
            "question": "Which?",
            "candidates": ["a", "b", "c", "d", "e", "f"],
            "answer": "abcdef"[number],
            "question_type": ["anomaly_reco", "sportsQA"][number % 2],
            "question_id": f"AR_{number}",
        }
        for number in range(6)
    ]
    folder.json("test_multi_choice_tasks.json", rows)
    folder.videos([row["video"] for row in rows], "test_video")


_add(
    Miniature(
        "mlvu_test",
        {"official": _mlvu_test},
        [f"AR_{number}" for number in range(6)],
        list("ABCDEF"),
        {},
        {"annotations": "test_multi_choice_tasks.json", "videos": "test_video"},
    )
)


def _mlvu_open(folder: Folder) -> None:
    folder.json(
        "json/8_sub_scene.json",
        [{"video": "scene_1.mp4", "duration": 2, "question": "What does he do?", "answer": "He cooks.",
          "question_type": "subPlot", "scoring_points": ["cooks"]}],
    )  # fmt: skip
    folder.json(
        "json/9_summary.json",
        [
            {
                "video": "film_1.mp4",
                "duration": 2,
                "question": "Summarize.",
                "answer": "A film.",
                "question_type": "summary",
            }
        ],
    )
    folder.videos(["scene_1.mp4"], "video/8_sub_scene")
    folder.videos(["film_1.mp4"], "video/9_summary")


_add(
    Miniature(
        "mlvu_dev_open",
        {"official": _mlvu_open},
        ["8_sub_scene-0", "9_summary-0"],
        ["He cooks.", "A film."],
        {},
        {"annotations": "json", "videos": "video"},
    )
)


# LVBench ---------------------------------------------------------------------------------------------------------

_TIMES = ["72:15-72:19", "00:00-00:01", "08:17-None", "00:01-00:00", "00:01-00:01"]


def _lvbench_question(number: int, times: str) -> Row:
    return {
        "uid": number if number == 1 else str(number),
        "question": "Which year?\n(A) 1636\n(B) 1366\n(C) 1363\n(D) 1633",
        "answer": "ABCD"[number % 4],
        "question_type": ["key information retrieval", "reasoning"][: 1 + number % 2],
        "time_reference": times,
    }


_LVBENCH_LINES: list[Row] = [
    {
        "key": "-bC_xyz",
        "type": "sport",
        "qa": [_lvbench_question(place, times) for place, times in enumerate(_TIMES[:3])],
        "video_info": {"duration_minutes": 80.1, "fps": 24.0, "resolution": {"width": 1280, "height": 720}},
    },
    {
        "key": "Other",
        "type": "tv",
        "qa": [_lvbench_question(place + 3, times) for place, times in enumerate(_TIMES[3:])],
        "video_info": {"duration_minutes": 31.0, "fps": 24.0, "resolution": {"width": 1280, "height": 720}},
    },
]


def _lvbench_official(folder: Folder) -> None:
    folder.json_lines("video_info.meta.jsonl", _LVBENCH_LINES)
    folder.videos(["-bC_xyz.mp4", "Other.mp4"], "all_videos")


def _lvbench_lmms(folder: Folder) -> None:
    rows = [
        {
            "key": line["key"],
            "type": line["type"],
            "video_path": f"{line['key']}.mp4",
            **question,
            "uid": str(question["uid"]),
        }
        for line in _LVBENCH_LINES
        for question in line["qa"]
    ]
    folder.parquet(f"{hub('lmms-eval/LVBench')}/data/train-00000-of-00001.parquet", rows)
    folder.videos(["-bC_xyz.mp4", "Other.mp4"], "lvbench/all_videos")


_add(
    Miniature(
        "lvbench",
        {"official": _lvbench_official, "lmms-eval": _lvbench_lmms},
        list("01234"),
        list("ABCDA"),
        {"unparsable_evidence": 1, "reversed_evidence": 1, "point_evidence": 1},
        {"annotations": "video_info.meta.jsonl", "videos": "all_videos"},
        {0: [[4335.0, 4339.0]], 2: None, 3: None, 4: [[0.5, 1.5]]},
    )
)


# VideoMMMU -------------------------------------------------------------------------------------------------------


def _mmmu_row(name: str, kind: str, options: list[str], answer: str) -> Row:
    return {
        "id": name,
        "question": "What follows? <image 1>",
        "options": options,
        "answer": answer,
        "question_type": kind,
        "qa_type": "OCR",
        "link_selected": "https://example.org",
        "image": {"bytes": b"png", "path": f"{name}.png"},
    }


_MMMU = {
    "Perception": [
        _mmmu_row("validation_Finance_17", "perception", list("wxyz"), "C"),
        _mmmu_row("validation_Art_Theory_3", "perception", ["same", "same", "other"], "B"),
    ],
    "Comprehension": [
        _mmmu_row("validation_Finance_17", "comprehension", ["one", "two", "three"], "A"),
        _mmmu_row("validation_Art_Theory_3", "comprehension", ["one", "two", "three"], "C"),
    ],
    "Adaptation": [
        _mmmu_row("validation_Finance_17", "open", [], "12.97"),
        _mmmu_row("validation_Art_Theory_3", "multiple-choice", list("CBDEA"), "C"),
        _mmmu_row("validation_Accounting_13", "None", ["p", "q", "r"], "C"),
        _mmmu_row("validation_Physics_21", "open", [], "B"),
    ],
}
_MMMU_VIDEOS = [
    "Business/validation_Finance_17.mp4",
    "Art/validation_Art_Theory_3.mp4",
    "Business/validation_Accounting_13.mp4",
    "Science/validation_Physics_21.mp4",
]
_MMMU_CLIPS = [f"question_only/{name.rpartition('/')[2][:-4]}_image.mp4" for name in _MMMU_VIDEOS]


def _mmmu_parquets(folder: Folder, under: str) -> None:
    for track, rows in _MMMU.items():
        folder.parquet(f"{under}{track}/test-00000-of-00001.parquet", rows)


def _mmmu_official(folder: Folder) -> None:
    _mmmu_parquets(folder, "")
    folder.videos([*_MMMU_VIDEOS, *_MMMU_CLIPS])


def _mmmu_lmms(folder: Folder) -> None:
    _mmmu_parquets(folder, f"{hub('lmms-eval/VideoMMMU')}/")
    folder.videos([*_MMMU_VIDEOS, *_MMMU_CLIPS], "video_mmmu")


def _mmmu_vlmevalkit(folder: Folder) -> None:
    snapshot = hub("lmms-lab/VideoMMMU")
    rows = [
        {
            "index": place,
            "category": track,
            **{key: row[key] for key in ("id", "question", "answer", "question_type")},
            "options": json.dumps(row["options"]),
        }
        for place, (track, row) in enumerate(
            (track, row) for track in ("Adaptation", "Comprehension", "Perception") for row in _MMMU[track]
        )
    ]
    folder.table(f"{snapshot}/VideoMMMU.tsv", rows)
    folder.videos([*_MMMU_VIDEOS, *_MMMU_CLIPS], f"{snapshot}/videos")


_add(
    Miniature(
        "video_mmmu",
        {"official": _mmmu_official, "lmms-eval": _mmmu_lmms, "VLMEvalKit": _mmmu_vlmevalkit},
        [f"{track}/{row['id']}" for track in ("Adaptation", "Comprehension", "Perception") for row in _MMMU[track]],
        ["12.97", "C", "C", "B", "A", "C", "C", "B"],
        {"letter_options": 1, "odd_type": 2, "repeated_options": 1, "repeated_gold": 1},
        {"annotations": "", "videos": ""},
    )
)
_add(
    Miniature(
        "video_mmmu_adaptation_question_only",
        {"official": _mmmu_official, "lmms-eval": _mmmu_lmms, "VLMEvalKit": _mmmu_vlmevalkit},
        [f"question_only/{row['id']}" for row in _MMMU["Adaptation"]],
        ["12.97", "C", "C", "B"],
        {"letter_options": 1, "odd_type": 2},
        {"annotations": "", "videos": "question_only"},
    )
)


# Video-MMLU ------------------------------------------------------------------------------------------------------

_LECTURES: list[Row] = [
    {
        "video_id": name,
        "discipline": discipline,
        "caption": "Notes.",
        "captions_qa": [{"question": "What is written?", "answer": "x = 2"}],
        "reasoning_qa": [{"question": f"Why {number}?", "answer": "Because."} for number in range(2)],
    }
    for name, discipline in (("math_1", "Math"), ("chem_1", "Chemistry"))
]


def _mmlu_official(folder: Folder) -> None:
    folder.json_lines("video_mmlu.jsonl", _LECTURES)
    folder.videos(["math_1.mp4", "chem_1.mp4"], "youtube_videos")


def _mmlu_vlmevalkit(folder: Folder) -> None:
    snapshot = hub("Enxin/Video-MMLU")
    quiz = [
        {"index": place, "video": f"{line['video_id']}.mp4", "discipline": line["discipline"], **pair}
        for line in _LECTURES
        for place, pair in enumerate(line["reasoning_qa"])
    ]
    notes = [
        {"index": place, "video": f"{line['video_id']}.mp4", "discipline": line["discipline"],
         "question": str(line["captions_qa"]), "answer": line["caption"]}
        for place, line in enumerate(_LECTURES)
    ]  # fmt: skip
    folder.table(f"{snapshot}/Video_MMLU_QA.tsv", quiz)
    folder.table(f"{snapshot}/Video_MMLU_CAP.tsv", notes)
    folder.videos(["math_1.mp4", "chem_1.mp4"], f"{snapshot}/youtube_videos")


for _name, _ids, _golds in (
    ("videommlu_qa", ["math_1-0", "math_1-1", "chem_1-0", "chem_1-1"], ["Because."] * 4),
    ("videommlu_cap", ["math_1", "chem_1"], ["", ""]),
):
    _add(
        Miniature(
            _name,
            {"official": _mmlu_official, "VLMEvalKit": _mmlu_vlmevalkit},
            _ids,
            _golds,
            {},
            {"annotations": "video_mmlu.jsonl", "videos": "youtube_videos"},
        )
    )


# LongVideo-Reason ------------------------------------------------------------------------------------------------


def _reason(folder: Folder) -> None:
    options = "\nA. red\nB. blue\nC. green\nD. white"
    rows = [
        {"problem_id": 1, "problem": f"Which?{options}", "answer": "<answer>B</answer>", "problem_type": "temporal",
         "videos": "longvila_videos/x.mp4"},
        {"problem_id": 379, "problem": "What now?", "answer": "<answer>B</answer>", "problem_type": "goal",
         "videos": "longvila_videos/y.webm"},
        {"problem_id": 743, "problem": f"Which?{options}", "answer": "<answer>A</answer>", "problem_type": "plot",
         "videos": "longvila_videos/477_2.webm"},
    ]  # fmt: skip
    folder.json_lines("longvideo-reason_test.jsonl", rows)
    folder.videos(
        ["longvideo_eval_subset0/x.mp4", "longvideo_eval_subset0/y.webm", "longvideo_eval_subset7/477_2.webm"]
    )


_add(
    Miniature(
        "longvideo_reason",
        {"official": _reason},
        ["1", "379", "743"],
        ["B", "B", "A"],
        {"no_options": 1, "odd_options": 1, "broken_video": 1},
        {"annotations": "longvideo-reason_test.jsonl", "videos": ""},
    )
)


# CG-Bench --------------------------------------------------------------------------------------------------------

_CLUES = [[[8, 11], [40.5, 44]], [[30, 35], [5, 10], [9, 12]], [[50, 61]], [[1, 2]]]
_CG: list[Row] = [
    {
        "qid": 14 + number,
        "video_uid": f"{number // 2}Zp-2",
        "question": "What is it?",
        "answer": "e",
        "choices": ["a", "b", "c", "d", "e"] if number else ["a", "a", "c", "d", "e"],
        "right_answer": "E",
        "clue_intervals": clues,
        "domain": "Driving",
        "sub_category": "Entity Perception",
        "duration": 60,
    }
    for number, clues in enumerate(_CLUES)
]
_CG_VIDEOS = [f"{row['video_uid']}.mp4" for row in _CG]


def _cg_official(folder: Folder) -> None:
    folder.json("cgbench_mini.json", _CG)
    folder.json("cgbench.json", _CG)
    folder.videos(_CG_VIDEOS, "cg_videos_720p")
    folder.text("cg_subtitles/0Zp-2.srt", _SRT)


def _cg_lmms(folder: Folder) -> None:
    folder.json(f"{hub('CG-Bench/CG-Bench')}/cgbench_mini.json", _CG)
    folder.json(f"{hub('CG-Bench/CG-Bench')}/cgbench.json", _CG)
    folder.videos(_CG_VIDEOS, "cg_videos_720p")


for _name, _golds in (("cgbench", list("EEEE")), ("cgbench_full", list("EEEE")), ("cgbench_miou", [""] * 4)):
    _add(
        Miniature(
            _name,
            {"official": _cg_official, "lmms-eval": _cg_lmms},
            ["14", "15", "16", "17"],
            _golds,
            {} if _name == "cgbench_miou" else {"repeated_options": 1},
            {"annotations": "cgbench_mini.json", "videos": "cg_videos_720p"},
            {0: [[8, 11], [40.5, 44]], 1: [[5, 12], [30, 35]], 2: [[50, 60]]},
        )
    )


# NExT-GQA --------------------------------------------------------------------------------------------------------


def _nextgqa(split: str) -> Callable[[Folder], None]:
    def write(folder: Folder) -> None:
        rows = [
            {"video_id": "10001", "frame_count": 8, "width": 32, "height": 32, "question": "why does he run",
             "answer": "to catch it", "qid": number, "type": ["CW", "TN", "TP"][number % 3], "a0": "for fun",
             "a1": "to catch it", "a2": "for fun" if number == 2 else "because", "a3": "no", "a4": "yes"}
            for number in (1, 2, 3)
        ]  # fmt: skip
        spans = {
            "10001": {"duration": 34, "location": {"1": [[1.2, 5.8]], "3": [[20.0, 23.5], [12.1, 34.4]]}, "fps": 29.97}
        }
        folder.table(f"datasets/nextgqa/{split}.csv", rows, ",")
        folder.json(f"datasets/nextgqa/gsub_{split}.json", spans)
        folder.json("datasets/nextgqa/map_vid_vidorID.json", {"10001": "1164/2574374895"})
        folder.videos(["1164/2574374895.mp4"], "NExTVideo")

    return write


for _split in ("test", "val"):
    _add(
        Miniature(
            f"nextgqa_{_split}",
            {"official": _nextgqa(_split)},
            ["10001_1", "10001_2", "10001_3"],
            list("BBB"),
            {"repeated_options": 1, "unparsable_evidence": 1},
            {"annotations": f"datasets/nextgqa/{_split}.csv", "videos": "NExTVideo"},
            {0: [[1.2, 5.8]], 1: None, 2: [[12.1, 34.4]]},
        )
    )


# Grounding sets --------------------------------------------------------------------------------------------------

_CHARADES: list[Row] = [
    {"video": "3MSZA.mp4", "caption": "person turn a light on.", "timestamp": [0.3, 1.4]},
    {"video": "3MSZA.mp4", "caption": "person turn a light on.", "timestamp": [0.3, 1.4]},
    {"video": "AAAAA.mp4", "caption": "a person runs.", "timestamp": [1.0, 0.5]},
]


def _charades_lmms(folder: Folder) -> None:
    folder.parquet(f"{hub('lmms-eval/charades_sta')}/data/test-00000-of-00001.parquet", _CHARADES)
    folder.videos([row["video"] for row in _CHARADES], "charades_sta/Charades_v1_480")


def _charades_official(folder: Folder) -> None:
    lines = [f"{r['video'][:-4]} {r['timestamp'][0]} {r['timestamp'][1]}##{r['caption']}\n" for r in _CHARADES]
    folder.text("charades_sta_test.txt", "".join(lines))
    folder.videos([row["video"] for row in _CHARADES], "Charades_v1_480")


_add(
    Miniature(
        "temporal_grounding_charades",
        {"official": _charades_official, "lmms-eval": _charades_lmms},
        [
            "3MSZA>>>person turn a light on.>>>[0.3, 1.4]",
            "3MSZA>>>person turn a light on.>>>[0.3, 1.4]#2",
            "AAAAA>>>a person runs.>>>[1.0, 0.5]",
        ],
        [""] * 3,
        {"duplicate_id": 1, "reversed_evidence": 1},
        {"annotations": "charades_sta_test.txt", "videos": "Charades_v1_480"},
        {0: [[0.3, 1.4]], 2: None},
    )
)


def _timelens_official(folder: Folder) -> None:
    for part in ("charades", "qvhighlights"):
        folder.json(
            f"{part}-timelens.json",
            {"vid_1": {"duration": 2.0, "spans": [[0.5, 1.0], [1, 2]], "queries": ["he runs", "he jumps"]}},
        )
        folder.videos(["vid_1.mp4"], f"videos/{part}")


def _timelens_lmms(folder: Folder) -> None:
    rows = [
        {"video_path": f"videos/{part}/vid_1.mp4", "query": query, "span": span}
        for part in ("charades", "qvhighlights")
        for span, query in (([0.5, 1.0], "he runs"), ([1.0, 2.0], "he jumps"))
    ]
    folder.parquet(f"{hub('kcz358/timelens')}/data/all-00000-of-00001.parquet", rows)
    folder.videos(["charades/vid_1.mp4", "qvhighlights/vid_1.mp4"], "timelens/videos")


_add(
    Miniature(
        "timelens",
        {"official": _timelens_official, "lmms-eval": _timelens_lmms},
        [
            f"{part}/vid_1>>>{query}>>>{span}"
            for part in ("charades", "qvhighlights")
            for query, span in (("he runs", "[[0.5, 1.0]]"), ("he jumps", "[[1.0, 2.0]]"))
        ],
        [""] * 4,
        {},
        {"annotations": "", "videos": "videos"},
        {0: [[0.5, 1.0]]},
    )
)


def _extreme(folder: Folder) -> None:
    folder.json_lines(
        "extreme_when_bench.jsonl",
        [
            {"qid": f"q{number}", "video_id": video, "source_corpus": corpus, "question": "When does it rain?",
             "correct_interval": [0.5, 1.5], "video_duration_s": 2.0, "category": "event"}
            for number, (video, corpus) in enumerate((("-bC_xyz", "LVBench"), ("LONG", "Video-MME")))
        ],
    )  # fmt: skip
    folder.videos(["lvbench/-bC_xyz.mp4", "videomme/data/LONG.mp4"])


_add(
    Miniature(
        "extremewhenbench",
        {"official": _extreme},
        ["q0", "q1"],
        ["", ""],
        {},
        {"annotations": "extreme_when_bench.jsonl", "videos": ""},
        {0: [[0.5, 1.5]]},
    )
)


# Others ----------------------------------------------------------------------------------------------------------

_V2: list[Row] = [
    {
        "video_id": f"{video:03d}",
        "url": "https://www.youtube.com/watch?v=x",
        "group_type": ["relevance", "logic"][video % 2],
        "group_structure": "[1, [2, 3], 4]",
        "question_id": f"{video:03d}-{number}",
        "question": "Which?",
        "options": "\n".join(f"{letter}. {letter.lower()}x" for letter in "ABCDEFGH"),
        "answer": "ABCH"[number - 1],
        "level": "2" if number == 4 else None,
        "second_head": "Reasoning",
        "third_head": "Order",
    }
    for video in (1, 2)
    for number in (1, 2, 3, 4)
]


def _v2(videos: str, annotations: str, subtitles: str) -> Callable[[Folder], None]:
    def write(folder: Folder) -> None:
        folder.parquet(annotations, _V2)
        folder.videos(["001.mp4", "002.mp4"], videos)
        folder.json_lines(
            f"{subtitles}/001.jsonl",
            [
                {"text": "hello", "start_time": 0.0, "end_time": 0.5},
                {"text": "world", "start_time": 1.0, "end_time": 1.5},
            ],
        )

    return write


_V2_HUB = hub("MME-Benchmarks/Video-MME-v2")
_add(
    Miniature(
        "videomme_v2",
        {
            "official": _v2("videos/001", "test.parquet", "subtitle"),
            "lmms-eval": _v2("videomme_v2", f"{_V2_HUB}/test.parquet", "videomme_v2/subtitle"),
            "VLMEvalKit": _v2(f"{_V2_HUB}/video", f"{_V2_HUB}/test.parquet", f"{_V2_HUB}/subtitle"),
        },
        [row["question_id"] for row in _V2],
        [row["answer"] for row in _V2],
        {},
        {"annotations": "test.parquet", "videos": "videos"},
    )
)

_SIAH: list[Row] = [
    {"video_path": "videos/a.mp4", "question": "What does he buy?", "answer": "bread"},
    {"video_path": "videos/a.mp4", "question": "How many?", "answer": "3"},
]


def _siah(annotations: str, videos: str) -> Callable[[Folder], None]:
    def write(folder: Folder) -> None:
        folder.parquet(annotations, _SIAH)
        folder.videos(["a.mp4"], videos)

    return write


_add(
    Miniature(
        "longvt",
        {
            "official": _siah("data/test-00000-of-00001.parquet", "videos"),
            "lmms-eval": _siah(f"{hub('longvideotool/VideoSIAH-Eval')}/data/test-0.parquet", "longvt_benchmark/videos"),
        },
        ["a>>>What does he buy?", "a>>>How many?"],
        ["bread", "3"],
        {},
        {"annotations": "data", "videos": "videos"},
    )
)


def _holmes(folder: Folder) -> None:
    rows = [
        {"video ID": f"film{number}", "Question ID": 7, "Question Type": ["SR", "IMC"][number], "Question": "Who?",
         "Options": {letter: f"{letter} did it" for letter in "ABCDEF"}, "Answer": "AF"[number], "Explanation": "..."}
        for number in (0, 1)
    ]  # fmt: skip
    folder.json("test_Video-Holmes.json", rows)
    folder.videos(["film0.mp4", "film1.mp4"], "videos_cropped")


_add(
    Miniature(
        "video_holmes",
        {"official": _holmes},
        ["film0-7", "film1-7"],
        ["A", "F"],
        {},
        {"annotations": "test_Video-Holmes.json", "videos": "videos_cropped"},
    )
)

_EGO: list[Row] = [
    {"question_idx": str(number), "question": "What is his aim?", "video_idx": f"uid-{number}",
     "option": [f"{letter}. aim {letter}" for letter in "ABCDE"], "answer": str(number)}
    for number in (0, 4)
]  # fmt: skip


def _ego(annotations: str, videos: str) -> Callable[[Folder], None]:
    def write(folder: Folder) -> None:
        folder.parquet(annotations, _EGO)
        folder.videos(["uid-0.mp4", "uid-4.mp4"], videos)

    return write


_add(
    Miniature(
        "egoschema_subset",
        {
            "official": _ego("Subset/test-0.parquet", "videos"),
            "lmms-eval": _ego(f"{hub('lmms-eval/egoschema')}/Subset/test-0.parquet", "egoschema/videos"),
        },
        ["0", "4"],
        ["A", "E"],
        {},
        {"annotations": "Subset", "videos": "videos"},
    )
)
