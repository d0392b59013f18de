"""Every mutant of mutants.toml can still be made. `make check-long` checks that the tests kill them."""

from pathlib import Path

import pytest

from tests.mutants.run import ROOT, Mutant, load

MUTANTS = load()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_text_of_a_mutant_occurs_once_and_its_tests_exist(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.text) == 1
    assert mutant.replacement != mutant.text
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / path).read_text()


def test_a_mutant_whose_text_is_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("x = 1\n")
    gone = Mutant("gone", "file.py", "x = 2", "x = 3", ())
    with pytest.raises(ValueError, match="occurs 0 times"):
        gone.apply(tmp_path)
