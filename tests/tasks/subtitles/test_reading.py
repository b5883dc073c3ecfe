from __future__ import annotations

import json
from pathlib import Path

import pytest

from vzgym.core.errors import InvalidSetting, SubtitleError, TaskError
from vzgym.tasks import Subtitle, parse_subtitles, read_subtitles
from vzgym.tasks.subtitles import MalformedSubtitles, overlapping

SRT = """1
00:00:01,000 --> 00:00:02,500
<font color="white">Hello</font> there

2
00:01:00,5 --> 01:00:00,000 X1:10 Y1:20
{\\an8}Two <i>lines</i>
of text

3
00:00:03.000 --> 00:00:04.000

4
0:00:03,000 --> 0:00:04,000
Grüß Gott
"""
GOOD = "1\n00:00:01,000 --> 00:00:02,000\na\n\n"
LINES = (
    Subtitle(1.0, 2.5, "Hello there"),
    Subtitle(3.0, 4.0, "Grüß Gott"),
    Subtitle(60.5, 3600.0, "Two lines\nof text"),
)


def test_subrip_is_read_in_order_of_starts_without_markup() -> None:
    assert parse_subtitles(SRT) == LINES
    assert parse_subtitles(SRT.replace("\n", "\r\n")) == LINES


def test_webvtt_is_read_without_notes_styles_and_tags() -> None:
    text = """WEBVTT Kind: captions
Language: en

STYLE
::cue { color: lime }

NOTE a comment
of two lines

intro
00:01.000 --> 00:02.000 align:start position:0%
<v.loud Roger Bingham>We are &amp; were

100:00:00.000 --> 100:00:01.000
<c.yellow>A&gt;B</c>
"""
    assert parse_subtitles(text) == (
        Subtitle(1.0, 2.0, "Roger Bingham: We are & were"),
        Subtitle(360000.0, 360001.0, "A>B"),
    )


def test_lines_that_rolling_captions_repeat_appear_once() -> None:
    # A line of one space, as in YouTube's files, ends no cue.
    text = """WEBVTT

00:00:00.000 --> 00:00:02.000
_
so<00:00:00.500><c> today</c>

00:00:02.000 --> 00:00:02.010
so today
_

00:00:02.010 --> 00:00:04.000
so today
we<00:00:02.500><c> cook</c>

00:00:09.000 --> 00:00:10.000
we cook
"""
    assert [line.text for line in parse_subtitles(text.replace("_", " "))] == ["so today", "we cook", "we cook"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([{"start": 1, "end": 2.5, "text": "a"}], [(1, 2.5, "a")]),
        ([{"start": "00:00:01.250", "end": "00:01:00.000", "line": "a"}], [(1.25, 60, "a")]),
        ([{"timestamp": [1, 2], "text": "a"}], [(1, 2, "a")]),
        ([{"start": 1, "duration": 2, "text": "a"}], [(1, 3, "a")]),
        ([{"start_ms": 1000, "end_ms": 2000, "text": "a"}], [(1, 2, "a")]),
        ([{"start": "1.5", "dur": "2", "text": "a"}], [(1.5, 3.5, "a")]),
        ([[1, 2, "a"]], [(1, 2, "a")]),
        ({"text": "a b", "segments": [{"start": 0.0, "end": 1.0, "text": " a"}]}, [(0, 1, "a")]),
        (
            {
                "events": [
                    {"tStartMs": 0, "dDurationMs": 9000, "id": 1, "wpWinPosId": 1},
                    {"tStartMs": 1500, "dDurationMs": 1000, "segs": [{"utf8": "a"}, {"utf8": " b", "tOffsetMs": 100}]},
                    {"tStartMs": 1600, "aAppend": 1, "segs": [{"utf8": "\n"}]},
                ]
            },
            [(1.5, 2.5, "a b")],
        ),
        ([], []),
    ],
)
def test_json_forms(data: object, expected: list[tuple[float, float, str]]) -> None:
    assert parse_subtitles(json.dumps(data)) == tuple(Subtitle(*line) for line in expected)


def test_numbers_in_milliseconds_are_declared() -> None:
    text = json.dumps([{"start": 1500, "end": 2000, "text": "a"}, {"start": "00:00:03", "end_ms": 4000, "text": "b"}])
    assert parse_subtitles(text, unit="milliseconds") == (Subtitle(1.5, 2.0, "a"), Subtitle(3.0, 4.0, "b"))


