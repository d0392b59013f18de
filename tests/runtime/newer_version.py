"""A newer version of the program: a copy of this one, with a migration, a new column and a new field of the state."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIGRATION = '''"""The second tables."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.add_column("delivery", sa.Column("scale", sa.String(), nullable=True))
'''
PATCHES = {
    "worker/domain/delivery.py": ("    version: int = field(", '    scale: str = "newer"\n    weighed: int = 0\n'),
    "worker/database/tables.py": ("    version: int = Field(sa_type=BigInteger)", "    scale: str | None = None\n"),
    "worker/database/mapping.py": (
        "    layout = _LAYOUTS[type(value)]\n    row =",
        "    if isinstance(value, Delivery):\n        vars(value).update(weighed=value.weighed + 1, scale='newer')\n",
    ),
}
"""For each file, the text before which more is inserted. The newer version counts how often it stored a delivery."""


def write_newer_version(folder: Path) -> Path:
    """Write a newer version of the program to a folder; return the folder, for the variable PYTHONPATH."""
    for package in ("schemas", "tasks", "worker"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (place, more) in PATCHES.items():
        source = (folder / name).read_text()
        assert source.count(place) == 1, name
        (folder / name).write_text(source.replace(place, more + place))
    (folder / "worker/database/migrations/versions/0002_the_second_tables.py").write_text(MIGRATION)
    return folder
