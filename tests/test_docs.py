"""The settings in the documentation are accepted as they are pasted, and queries are in a form that their tools take. The
README's first steps and a backup work as they are described."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from o2i import numbered, pages, readers
from o2i.collector import REPOSITORY, Collector, binary, settings

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


def test_the_agent_of_the_guide_is_a_whole_configuration(tmp_path):
    block = pages.block_with(REPOSITORY / "docs" / "deployment.md", "yaml", "otlp_grpc:")
    path = tmp_path / "config.yaml"
    path.write_text(block.replace("/var/lib/otelcol/queue", str(tmp_path / "queue")))
    done = subprocess.run([binary(), "validate", "--config", path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(block)
    assert config["service"]["extensions"] == ["file_storage"]
    assert config["service"]["pipelines"].keys() == {"logs", "traces", "metrics"}


def test_the_first_steps_of_the_readme_store_a_log_and_find_it(tmp_path):
    page = REPOSITORY / "README.md"
    send = pages.block_with(page, "sh", "curl ")
    [query] = re.findall(r"<<'PY'\n(.*?)^PY$", pages.block_with(page, "sh", "duckdb"), re.DOTALL | re.MULTILINE)
    # Everywhere else the extension comes from DuckDB's server.
    with readers.connect_duckdb() as duckdb:
        [(folder,)] = duckdb.execute("SELECT current_setting('extension_directory')").fetchall()
    load = f"SET extension_directory = '{folder}'; LOAD avro; LOAD iceberg;"
    assert "INSTALL iceberg; LOAD iceberg;" in query
    query = query.replace("INSTALL iceberg; LOAD iceberg;", load)
    # In a folder like the repository's: tables are under ./warehouse, by default.
    with Collector(tmp_path, {"iceberg": {"sending_queue": {"batch": {"flush_timeout": "200ms"}}}}) as collector:
        assert "127.0.0.1:4318" in send
        command = ["bash", "-ec", send.replace("127.0.0.1:4318", f"127.0.0.1:{collector.http_port}")]
        sent = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert sent.returncode == 0, sent.stderr
        assert f"The answer is `{sent.stdout}`" in page.read_text()
        readers.wait_for_rows(tmp_path / "warehouse", {"logs": 1})
        found = subprocess.run([sys.executable, "-c", query], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    for text in ("first-steps", "INFO", "hello, Iceberg"):
        assert text in found.stdout, found.stdout


def test_a_copy_of_a_stopped_warehouse_can_be_put_back(tmp_path, warehouse):
    """As docs/operations.md describes a backup."""
    collector = Collector(tmp_path / "collector", {"iceberg": settings(warehouse)})

    def store(numbers: range, there: int) -> None:
        with collector:
            with collector.client() as client:
                client.send(numbered.request(numbers))
            readers.wait_for_rows(warehouse, {"logs": there})

    store(range(10), 10)
    shutil.copytree(warehouse, tmp_path / "backup")
    store(range(10, 20), 20)
    shutil.rmtree(warehouse)
    shutil.copytree(tmp_path / "backup", warehouse)
    numbered.once(warehouse, range(10))
    store(range(20, 30), 20)
    numbered.once(warehouse, [*range(10), *range(20, 30)])


def test_queries_for_grafana_end_without_a_semicolon():
    """Grafana's data source for Trino sends the text as it is, and Trino takes no `;`."""
    block = pages.block_with(REPOSITORY / "docs" / "from-clickhouse.md", "sql", "$__timeFilter")
    assert not re.findall(r"^.*;\s*$", block, re.MULTILINE)