def test_json_lines() -> None:
    text = '{"text": "so", "start_time": 0.1, "end_time": 0.4}\n\n{"text": "we", "start_time": 0.4, "end_time": 1}\n'
    assert [line.text for line in parse_subtitles(text)] == ["so", "we"]
    assert len(parse_subtitles(text.partition("\n")[0])) == 1
    with pytest.raises(SubtitleError, match="block 2, line 3: not JSON"):
        parse_subtitles('{"text": "so", "start": 0, "end": 1}\n\n{"text"\n')


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0" encoding="utf-8"?><transcript><text start="1" dur="1.5">it&amp;#39;s</text></transcript>',
        '<timedtext format="3"><body><p t="1000" d="1500"><s>it</s><s>\'s</s></p><p t="2"/></body></timedtext>',
        '<tt xmlns="http://www.w3.org/ns/ttml"><div><p begin="00:00:01.000" end="2.5s">it\'s</p></div></tt>',
        '<tt xmlns="http://www.w3.org/ns/ttml"><body><p begin="1000ms" dur="1.5s">it\'s</p></body></tt>',
    ],
)
def test_xml_forms(text: str) -> None:
    assert parse_subtitles(text) == (Subtitle(1.0, 2.5, "it's"),)


def test_an_open_end_takes_the_duration_and_an_offset_moves_all_times() -> None:
    text = json.dumps([{"timestamp": [99, 100], "text": "before"}, {"timestamp": [104, None], "text": "last"}])
    assert parse_subtitles(text, offset=-102.0, duration=10.0) == (Subtitle(2.0, 10.0, "last"),)
    straddling = json.dumps([{"timestamp": [101, 104], "text": "over the cut"}])
    assert parse_subtitles(straddling, offset=-102.0) == (Subtitle(0.0, 2.0, "over the cut"),)
    with pytest.raises(SubtitleError, match="block 2: no end: pass duration="):
        parse_subtitles(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_are_recognized(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.srt"
    file.write_bytes(SRT.encode(encoding))
    assert read_subtitles(file) == LINES
    if encoding != "utf-8":
        assert read_subtitles(file, encoding="cp1252") == LINES


@pytest.mark.parametrize(
    ("data", "encoding", "reason"),
    [
        (SRT.encode("cp1252"), None, r"a.srt, line 15: byte 0xfc at position \d+ is not utf-8 .*pass encoding="),
        (SRT.encode("utf-16-le"), None, "is not utf-8 .*UTF-16 without a byte order mark"),
        (GOOD.encode("utf-16-le"), None, "NUL character at position 1, as in UTF-16 without"),
        (SRT.encode("utf-16") + b"\n", None, "is not utf-16-le"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n\x81\n", "cp1252", "line 3: byte 0x81 at position 32 is not cp1252"),
    ],
)
def test_undecodable_bytes_are_named(tmp_path: Path, data: bytes, encoding: str | None, reason: str) -> None:
    file = tmp_path / "a.srt"
    file.write_bytes(data)
    with pytest.raises(SubtitleError, match=reason):
        read_subtitles(file, encoding=encoding)
    assert issubclass(SubtitleError, TaskError)


def test_a_declared_encoding_is_used(tmp_path: Path) -> None:
    file = tmp_path / "a.srt"
    for encoding, text in (("cp1252", "Grüß Gott"), ("utf-16-le", "Grüß Gott"), ("shift_jis", "こんにちは")):
        file.write_bytes(f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n".encode(encoding))
        assert read_subtitles(file, encoding=encoding) == (Subtitle(1.0, 2.0, text),)
    for encoding in ("latin-99", "base64"):
        with pytest.raises(InvalidSetting, match=encoding):
            read_subtitles(file, encoding=encoding)


@pytest.mark.parametrize(
    ("text", "reason", "left"),
    [
        (GOOD + "2\n00:00:01,000 -> 00:00:02,000\nb\n", "block 2, line 6: no times", 1),
        (GOOD + "2\n00:00:01,000 --> 00:00:2x,000\nb\n", "block 2, line 6: bad times", 1),
        (GOOD + "2\n00:61:01,000 --> 00:62:00,000\nb\n", "block 2, line 6: bad times", 1),
        (GOOD + "2\n-00:00:01,000 --> 00:00:02,000\nb\n", "block 2, line 6: bad times", 1),
        (GOOD + "2\n00:00:05,000 --> 00:00:04,000\nb\n", "block 2, line 6: it ends at 4 s, before it starts at 5", 1),
        (GOOD + "text after a blank line\n", "block 2, line 5: no times", 1),
        (GOOD.rstrip("\n") + "\n2\n00:00:03,000 --> 00:00:04,000\nb\n", "block 1, line 4: no blank line before", 2),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\na\n\nonly text\n", "block 2, line 6: no times", 1),
        ("WEBVTT\n\n00:01.000 --> 00:02\na\n\nid\n00:70.000 --> 00:80.000\nb\n", "block 2, line 7: bad times", 1),
        ("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:0,MPEGTS:900000\n\n00:01.0 --> 00:02.0\na\n", "pass offset=", 1),
        ('[{"start": 1, "end": 2, "text": "a"}, {"start": 1, "text": "b"}]', "block 2: no end", 1),
        ('[{"start": 1, "end": 2, "text": "a"}, {"end": 1, "text": "b"}]', "block 2: no start", 1),
        ('[{"start": 1, "end": 2, "text": "a"}, {"start": 1, "end": 2}]', "block 2: no text", 1),
        ('[{"start": 1, "end": 2, "text": "a"}, {"start": "1 min", "end": 2, "text": "b"}]', "'1 min'", 1),
        ('[{"start": 1, "end": 2, "text": "a"}, {"start": true, "end": 2, "text": "b"}]', "True", 1),
        ('[{"start": 1, "end": 2, "text": "a"}, {"start": NaN, "end": 2, "text": "b"}]', "not finite", 1),
        ('[{"start": 1, "end": 2, "text": "a"}, {"start": -1, "end": 2, "text": "b"}]', "before 0", 1),
        ('[{"start": 1, "end": 2, "text": "a"}, {"start": 1, "end": 2, "text": "\\ud83d"}]', "surrogate", 1),
        ('[{"start": 1, "end": 2, "text": "a"}, 7]', "block 2: expected", 1),
        ('<transcript><text start="1" dur="1">a</text><text start="x">b</text></transcript>', "block 2: bad times", 1),
        (
            '<tt xmlns="http://www.w3.org/ns/ttml"><p begin="1s" end="2s">a</p><p begin="5f" end="9f">b</p></tt>',
            "block 2: bad times",
            1,
        ),
        ("", "the file is empty", 0),
    ],
)
def test_a_malformed_block_is_an_error_or_is_counted(text: str, reason: str, left: int) -> None:
    with pytest.raises(SubtitleError, match=f"^talk.*{reason}"):
        parse_subtitles(text, "talk")
    with pytest.warns(MalformedSubtitles, match=f"talk: 1 malformed .*{reason}"):
        assert len(parse_subtitles(text, "talk", strict=False)) == left


def test_the_warning_counts_all_malformed_blocks() -> None:
    text = GOOD + "no times\n\n" * 7
    with pytest.warns(MalformedSubtitles, match="7 malformed blocks beside 1 good .*and 4 more"):
        parse_subtitles(text, strict=False)


def test_a_cue_after_the_end_of_the_video_is_malformed() -> None:
    with pytest.raises(SubtitleError, match=r"block 1.*it starts at 1 s, but the video ends at 0.5 s"):
        parse_subtitles(GOOD, duration=0.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[Script Info]\nTitle: x\n", "SubStation Alpha"),
        ("just some text\n", "of no known format"),
        ("{not json", "not JSON"),
        ('{"a": 1}', "no list of cues|block 1.*no text"),
        ("<html></html>", "<html> is none of"),
        ("<tt>", "not XML"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_files_of_other_kinds_are_refused(text: str, reason: str) -> None:
    with pytest.raises(SubtitleError, match=reason):
        parse_subtitles(text)


def test_a_missing_file_and_invalid_settings(tmp_path: Path) -> None:
    with pytest.raises(SubtitleError, match=r"gone\.srt: cannot be read"):
        read_subtitles(tmp_path / "gone.srt")
    for settings in ({"format": "ass"}, {"unit": "frames"}, {"offset": float("nan")}, {"duration": 0}):
        with pytest.raises(InvalidSetting, match=next(iter(settings))):
            parse_subtitles(SRT, **settings)


def test_overlapping_lines_in_order() -> None:
    lines = [Subtitle(5, 6, "c"), Subtitle(0, 2, "a"), Subtitle(2, 2, "instant"), Subtitle(1, 5, "b")]
    assert [line.text for line in overlapping(lines, 2, 5)] == ["b", "instant"]
    assert [line.text for line in overlapping(lines, 1.5, 1.5)] == ["a", "b"]
    assert [line.text for line in overlapping(lines, 2, 2)] == ["b", "instant"]
    assert not overlapping(lines, 6, 9)


@pytest.mark.parametrize(
    "values", [(1, 0, "x"), (-1, 0, "x"), (0, float("inf"), "x"), ("0", 1, "x"), (0, 1, 5), (0, 10**400, "x")]
)
def test_an_impossible_subtitle_is_refused(values: tuple[object, object, object]) -> None:
    with pytest.raises(TaskError, match="subtitle"):
        Subtitle(*values)
