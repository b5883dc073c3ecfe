"""Extractors read replies as the scorers that they follow."""

from __future__ import annotations

import pytest

from vzgym.core.errors import UnknownName
from vzgym.evaluation.benchmarks.extractors import EXTRACTORS, Choices

ABCD = Choices(("apples", "pears", "plums", "figs"))

# Reply; what videomme, lmms-eval, mlvu, lvbench and videommmu read from it ("-": nothing). Measured with the published
# scorers; "nothing" also stands for a text that equals no letter.
VECTORS = [
    ("C. Berries.", "C", "C", "-", "C", "C"),
    ("C)", "C", "C", "C", "C", "-"),
    ("(C)", "C", "C", "C", "C", "C"),
    ("c", "-", "-", "-", "-", "-"),
    ("The answer is D.", "D", "D", "-", "-", "D"),
    ("Best option: C", "B", "C", "-", "B", "C"),
    ("Correct answer: D", "C", "D", "-", "C", "D"),
    ("According to the clip, D", "A", "D", "-", "A", "D"),
    ("Based on the video, (C).", "B", "C", "C", "C", "C"),
    ("A man enters, so C", "A", "A", "-", "A", "C"),
    ("The answer is B because A is wrong", "B", "A", "-", "-", "A"),
    ("I would choose option C, not B.", "C", "B", "-", "-", "B"),
    ("The best answer is: **B**", "B", "B", "-", "-", "-"),
    (r"\boxed{D}", "D", "D", "-", "-", "-"),
    ("<think>Maybe A.</think><answer>C</answer>", "A", "A", "-", "-", "A"),
    ("It is not A. It is D.", "A", "D", "-", "-", "A"),
    ("E", "-", "-", "-", "-", "-"),
    ("", "-", "-", "-", "-", "-"),
    (" . ", "-", "-", "-", "-", "-"),
]
NAMES = ("videomme", "lmms-eval", "mlvu", "lvbench", "videommmu")


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [(name, row[0], expected) for row in VECTORS for name, expected in zip(NAMES, row[1:], strict=True)],
)
def test_published_vectors(name: str, reply: str, expected: str) -> None:
    read = EXTRACTORS.get(name)(reply, ABCD)
    assert read == (() if expected == "-" else (expected,))


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        # Phrases that a missing comma joined are not removed; later scripts remove them.
        ("videomme", "Best answer: D", ("B",)),
        ("videomme-v2", "Best answer: D", ("D",)),
        ("videomme", "Answer: D", ("A",)),
        ("vlmevalkit-videomme", "Answer: D", ("D",)),
        ("videomme", "it is the one that stands on the left of the others there", ()),
        # The text of an option counts in replies of more than five words, and the last one wins.
        ("videommmu", "first pears and then at last figs", ("D",)),
        ("videommmu", "pears", ()),
        ("videommmu", "(A) or B:", ("A",)),
        ("cgbench", '```json\n{"result": "C"}\n```', ("C",)),
        ("cgbench", '```json\n{"result": C}\n```', ("C",)),
        ("cgbench", '```json\n{"result": "C."}\n```', ()),
        ("cgbench", "A or C", ("A", "C")),
        ("cgbench", "```json\n[1", ()),
        ("longvideo-reason", "<think>x</think><answer> B </answer>", ("B",)),
        ("longvideo-reason", "<answer>B.</answer>", ()),
        ("longvideo-reason", "<answer>B\n</answer>", ()),
        ("longvideo-reason", "B", ("B",)),
        ("video-holmes", "<answer>A</answer> no <answer>C</answer>", ("C",)),
        ("video-holmes", "C", ()),
        ("vlmevalkit", "**B**", ("B",)),
        ("vlmevalkit", "The correct answer is **B**. Here is why: A is a quantifier of the whole story.", ("B",)),
        ("vlmevalkit", "It shows figs", ("D",)),
        ("vlmevalkit", "figs or plums", ()),
        ("vlmevalkit", "Cannot determine the answer. B", ()),
        ("vzgym", "I would choose option C, not B.", ("C",)),
        ("vzgym", "<think>Maybe A.</think><answer>C</answer>", ("C",)),
        ("vzgym", "A man enters", ()),
    ],
)
def test_rules(name: str, reply: str, expected: tuple[str, ...]) -> None:
    assert EXTRACTORS.get(name)(reply, ABCD) == expected


def test_letters_follow_the_number_of_options() -> None:
    six = Choices(tuple("uvwxyz"))
    assert EXTRACTORS.get("lmms-eval")("F", six) == ("F",)
    assert EXTRACTORS.get("videomme")("E", six) == ("E",)


def test_repeated_options_keep_their_letters() -> None:
    repeated = Choices(("red", "red", "blue"))
    assert EXTRACTORS.get("vzgym")("B", repeated) == ("B",)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="lmms-eval"):
        EXTRACTORS.get("nope")
