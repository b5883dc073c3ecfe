"""Parts by name, by mapping, by `module:Class`, by plug-in: and errors that name what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest

from vzgym.core.errors import InvalidSetting, PluginError, UnknownName, UntrustedName
from vzgym.core.registry import Registry, import_object, names_from_data


class Part(Protocol):
    def size(self) -> float: ...


class Fixed:
    def __init__(self, size: float = 1.0, *, unit: str = "m") -> None:
        self._size, self.unit = size, unit

    def size(self) -> float:
        return self._size


class Demanding(Fixed):
    def __init__(self, size: float) -> None:
        super().__init__(size)


class Open(Fixed):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options


class Inheriting(Part):
    """Names the protocol as its base, and has no `__init__`: typing gives it one that seems to take anything."""

    def size(self) -> float:
        return 7.0


@pytest.fixture
def parts() -> Registry[Part]:
    registry: Registry[Part] = Registry("test part", "vzgym.test_parts")
    registry.register("fixed", Fixed)
    registry.register("demanding", Demanding)
    registry.register("open", Open)
    registry.register("inheriting", Inheriting)
    registry.register("late", "fractions:Fraction")
    return registry


def test_names_are_sorted_and_found(parts: Registry[Part]) -> None:
    assert parts.names() == ["demanding", "fixed", "inheriting", "late", "open"]
    assert "fixed" in parts
    assert "loose" not in parts
    assert 5 not in parts


def test_an_unknown_name_lists_the_valid_ones(parts: Registry[Part]) -> None:
    with pytest.raises(UnknownName) as raised:
        parts.make("fixt")
    assert "unknown test part 'fixt'; did you mean 'fixed'? Valid: demanding, fixed, inheriting, late, open" in str(
        raised.value
    )
    assert "module:Class" in str(raised.value)


def test_made_by_name_mapping_path_and_object(parts: Registry[Part]) -> None:
    assert parts.make("fixed").size() == 1.0
    assert parts.make({"name": "fixed", "size": 3.0}).size() == 3.0
    assert str(parts.make("late")) == "0"
    assert type(parts.make("decimal:Decimal")).__name__ == "Decimal"
    mine = Fixed(9.0)
    assert parts.make(mine) is mine


def test_a_mapping_is_left_as_it_was(parts: Registry[Part]) -> None:
    spec = {"name": "fixed", "size": 3.0}
    parts.make(spec)
    assert spec == {"name": "fixed", "size": 3.0}


@pytest.mark.parametrize("spec", [{"size": 1.0}, {}])
def test_a_mapping_needs_a_name(parts: Registry[Part], spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="needs the key 'name'"):
        parts.make(spec)


def test_a_name_is_text(parts: Registry[Part]) -> None:
    with pytest.raises(InvalidSetting, match="'name' of a test part must be a text, got 3"):
        parts.make({"name": 3})


def test_an_unknown_option_lists_the_valid_ones(parts: Registry[Part]) -> None:
    with pytest.raises(InvalidSetting) as raised:
        parts.make({"name": "fixed", "sizes": 2, "colour": "red"})
    assert (
        str(raised.value) == "test part 'fixed' has no option 'colour', 'sizes'; did you mean 'size'? Valid: size, unit"
    )


def test_a_class_with_a_protocol_as_base_takes_no_options(parts: Registry[Part]) -> None:
    # Before its first instance, typing's own __init__ makes it look as if it took any.
    with pytest.raises(InvalidSetting, match=r"has no option 'size'; valid: none"):
        parts.make({"name": "inheriting", "size": 2})
    assert parts.make("inheriting", size=3).size() == 7.0


def test_a_missing_option_is_named(parts: Registry[Part]) -> None:
    with pytest.raises(InvalidSetting, match="test part 'demanding': missing a required argument: 'size'"):
        parts.make("demanding")
    assert parts.make({"name": "demanding", "size": 2.0}).size() == 2.0


def test_a_function_that_is_called_with_too_little_is_said_to_be_one() -> None:
    plain: Registry[Any] = Registry("test part", "no.such.group", methods="size")
    with pytest.raises(InvalidSetting) as raised:
        plain.make("os.path:join")
    assert str(raised.value) == (
        "test part 'os.path:join': missing a required argument: 'a'. It is a function, which is called with the "
        "options to build the test part: name a class with size, or a function that returns such an object."
    )


def test_defaults_reach_only_who_takes_them(parts: Registry[Part]) -> None:
    assert parts.make("fixed", size=5.0, nobody="knows").size() == 5.0
    assert parts.make({"name": "fixed", "size": 6.0}, size=5.0).size() == 6.0
    made = parts.make({"name": "open", "a": 1}, b=2)
    assert isinstance(made, Open)
    assert made.options == {"a": 1, "b": 2}


def test_a_name_is_given_once(parts: Registry[Part]) -> None:
    parts.register("fixed", Fixed)
    with pytest.raises(InvalidSetting, match="'fixed' is registered already"):
        parts.register("fixed", Demanding)
    for name in ("", "a:b"):
        with pytest.raises(InvalidSetting, match="must be non-empty and hold no ':'"):
            parts.register(name, Fixed)


def test_what_cannot_be_called_is_no_part(parts: Registry[Part]) -> None:
    with pytest.raises(PluginError, match="'math:pi' is a float, not a class or a function"):
        parts.make("math:pi")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_module_of_ours:Thing", "cannot import module 'no_such_module_of_ours'"),
        ("math:no_such_name", "module 'math' has no 'no_such_name'"),
        ("math:pi.real.nothing", "module 'math' has no 'pi.real.nothing'"),
        ("math:", "not of the form 'module:Name'"),
        (":Thing", "not of the form 'module:Name'"),
        ("math", "not of the form 'module:Name'"),
        (".core:Thing", "not of the form 'module:Name'"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(path: str, reason: str) -> None:
    with pytest.raises(PluginError) as raised:
        import_object(path)
    assert reason in str(raised.value)
    assert repr(path) in str(raised.value)


def test_a_path_may_go_into_a_class() -> None:
    assert import_object("pathlib:Path.joinpath") is Path.joinpath


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("missing_need", "import no_such_package_of_ours", "no_such_package_of_ours"),
        ("no_python", "class Thing(:\n", "invalid syntax"),
        ("outgrown", "import numpy\nnumpy.no_such_thing_any_more\n", "no_such_thing_any_more"),
        ("unbound", "Thing = Thong\n", "Thong"),
    ],
)
def test_a_module_that_breaks_on_import_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str, reason: str
) -> None:
    (tmp_path / f"vzgym_test_{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError) as raised:
        import_object(f"vzgym_test_{name}:Thing")
    assert f"cannot import module 'vzgym_test_{name}'" in str(raised.value)
    assert reason in str(raised.value)


def install(folder: Path, entries: str) -> None:
    """Put a distribution with entry points into `folder`, as pip would."""
    info = folder / "vzgym_test_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vzgym-test-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vzgym.test_parts]\n{entries}\n")


def test_plug_ins_are_found_and_a_broken_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: Registry[Part]
) -> None:
    (tmp_path / "vzgym_test_plugged.py").write_text(
        "class Plugged:\n    def __init__(self, size=4.0):\n        self._size = size\n"
        "    def size(self):\n        return self._size\n"
    )
    install(
        tmp_path,
        "plugged = vzgym_test_plugged:Plugged\n"
        "gone = vzgym_test_gone:Part\n"
        "renamed = vzgym_test_plugged:Old\n"
        "fixed = vzgym_test_plugged:Plugged",
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert {"plugged", "gone", "renamed"} < set(parts.names())
    assert "plugged" in parts
    assert parts.make("plugged").size() == 4.0
    assert parts.make({"name": "plugged", "size": 5.0}).size() == 5.0
    with pytest.raises(PluginError, match=r"plug-in test part 'gone' \(vzgym_test_gone:Part\) cannot be imported"):
        parts.make("gone")
    with pytest.raises(PluginError, match=r"plug-in test part 'renamed' \(vzgym_test_plugged:Old\)"):
        parts.make("renamed")
    # A plug-in cannot take one of our names.
    assert isinstance(parts.make("fixed"), Fixed)
    # One broken plug-in does not keep the others from being listed in errors.
    with pytest.raises(UnknownName, match="plugged"):
        parts.make("nothing")


def test_all_factories_are_got_but_those_of_broken_plug_ins_which_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "vzgym_test_moody.py").write_text("raise RuntimeError('no device')\n")
    (tmp_path / "vzgym_test_whole.py").write_text("class Plugged: ...\n")
    install(tmp_path, "plugged = vzgym_test_whole:Plugged\nmoody = vzgym_test_moody:Part")
    monkeypatch.syspath_prepend(tmp_path)
    parts: Registry[object] = Registry("test part", "vzgym.test_parts")
    parts.register("fixed", Fixed)
    assert list(parts.get_all()) == ["fixed", "plugged"]
    assert "'moody' (vzgym_test_moody:Part) cannot be imported: RuntimeError: no device" in caplog.text
    parts.register("lost", "vzgym_test_nowhere:Part")
    with pytest.raises(PluginError, match="vzgym_test_nowhere"):
        parts.get_all()


def test_a_part_is_checked_without_being_built(parts: Registry[Part]) -> None:
    def build(size: float) -> Part:
        raise AssertionError("built")

    parts.register("costly", build)
    parts.check({"name": "costly", "size": 1.0})
    parts.check("fixed")
    with pytest.raises(InvalidSetting, match=r"'costly' has no option 'sise'; did you mean 'size'\? Valid: size"):
        parts.check({"name": "costly", "sise": 1.0})
    with pytest.raises(InvalidSetting, match="'costly': missing a required argument: 'size'"):
        parts.check("costly")
    with pytest.raises(UnknownName, match="unknown test part 'loose'"):
        parts.check("loose")


class Heavy(Fixed):
    @staticmethod
    def check_options(size: float = 1.0, **others: Any) -> None:
        if size < 0:
            raise InvalidSetting(f"size must be >= 0, got {size}")

    def __init__(self, size: float = 1.0) -> None:
        raise AssertionError("built")


def test_a_part_may_check_its_options_itself(parts: Registry[Part]) -> None:
    parts.register("heavy", Heavy)
    parts.check("heavy")
    with pytest.raises(InvalidSetting, match="size must be >= 0, got -1"):
        parts.check({"name": "heavy", "size": -1})


def test_a_misspelled_name_with_options_is_no_module(parts: Registry[Part]) -> None:
    with pytest.raises(PluginError, match=r"cannot import module 'fixt'.*or did you mean the test part 'fixed'\?"):
        parts.get("fixt:size=2")
    with pytest.raises(PluginError, match=r"No module named 'nowhere'$"):
        parts.get("nowhere:Part")


class Nesting(Fixed):
    """Resolves a name of its own, as an action module does with its protocol."""

    def __init__(self, inner: str) -> None:
        registry: Registry[Any] = Registry("inner part", "vzgym.test_parts")
        registry.register("known", Fixed)
        super().__init__(registry.make(inner).size())


@pytest.mark.parametrize(
    "spec",
    [
        "decimal:Decimal",
        {"name": "decimal:Decimal"},
        {"name": "nesting", "inner": "vzgym_no_such_module:Class"},
        "outward",
        {"name": "outward:x"},
    ],
)
def test_data_resolves_registered_names_only(parts: Registry[Part], spec: Any) -> None:
    parts.register("nesting", Nesting)
    parts.register("outward", Demanding, from_data=False)
    with names_from_data("the file a.json", hint="Say --trust-code."), pytest.raises(UntrustedName) as raised:
        parts.make(spec)
    assert str(raised.value).startswith("the file a.json names the ")
    assert str(raised.value).endswith(" Say --trust-code.")


def test_data_that_the_user_trusts_and_registered_names_resolve(parts: Registry[Part]) -> None:
    parts.register("nesting", Nesting)
    with names_from_data("the file a.json"):
        assert parts.make({"name": "fixed", "size": 2.0}).size() == 2.0
        assert parts.make({"name": "nesting", "inner": "known"}).size() == 1.0
        assert str(parts.make("late")) == "0"
        with pytest.raises(UnknownName):
            parts.make("fixt")
        with names_from_data("the file b.json", trust_code=True):
            assert type(parts.make("decimal:Decimal")).__name__ == "Decimal"
        with pytest.raises(UntrustedName):
            parts.make("decimal:Decimal")
    assert type(parts.make("decimal:Decimal")).__name__ == "Decimal"
