"""What is said of a package that changes on disk."""

from pathlib import Path

from actors import __version__
from actors.supervisor.package import Package


def install(file: Path, version: str) -> None:
    """As an installer does it: another file takes the place."""
    fresh = file.with_suffix(".new")
    fresh.write_text(f'"""A package."""\n__version__: Final = "{version}"\n')
    fresh.rename(file)


def test_changes_are_said_once_each(tmp_path: Path) -> None:
    file = tmp_path / "__init__.py"
    install(file, "1")
    package = Package(file)
    assert package.news() is None
    install(file, "2")
    said = package.news()
    assert said is not None
    assert "(now version 2)" in said
    assert f"goes on with version {__version__}" in said
    assert "Restart" in said
    assert package.news() is None
    file.unlink()
    said = package.news()
    assert said is not None
    assert "is gone" in said
    assert "Install it again" in said
    assert package.news() is None


def test_half_a_file_is_no_version(tmp_path: Path) -> None:
    file = tmp_path / "__init__.py"
    install(file, "1")
    package = Package(file)
    file.unlink()
    file.write_text("__version__: Fin")
    said = package.news()
    assert said is not None
    assert "cannot be read yet" in said


def test_our_own_names_its_version() -> None:
    package = Package()
    assert package._version() == f"now version {__version__}"
