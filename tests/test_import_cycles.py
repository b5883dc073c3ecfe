"""No file imports another that imports it back, directly or through others; imports inside functions count."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def test_no_cycle_of_imports_between_files() -> None:
    # Packages list their exports for type checkers alone (`vzgym.core.lazy`); those imports never run.
    graph = grimp.build_graph("vzgym", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail("imports in a cycle: " + " -> ".join(reversed(error.args[1])))
