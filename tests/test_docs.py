"""The settings in the documentation are accepted as they are pasted, and queries are in a form that their tools take."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from o2i import pages
from o2i.collector import REPOSITORY, Collector, binary

SECTIONS = {"catalog", "storage", "tables", "parquet", "commit", "compaction", "limits", "dead_letter", "timeout",
            "retry_on_failure", "sending_queue"}  # fmt: skip


def exporters_in(page: Path) -> Iterator[dict]:
    """The `exporters` sections of a page's blocks. A block that begins with the exporter's own sections is one, too."""
    for block in pages.blocks(page, "yaml"):
        config = yaml.safe_load(block)
        # Other files: a builder manifest, alert rules.
        if "exporters" in config and "dist" not in config:
            yield config["exporters"]
        elif config.keys() <= SECTIONS:
            yield {"iceberg": config}


PAGES = [
    page
    for page in (REPOSITORY / "README.md", REPOSITORY / "collector-exporter" / "README.md", *(REPOSITORY / "docs").rglob("*.md"))
    if any(exporters_in(page))
]


def test_every_page_with_settings_is_found():
    found = {str(page.relative_to(REPOSITORY)) for page in PAGES}
    catalogs = {f"docs/catalogs/{page.name}" for page in (REPOSITORY / "docs" / "catalogs").glob("*.md") if page.stem != "README"}
    assert found >= catalogs | {"README.md", "docs/configuration.md", "docs/storage.md", "docs/operations/maintenance.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_settings_are_accepted_as_pasted(page, tmp_path, monkeypatch):
    for name in set(re.findall(r"\$\{env:(\w+)", page.read_text())):
        monkeypatch.setenv(name, "value")
    for exporters in exporters_in(page):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(Collector(tmp_path, exporters).config))
        done = subprocess.run([binary(), "validate", "--config", path], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{exporters}\n{done.stderr}"


def test_queries_for_grafana_end_without_a_semicolon():
    """Grafana's data source for Trino sends the text as it is, and Trino takes no `;`."""
    block = pages.block_with(REPOSITORY / "docs" / "from-clickhouse.md", "sql", "$__timeFilter")
    assert not re.findall(r"^.*;\s*$", block, re.MULTILINE)
