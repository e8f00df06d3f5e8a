"""examples/deploy and docs/deployment.md: the parts fit together, and the Collector stores rows with their settings."""

from __future__ import annotations

import copy
import http.client
import ipaddress
import re
import shlex
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import grpc
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from catalogs.exporting import aws_environment
from catalogs.oauth import OAuth2Proxy
from catalogs.reading import load, read_duckdb, rows_hash, wait_for_rows
from catalogs.s3 import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from o2i import corpus, numbered, otlp, readers
from o2i.collector import REPOSITORY, Collector, binary, settings
from o2i.tables import TABLES, TIME_COLUMN

DEPLOY = REPOSITORY / "examples" / "deploy"
DURABLE = REPOSITORY / "examples" / "collector" / "durable.yaml"
GUIDE = (REPOSITORY / "docs" / "deployment.md").read_text()
OBJECTS = {
    (one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
}
NAME = "otelcol-iceberg"
CONFIG = OBJECTS["ConfigMap", NAME]["data"]["config.yaml"]
STATEFUL_SET = OBJECTS["StatefulSet", NAME]["spec"]
POD = STATEFUL_SET["template"]["spec"]
[CONTAINER] = POD["containers"]
SERVICES = [one for (kind, _), one in OBJECTS.items() if kind == "Service"]
# What Kubernetes fills in for a pod.
OF_POD = {"status.podIP": "127.0.0.1", "metadata.labels['apps.kubernetes.io/pod-index']": "0"}
MEBIBYTE = 1 << 20


def environment(**changed: str) -> dict[str, str]:
    """The variables that the manifest sets in pod 0, some of them changed."""
    found = {}
    for source in CONTAINER["envFrom"]:
        found |= OBJECTS["Secret", source["secretRef"]["name"]]["stringData"]
    for one in CONTAINER["env"]:
        found[one["name"]] = one["value"] if "value" in one else OF_POD[one["valueFrom"]["fieldRef"]["fieldPath"]]
    assert found.keys() >= changed.keys(), f"the manifest sets no {changed.keys() - found.keys()}"
    return {**found, **changed}


def expanded(**changed: str) -> dict:
    """The manifest's configuration with its variables replaced. One that is not set and has no default is an error."""
    text, variables = CONFIG, environment(**changed)
    while match := re.search(r"\$\{env:(\w+)(?::-([^${}]*))?\}", text):
        value = variables.get(match[1], match[2])
        assert value is not None, f"the manifest does not set {match[1]}"
        text = text[: match.start()] + value + text[match.end() :]
    return yaml.safe_load(text)


def validate(config: Path, variables: dict[str, str]) -> subprocess.CompletedProcess:
    """Runs the Collector's `validate` with these variables and no others."""
    command = [binary(), "validate", "--config", config]
    return subprocess.run(command, env=variables, cwd=config.parent, capture_output=True, text=True, timeout=30)


def directories(config) -> Iterator[str]:
    """The directories that the extensions of a configuration write to."""
    for key, value in config.items():
        if key == "directory":
            yield value
        elif isinstance(value, dict):
            yield from directories(value)


def leave_compaction(queue: Path) -> Path:
    """Makes the folder of a queue, with what a compaction leaves there when a kill cuts it off; returns that file."""
    queue.mkdir(parents=True)
    left = queue / "tempdb1"
    left.write_bytes(b"a part of the queue")
    return left


def ports() -> dict[str, int]:
    """The ports of the manifest's configuration, by the names that the container gives them."""
    config = expanded()
    protocols = config["receivers"]["otlp"]["protocols"]
    endpoints = {
        "otlp-grpc": protocols["grpc"]["endpoint"],
        "otlp-http": protocols["http"]["endpoint"],
        "health": config["extensions"]["health_check"]["endpoint"],
    }
    [reader] = config["service"]["telemetry"]["metrics"]["readers"]
    prometheus = reader["pull"]["exporter"]["prometheus"]
    endpoints["metrics"] = f"{prometheus['host']}:{prometheus['port']}"
    # Only the pod's own address can be reached from outside.
    assert {endpoint.rpartition(":")[0] for endpoint in endpoints.values()} == {OF_POD["status.podIP"]}
    return {name: int(endpoint.rpartition(":")[2]) for name, endpoint in endpoints.items()}


def stop_seconds() -> int:
    """The stop timeout that the documentation asks for."""
    memory = (REPOSITORY / "docs" / "operations" / "memory.md").read_text()
    return int(re.search(r"\*\*Set the stop timeout of your supervisor to (\d+) s\*\*", memory)[1])


def dockerfile(path: Path) -> dict[str, list[str]]:
    """The arguments of each instruction."""
    found: dict[str, list[str]] = {}
    for name, arguments in re.findall(r"^([A-Z]+) (.*)$", path.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(arguments)
    return found


def unit() -> dict[str, list[str]]:
    """The values of each directive of the systemd unit."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "otelcol-iceberg.service").read_text().splitlines():
        if line and line[0] not in "#[":
            name, equals, value = line.partition("=")
            assert equals and re.fullmatch(r"[A-Z][A-Za-z]+", name), line
            found.setdefault(name, []).append(value)
    return found


# Kubernetes


def test_the_manifest_s_configuration_is_valid_with_its_variables(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    expanded()
    done = validate(path, environment(STATE_DIRECTORY=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    without = environment(STATE_DIRECTORY=str(tmp_path))
    del without["CATALOG_URI"]
    assert "catalog::uri: is empty; is an environment variable not set?" in validate(path, without).stderr


def test_the_configuration_without_volumes_is_valid(tmp_path):
    config = yaml.safe_load(CONFIG)
    del config["extensions"]["file_storage"]
    config["service"]["extensions"].remove("file_storage")
    exporter = config["exporters"]["iceberg"]
    del exporter["compaction"], exporter["sending_queue"]["storage"]
    exporter["sending_queue"]["wait_for_result"] = True
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = validate(tmp_path / "config.yaml", environment())
    assert done.returncode == 0, done.stderr


def test_the_first_pod_compacts_and_no_other(tmp_path):
    enabled = [
        expanded(POD_INDEX=str(index))["exporters"]["iceberg"]["compaction"]["enabled"]
        for index in range(STATEFUL_SET["replicas"] + 10)
    ]
    assert enabled == [True] + [False] * (STATEFUL_SET["replicas"] + 9)
    # The Collector resolves it in the same way: it sees a wrong value in pod 0 only.
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    for index in ("0", "1", "10"):
        wrong = environment(STATE_DIRECTORY=str(tmp_path), POD_INDEX=index, COMPACTION_OF_POD_0="wrong")
        assert (validate(path, wrong).returncode == 0) == (index != "0"), index


def test_ports_of_the_container_the_services_and_the_probes_are_the_configuration_s():
    assert {one["name"]: one["containerPort"] for one in CONTAINER["ports"]} == ports()
    for service in SERVICES:
        for port in service["spec"]["ports"]:
            assert port["port"] == ports()[port["targetPort"]], service["metadata"]["name"]
        assert {port["targetPort"] for port in service["spec"]["ports"]} == {"otlp-grpc", "otlp-http"}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert CONTAINER[probe]["httpGet"] == {"path": "/", "port": "health"}
    annotations = STATEFUL_SET["template"]["metadata"]["annotations"]
    assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": str(ports()["metrics"])}


def test_names_that_refer_to_other_objects_exist():
    labels = STATEFUL_SET["template"]["metadata"]["labels"]
    selectors = [service["spec"]["selector"] for service in SERVICES]
    selectors += [one["spec"]["selector"]["matchLabels"] for (kind, _), one in OBJECTS.items() if kind == "PodDisruptionBudget"]
    selectors += [STATEFUL_SET["selector"]["matchLabels"]]
    selectors += [one["labelSelector"]["matchLabels"] for one in POD["topologySpreadConstraints"]]
    assert len(selectors) == 5
    assert all(selector == labels for selector in selectors)
    assert OBJECTS["Service", STATEFUL_SET["serviceName"]]["spec"]["clusterIP"] == "None"
    assert ("ServiceAccount", POD["serviceAccountName"]) in OBJECTS
    [config] = POD["volumes"]
    assert ("ConfigMap", config["configMap"]["name"]) in OBJECTS
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {
        config["name"],
        *(claim["metadata"]["name"] for claim in STATEFUL_SET["volumeClaimTemplates"]),
    }


def test_each_directory_that_is_written_to_is_on_a_volume():
    claims = {claim["metadata"]["name"]: claim["spec"] for claim in STATEFUL_SET["volumeClaimTemplates"]}
    writable = [mount["mountPath"] for mount in CONTAINER["volumeMounts"] if mount["name"] in claims]
    assert not any(mount.get("readOnly") for mount in CONTAINER["volumeMounts"] if mount["name"] in claims)
    config = expanded()
    written = list(directories(config["extensions"]))
    assert written
    for directory in written:
        assert any(PurePosixPath(directory).is_relative_to(mount) for mount in writable), directory
    # Tables and rejected data have no local directory.
    exporter = config["exporters"]["iceberg"]
    assert exporter["catalog"]["type"] == "rest"
    assert "dead_letter" not in exporter
    # The configuration is where the program looks for it.
    [mounted] = [mount["mountPath"] for mount in CONTAINER["volumeMounts"] if mount["name"] not in claims]
    assert CONTAINER["args"] == ["--config", f"{mounted}/config.yaml"]
    # A queue for each of three signals fits into the volume.
    [claim] = claims.values()
    assert int(claim["resources"]["requests"]["storage"].removesuffix("Gi")) << 30 > 3 * exporter["sending_queue"]["queue_size"]


def test_pods_have_no_privileges():
    """The rules of Kubernetes' Pod Security Standard "restricted", and a root file system that is read-only."""
    assert POD["securityContext"].items() >= {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }.items()
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any(POD.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert OBJECTS["ServiceAccount", NAME]["automountServiceAccountToken"] is False


def test_pods_get_the_time_to_stop_that_the_documentation_asks_for():
    assert POD["terminationGracePeriodSeconds"] >= stop_seconds()


def test_the_memory_limit_is_above_the_documented_sum():
    table = GUIDE.partition("### Memory")[2].partition("### ")[0]
    rows = {part: int(number.replace(",", "")) for part, number in re.findall(r"^\| ([^|]+) \| ([\d,]+) \|", table, re.MULTILINE)}
    together = rows.pop("together")
    assert sum(rows.values()) == together
    limit = CONTAINER["resources"]["limits"]["memory"]
    assert CONTAINER["resources"]["requests"]["memory"] == limit
    assert int(limit.removesuffix("Gi")) * 1024 > together
    [of_heap] = [number for part, number in rows.items() if part.startswith("Go's heap")]
    assert environment()["GOMEMLIMIT"] == f"{of_heap}MiB"
    config = expanded()
    assert config["processors"]["memory_limiter"]["limit_mib"] == of_heap
    batch = 24
    queue = config["exporters"]["iceberg"]["sending_queue"]
    text = " ".join(table.split())
    assert f"{queue['num_consumers'] * batch} MiB when a restart reads" in text
    assert f"`num_consumers: {queue['num_consumers']}`" in text
    # What the sum takes for granted.
    assert "limits" not in config["exporters"]["iceberg"]
    assert "batch" not in queue


def test_the_guide_shows_the_manifest_s_line_of_compaction():
    assert re.search(r"^ +enabled: .*COMPACTION.*$", CONFIG, re.MULTILINE)[0].strip() in GUIDE
    assert re.search(r"endpoint: dns:///([\w-]+):(\d+)", GUIDE).groups() == (STATEFUL_SET["serviceName"], str(ports()["otlp-grpc"]))


class Catalog(OAuth2Proxy):
    """The reference catalog behind tokens that it issues itself, where clients look by default."""

    TOKEN_PATH = "/v1/oauth/tokens"


def test_the_manifest_s_configuration_stores_every_signal(lake, namespace, tmp_path, monkeypatch):
    aws_environment(monkeypatch)
    fixtures = [corpus.fixture(name) for name in ("logs", "traces", "metrics")]
    rows = {table: of_table for one in fixtures for table, of_table in one.rows.items()}
    assert rows.keys() == TABLES.keys()
    state = tmp_path / "state"
    left = leave_compaction(state / "queue")
    with Catalog(lake.catalog.uri, "gateway", "secret of the gateway", "PRINCIPAL_ROLE:ALL", token_seconds=3600) as front:
        variables = environment(
            STATE_DIRECTORY=str(state),
            CATALOG_URI=front.uri,
            CATALOG_NAMESPACE=namespace,
            CATALOG_CLIENT_ID=front.client_id,
            CATALOG_CLIENT_SECRET=front.client_secret,
            AWS_REGION=REGION,
            AWS_ACCESS_KEY_ID=ACCESS_KEY_ID,
            AWS_SECRET_ACCESS_KEY=SECRET_ACCESS_KEY,
        )
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        # In a comment of the manifest, for storage that is not AWS's.
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", lake.s3.endpoint)
        collector = Collector(tmp_path / "collector", {})
        text = CONFIG
        free = {"otlp-grpc": collector.grpc_port, "otlp-http": collector.http_port, "health": collector.health_port,
                "metrics": collector.metrics_port}  # fmt: skip
        for name, port in ports().items():
            text, count = re.subn(rf"(:\s*){port}$", rf"\g<1>{free[name]}", text, flags=re.MULTILINE)
            assert count == 1, name
        collector.config = yaml.safe_load(text)
        begun = time.time_ns() // 1000
        with collector, collector.client() as client, closing(lake.catalog.client()) as catalog:
            assert not left.exists()
            for one in fixtures:
                client.send(one.payload, "grpc" if one.signal == "traces" else "http/protobuf", one.signal)
            wait_for_rows(catalog, {table: len(of_table) for table, of_table in rows.items()}, namespace)
            ended = time.time_ns() // 1000
            for table, of_table in rows.items():
                found = read_duckdb(load(catalog, table, namespace), lake.s3)
                assert rows_hash(found, (begun, ended), TIME_COLUMN[table]) == rows_hash(of_table), table
            # The alerts of docs/operations.md need these.
            assert re.search(r'^otelcol_exporter_queue_size\{.*exporter="iceberg"', collector.own_metrics(), re.MULTILINE)
        assert front.issued
        assert not front.answered(401)
    assert list((state / "queue").iterdir()), "the queue is not where it should be"
    assert sorted(path.name for path in collector.folder.iterdir()) == ["collector.log", "config.yaml"]


# The Helm chart and the operator


VALUES = yaml.safe_load((DEPLOY / "helm-values.yaml").read_text())
OWN_ADDRESS = "${env:MY_POD_IP}"
# `config` of the values of the chart opentelemetry-collector 0.170.0.
CHART_CONFIG = {
    "exporters": {"debug": {}},
    "extensions": {"health_check": {"endpoint": f"{OWN_ADDRESS}:13133"}},
    "processors": {
        "batch": {},
        "memory_limiter": {"check_interval": "5s", "limit_percentage": 80, "spike_limit_percentage": 25},
    },
    "receivers": {
        "jaeger": {
            "protocols": {
                "grpc": {"endpoint": f"{OWN_ADDRESS}:14250"},
                "thrift_http": {"endpoint": f"{OWN_ADDRESS}:14268"},
                "thrift_compact": {"endpoint": f"{OWN_ADDRESS}:6831"},
            }
        },
        "otlp": {"protocols": {"grpc": {"endpoint": f"{OWN_ADDRESS}:4317"}, "http": {"endpoint": f"{OWN_ADDRESS}:4318"}}},
        "prometheus": {
            "config": {
                "scrape_configs": [
                    {
                        "job_name": "opentelemetry-collector",
                        "scrape_interval": "10s",
                        "static_configs": [{"targets": [f"{OWN_ADDRESS}:8888"]}],
                    }
                ]
            }
        },
        "zipkin": {"endpoint": f"{OWN_ADDRESS}:9411"},
    },
    "service": {
        "telemetry": {
            "resource": {
                "k8s.namespace.name": "${env:OTEL_K8S_NAMESPACE}",
                "k8s.node.name": "${env:OTEL_K8S_NODE_NAME}",
                "k8s.node.ip": "${env:OTEL_K8S_NODE_IP}",
                "k8s.pod.name": "${env:OTEL_K8S_POD_NAME}",
                "k8s.pod.ip": "${env:OTEL_K8S_POD_IP}",
                "host.name": "${env:OTEL_K8S_NODE_NAME}",
            },
            "metrics": {"readers": [{"pull": {"exporter": {"prometheus": {"host": OWN_ADDRESS, "port": 8888}}}}]},
        },
        "extensions": ["health_check"],
        "pipelines": {
            "logs": {"exporters": ["debug"], "processors": ["memory_limiter", "batch"], "receivers": ["otlp"]},
            "metrics": {
                "exporters": ["debug"],
                "processors": ["memory_limiter", "batch"],
                "receivers": ["otlp", "prometheus"],
            },
            "traces": {
                "exporters": ["debug"],
                "processors": ["memory_limiter", "batch"],
                "receivers": ["otlp", "jaeger", "zipkin"],
            },
        },
    },
}
# What the chart sets by itself, on a node of its own.
OF_CHART = {
    "MY_POD_IP": "127.0.0.1",
    "OTEL_K8S_NODE_NAME": "node-1",
    "OTEL_K8S_NODE_IP": "127.0.0.1",
    "OTEL_K8S_NAMESPACE": "telemetry",
    "OTEL_K8S_POD_NAME": "otelcol-iceberg-0",
    "OTEL_K8S_POD_IP": "127.0.0.1",
}


def merged(defaults: dict, values: dict) -> dict:
    """What Helm makes of a chart's defaults and values: mappings are merged, and null removes a default."""
    found = copy.deepcopy(defaults)
    for key, value in values.items():
        if value is None:
            # A null that removes nothing is a name that the chart does not have.
            del found[key]
        elif isinstance(value, dict):
            found[key] = merged(found.get(key) or {}, value)
        else:
            found[key] = value
    return found


def test_the_chart_s_configuration_with_the_values_is_the_manifest_s():
    config, ours = merged(CHART_CONFIG, VALUES["config"]), yaml.safe_load(CONFIG)
    # Labels of the Collector's own metrics.
    assert config["service"]["telemetry"].pop("resource") == CHART_CONFIG["service"]["telemetry"]["resource"]
    assert config == ours


@pytest.mark.parametrize("values", [VALUES["config"], {}], ids=["with the values", "without"])
def test_the_chart_s_configuration_is_valid_with_the_values_only(values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(merged(CHART_CONFIG, values)))
    done = validate(path, {**environment(STATE_DIRECTORY=str(tmp_path)), **OF_CHART})
    assert (done.returncode == 0) == bool(values), done.stderr
    if not values:
        # The receivers that the distribution does not have.
        assert "'receivers' unknown type:" in done.stderr


def test_the_values_are_the_manifest_s():
    own = [one for one in CONTAINER["env"] if one["name"] not in OF_CHART]
    assert VALUES["extraEnvs"] == own
    assert VALUES["extraEnvsFrom"] == CONTAINER["envFrom"]
    assert VALUES["useGOMEMLIMIT"] is False
    assert VALUES["terminationGracePeriodSeconds"] == POD["terminationGracePeriodSeconds"]
    assert (VALUES["mode"], VALUES["replicaCount"]) == ("statefulset", STATEFUL_SET["replicas"])
    assert VALUES["statefulset"]["volumeClaimTemplates"] == STATEFUL_SET["volumeClaimTemplates"]
    assert all(mount in CONTAINER["volumeMounts"] for mount in VALUES["extraVolumeMounts"])
    for name in ("resources", "securityContext"):
        assert VALUES[name] == CONTAINER[name], name
    assert VALUES["podSecurityContext"] == POD["securityContext"]
    assert VALUES["topologySpreadConstraints"] == POD["topologySpreadConstraints"]
    assert VALUES["podAnnotations"] == STATEFUL_SET["template"]["metadata"]["annotations"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert VALUES[name].get("httpGet", {"port": ports()["health"]})["port"] == ports()["health"]
        times = {key: value for key, value in CONTAINER[name].items() if key != "httpGet"}
        assert {key: value for key, value in VALUES[name].items() if key != "httpGet"} == times, name
    image = VALUES["image"]
    assert f"{image['repository']}:{image['tag']}" == CONTAINER["image"]
    # The chart runs /<name>.
    assert dockerfile(DEPLOY / "Dockerfile")["ENTRYPOINT"] == [f'["/{VALUES["command"]["name"]}"]']


def test_the_guide_s_lines_for_the_operator_are_the_manifest_s():
    [block] = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "OpenTelemetryCollector" in block]
    spec = block["spec"]
    assert spec["env"] == [{"name": "GOMEMLIMIT", "value": environment()["GOMEMLIMIT"]}]
    assert spec["terminationGracePeriodSeconds"] == POD["terminationGracePeriodSeconds"]
    assert spec["resources"] == CONTAINER["resources"]
    assert spec["image"] == CONTAINER["image"]
    assert (spec["mode"], spec["replicas"]) == ("statefulset", STATEFUL_SET["replicas"])
    for name in ("startupProbe", "livenessProbe"):
        assert spec[name].items() <= CONTAINER[name].items(), name


# The container


def test_the_image_fits_the_manifest():
    ours = dockerfile(DEPLOY / "Dockerfile")
    assert ours["ENTRYPOINT"] == [f'["/{NAME}"]']
    assert ours["CMD"] == ['["--config", "/etc/otelcol/config.yaml"]']
    assert CONTAINER["args"] == ["--config", "/etc/otelcol/config.yaml"]
    assert "command" not in CONTAINER
    assert ours["USER"] == [f"{POD['securityContext']['runAsUser']}:{POD['securityContext']['runAsGroup']}"]
    assert sorted(map(int, ours["EXPOSE"][0].split())) == sorted(ports().values())
    assert ours["WORKDIR"] == [environment()["STATE_DIRECTORY"]]
    program, licences, state = ours["COPY"]
    assert program.split()[-2:] == [NAME, f"/{NAME}"]
    assert licences.endswith(" /licenses/")
    assert f"--chown={ours['USER'][0]}" in state and state.endswith(f" {ours['WORKDIR'][0]}")
    assert "RUN" not in ours
    assert ours["FROM"] == ["gcr.io/distroless/cc-debian12:nonroot AS base", "base"]


def test_containers_get_the_time_to_stop_that_the_documentation_asks_for():
    for text in ((DEPLOY / "Dockerfile").read_text(), GUIDE):
        assert int(re.search(r"--stop-timeout (\d+)", text)[1]) >= stop_seconds()


def test_the_configuration_for_one_container_listens_for_others(tmp_path):
    [command] = re.findall(r"^sed (?:.*\\\n)*.*$", GUIDE, re.MULTILINE)
    subprocess.run(["bash", "-c", command.replace(">config.yaml", f">{shlex.quote(str(tmp_path))}/config.yaml")], cwd=REPOSITORY, check=True)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert {one["endpoint"].partition(":")[0] for one in config["receivers"]["otlp"]["protocols"].values()} == {"0.0.0.0"}
    # Not a percentage of the container's limit, and what the manifest has.
    assert config["processors"]["memory_limiter"] == expanded()["processors"]["memory_limiter"]
    assert f"GOMEMLIMIT={environment()['GOMEMLIMIT']}" in GUIDE
    done = validate(tmp_path / "config.yaml", {})
    assert done.returncode == 0, done.stderr


# systemd


def test_the_unit_writes_to_its_state_directory_only():
    found = unit()
    assert found["StateDirectory"] == [NAME]
    assert found["WorkingDirectory"] == [f"/var/lib/{NAME}"]
    assert found["ProtectSystem"] == ["strict"]
    assert "DynamicUser" not in found
    assert found["User"] == found["Group"] == [NAME]
    # The queue and the default warehouse are below the working directory.
    config = yaml.safe_load(DURABLE.read_text())
    written = list(directories(config["extensions"]))
    assert written
    assert all(directory.startswith("./") for directory in written)
    assert "catalog" not in config["exporters"]["iceberg"]


def test_the_unit_restarts_and_gets_the_time_to_stop():
    found = unit()
    assert found["Restart"] == ["always"]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert int(found["TimeoutStopSec"][0]) >= stop_seconds()
    assert int(found["LimitNOFILE"][0]) >= 65536
    assert found["Type"] == ["exec"]


def test_the_unit_has_no_privileges():
    found = unit()
    assert found["CapabilityBoundingSet"] == [""]
    assert found["SystemCallFilter"] == ["@system-service"]
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectClock", "ProtectControlGroups",
                 "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
                 "LockPersonality", "MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictRealtime",
                 "RestrictSUIDSGID", "RemoveIPC"):  # fmt: skip
        assert found[name] == ["true"], name


def test_the_guide_installs_what_the_unit_names():
    found, commands = unit(), GUIDE.partition("## systemd")[2].partition("```sh\n")[2].partition("```")[0]
    lines = [shlex.split(line, comments=True) for line in commands.splitlines()]
    installed = {PurePosixPath(line[-1]): line[-2] for line in lines if line[1] == "install"}
    program, _, config = found["ExecStart"][0].split()
    assert found["ExecReload"] == [f"{program} validate --config {config}", "/bin/kill -HUP $MAINPID"]
    assert installed[PurePosixPath(program).parent] == f"dist/{NAME}"
    assert REPOSITORY / installed[PurePosixPath(config)] == DURABLE
    assert installed[PurePosixPath(found["EnvironmentFile"][0].removeprefix("-"))] == "/dev/null"
    assert REPOSITORY / installed[PurePosixPath("/etc/systemd/system")] == DEPLOY / "otelcol-iceberg.service"
    [user] = [line for line in lines if line[1] == "useradd"]
    assert [user[-1]] == found["User"]


def test_the_unit_s_configuration_keeps_queue_and_tables_below_the_working_directory(tmp_path, monkeypatch):
    collector = Collector(tmp_path / "collector", {})
    for name in ("grpc", "http", "health", "metrics"):
        monkeypatch.setenv(f"O2I_{name.upper()}_PORT", str(getattr(collector, f"{name}_port")))
    collector.config = yaml.safe_load(DURABLE.read_text())
    warehouse = collector.folder / "warehouse"
    left = leave_compaction(collector.folder / "queue")
    with collector:
        assert not left.exists()
        with collector.client() as client:
            client.send(numbered.request(range(10)))
        readers.wait_for_rows(warehouse, {"logs": 10})
    numbered.once(warehouse, range(10))
    assert sorted(path.name for path in collector.folder.iterdir()) == ["collector.log", "config.yaml", "queue", "warehouse"]


def test_queues_on_disk_that_are_compacted_are_cleaned_up():
    """Each configuration shown in the repository, also those that no test starts."""
    shown = {"kubernetes.yaml": yaml.safe_load(CONFIG), "helm-values.yaml": VALUES["config"]}
    shown |= {path.name: yaml.safe_load(path.read_text()) for path in (REPOSITORY / "examples").glob("*/*.yaml") if path.name not in shown}
    for page in [*(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md", REPOSITORY / "collector-exporter" / "README.md"]:
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        shown |= {f"{page.name} {number}": yaml.safe_load(block) for number, block in enumerate(blocks) if "file_storage:" in block}
    compacted = {}
    for name, config in shown.items():
        for storage in ((config or {}).get("extensions") or {}).values():
            if "compaction" in (storage or {}):
                compacted[name] = (storage["compaction"].get("cleanup_on_start"), storage["compaction"]["directory"] == storage["directory"])
    assert compacted.keys() >= {"durable.yaml", "kubernetes.yaml", "helm-values.yaml"}
    assert set(compacted.values()) == {(True, True)}, compacted


# Agents


@pytest.mark.parametrize("limit", ["durable.yaml's", "the receiver's default"])
def test_a_gateway_takes_every_request_of_the_guide_s_agent(limit, tmp_path, monkeypatch):
    """What a gRPC receiver refuses for its size, the agent drops."""
    [block] = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "otlp_grpc:" in block]
    gateway = Collector(tmp_path / "gateway", {})
    for name in ("grpc", "http", "health", "metrics"):
        monkeypatch.setenv(f"O2I_{name.upper()}_PORT", str(getattr(gateway, f"{name}_port")))
    gateway.config = yaml.safe_load(DURABLE.read_text())
    gateway.config["exporters"]["iceberg"]["sending_queue"]["batch"] = {"flush_timeout": "1s"}
    if limit == "the receiver's default":
        del gateway.config["receivers"]["otlp"]["protocols"]["grpc"]["max_recv_msg_size_mib"]
    to_gateway = block["exporters"]["otlp_grpc"]
    to_gateway["endpoint"] = f"127.0.0.1:{gateway.grpc_port}"
    with gateway, Collector(tmp_path / "agent", {"otlp_grpc": to_gateway}, queue_on_disk=True) as agent:
        with agent.client() as client:
            # One request above any limit here, and many that the agent merges.
            parts = [range(10_000), *(range(start, start + 500) for start in range(10_000, 20_000, 500))]
            client.send_all([("logs", wide(part), "grpc") for part in parts])
        numbered.wait_until_stored(gateway.folder / "warehouse", range(20_000))
        assert "Dropping data" not in agent.log()
        if limit == "durable.yaml's":
            with gateway.client() as client:
                client.send(wide(range(20_000, 30_000)), "grpc", "logs")
            numbered.wait_until_stored(gateway.folder / "warehouse", range(30_000))


def test_receivers_of_the_examples_take_the_same_size_over_grpc_as_over_http():
    examples = [*(REPOSITORY / "examples" / "collector").iterdir(), *(REPOSITORY / "examples" / "aws").glob("*.yaml")]
    configs = [yaml.safe_load(CONFIG), *(yaml.safe_load(example.read_text()) for example in examples)]
    assert len(configs) == 6
    for config in configs:
        protocols = config["receivers"]["otlp"]["protocols"]
        assert protocols["grpc"]["max_recv_msg_size_mib"] == 20
        assert "max_request_body_size" not in protocols["http"]


def wide(numbers: range) -> bytes:
    """A request of numbered logs of some 700 bytes."""
    request = numbered.request(numbers)
    for record in request.resource_logs[0].scope_logs[0].log_records:
        record.attributes.append(KeyValue(key="filler", value=AnyValue(string_value="x" * 660)))
    return request.SerializeToString()


# TLS and authentication


def test_the_receiver_takes_clients_with_a_certificate_and_the_token_only(tmp_path, warehouse):
    certificate, key = self_signed(tmp_path)
    (tmp_path / "clients.crt").write_bytes(certificate.read_bytes())
    (tmp_path / "token").write_text("right-token")
    [block] = [block for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "client_ca_file:" in block]
    collector = Collector(tmp_path / "collector", {"iceberg": settings(warehouse)})
    text = block.replace("/etc/otelcol-iceberg", str(tmp_path))
    text = text.replace("0.0.0.0:4317", f"127.0.0.1:{collector.grpc_port}").replace("0.0.0.0:4318", f"127.0.0.1:{collector.http_port}")
    shown = yaml.safe_load(text)
    collector.config["receivers"] = shown["receivers"]
    collector.config["extensions"] |= shown["extensions"]
    collector.config["service"]["extensions"] += shown["extensions"]
    with collector:
        stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        stranger.load_verify_locations(certificate)
        known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        known.load_verify_locations(certificate)
        known.load_cert_chain(certificate, key)
        with pytest.raises(OSError):
            _post(collector, stranger, "right-token")
        assert _post(collector, known, "") == 401
        assert _post(collector, known, "wrong-token") == 401
        assert _post(collector, known, "right-token") == 200
        (tmp_path / "token").write_text("new-token")
        deadline = time.monotonic() + 30
        while _post(collector, known, "new-token", range(0)) != 200:
            assert time.monotonic() < deadline, "the changed token is not read"
            time.sleep(0.1)
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes(), key.read_bytes(), certificate.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{collector.grpc_port}", credentials) as channel:
            call = channel.unary_unary(otlp.METHOD["logs"])
            payload = numbered.request(range(10, 20)).SerializeToString()
            with pytest.raises(grpc.RpcError) as refused:
                call(payload, timeout=30, metadata=[("authorization", "Bearer wrong-token")])
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
            call(payload, timeout=30, metadata=[("authorization", "Bearer new-token")])
        readers.wait_for_rows(warehouse, {"logs": 20})
    numbered.once(warehouse, range(20))


def test_limits_for_strangers_refuse_compressed_and_large_requests(tmp_path, warehouse):
    page = (REPOSITORY / "docs" / "operations" / "memory.md").read_text().partition("### Receivers that strangers reach")[2]
    shown = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])["receivers"]["otlp"]["protocols"]
    collector = Collector(tmp_path / "collector", {"iceberg": settings(warehouse)})
    for name, protocol in collector.config["receivers"]["otlp"]["protocols"].items():
        protocol |= shown[name]
    with collector, collector.client() as client:
        for door in ("grpc", "http/protobuf"):
            client.send(wide(range(10)), door, "logs")
            with pytest.raises(otlp.Refused):
                client.send(wide(range(10_000)), door, "logs")
        with pytest.raises(otlp.Refused, match="unsupported Content-Encoding: gzip"):
            client.send(wide(range(10)), "http/protobuf+gzip", "logs")
        readers.wait_for_rows(warehouse, {"logs": 20})


def test_the_guide_names_the_extensions_for_authentication_of_the_distribution():
    manifest = yaml.safe_load((REPOSITORY / "builder-config.yaml").read_text())
    contained = re.findall(r"/extension/(\w+auth)extension ", "\n".join(one["gomod"] for one in manifest["extensions"]))
    told = re.findall(r"^\| `(\w+)` \|", GUIDE.partition("## TLS and authentication")[2].partition("\n## ")[0], re.MULTILINE)
    assert sorted(told) == sorted(contained)


def _post(collector: Collector, context: ssl.SSLContext, token: str, numbers: range = range(10)) -> int:
    connection = http.client.HTTPSConnection("127.0.0.1", collector.http_port, timeout=30, context=context)
    headers = {"Content-Type": "application/x-protobuf", **({"Authorization": f"Bearer {token}"} if token else {})}
    with closing(connection):
        connection.request("POST", "/v1/logs", numbered.request(numbers).SerializeToString(), headers)
        return connection.getresponse().status


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate that signed itself, for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(hours=1), now + timedelta(hours=1))
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "tls.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.key").write_bytes(encoded)
    return folder / "tls.crt", folder / "tls.key"


# The guide


def test_links_lead_somewhere():
    page = REPOSITORY / "docs" / "deployment.md"
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", GUIDE):
        target = (page.parent / link) if link else page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{link}#{anchor}"
