"""What runs the service: rules, dashboards, containers, manifests, templates and bill of materials hold together."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
RUNBOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
HISTOGRAM = ("_bucket", "_sum", "_count")


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(reason=f"{program} is not installed")
    return found


def text(path: str) -> str:
    return (DEPLOY / path).read_text(encoding="utf-8")


@cache
def load(path: str) -> Any:
    return yaml.safe_load(text(path))


def script(path: str) -> ModuleType:
    """A script of deploy/, loaded."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, DEPLOY / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def documented() -> frozenset[str]:
    """Names of metrics in the table of docs/serving.md."""
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    table = page.partition("\n## Metrics")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return frozenset(name for row in rows for name in re.findall(r"`(laennec_\w+)`", row))


def rules() -> list[dict[str, Any]]:
    return [rule for group in load("prometheus/alerts.yml")["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


@cache
def board(language: str) -> Any:
    return json.loads(text(f"grafana/dashboards/laennec-{language}.json"))


def queries(language: str) -> list[str]:
    return [target["expr"] for panel in board(language)["panels"] for target in panel.get("targets", [])]


def adapter_queries() -> list[str]:
    asked = [rule["metricsQuery"] for rule in load("kubernetes/prometheus-adapter.yaml")["rules"]["custom"]]
    return [q.replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="laennec"') for q in asked]


def resolved(query: str) -> str:
    """A dashboard's query as Grafana sends it."""
    return query.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$model", ".*")


def names_in(query: str) -> set[str]:
    """Metrics of ours in a query, without what a histogram adds to its name; recorded rules left out."""
    found = set()
    for name in re.findall(r"(?<![\w:])laennec_\w+", re.sub(r'"[^"]*"', '""', query)):
        base = next((name.removesuffix(end) for end in HISTOGRAM if name.removesuffix(end) in documented()), name)
        found.add(base)
    return found


# Metrics


def test_the_table_of_metrics_is_read() -> None:
    assert {"laennec_requests_total", "laennec_queue_age_seconds", "laennec_drift_psi", "laennec_ready"} <= documented()


def test_rules_and_dashboards_ask_for_documented_metrics_only_and_for_all_of_them() -> None:
    asked = [rule["expr"] for rule in rules()] + queries("en") + adapter_queries()
    used = set().union(*map(names_in, asked))
    assert not used - documented()
    assert not documented() - set().union(*map(names_in, queries("en"))) - {"laennec_in_flight_limit"}


def test_recorded_rules_that_are_asked_for_exist() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {n for q in [r["expr"] for r in rules()] + queries("en") for n in re.findall(r"\w+:laennec\w*:\w+", q)}
    assert asked == recorded


def test_the_service_exposes_what_is_documented() -> None:
    """Every metric with a fixed name that the code makes stands in the table, and the other way round."""
    pytest.importorskip("prometheus_client")
    from laennec.serve.metrics import Metrics

    metrics = Metrics()
    try:
        told = metrics.written().decode()
    finally:
        metrics.close()
    made = set(re.findall(r"^# TYPE (laennec_\w+) (?:counter|histogram)", told, re.M))
    assert made and made <= documented()


# Prometheus


def test_rules_pass_their_unit_tests() -> None:
    promtool = needs("promtool")
    done = subprocess.run(
        [promtool, "test", "rules", "tests.yml"], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_shown_to_fire_and_not_to_fire() -> None:
    finer = r', (?:status|code|le|route|because|verdict)="[^"]*"'
    for alert in alerts():
        fires = silent = False
        for case in load("prometheus/tests.yml")["tests"]:
            watched = {re.sub(finer, "", one["series"]) for one in case["input_series"]}
            for check in case["promql_expr_test"]:
                if f'alertname="{alert["alert"]}"' in check["expr"]:
                    fires |= bool(check["exp_samples"])
                    silent |= len(check["exp_samples"]) < len(watched)
        assert fires, f"{alert['alert']} is never shown to fire"
        assert silent, f"{alert['alert']} is never shown to be silent"


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    promtool = needs("promtool")
    (tmp_path / "key").write_text("k", encoding="utf-8")
    (tmp_path / "alerts.yml").write_bytes(ALERTS.read_bytes())
    config = text("prometheus/prometheus.yml").replace("/run/secrets/scrape_key", str(tmp_path / "key"))
    (tmp_path / "prometheus.yml").write_text(config, encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "1 rule files found" in done.stdout, done.stdout + done.stderr


def test_the_scrape_brings_a_key_and_its_name_is_what_the_rules_ask_for() -> None:
    (job,) = load("prometheus/prometheus.yml")["scrape_configs"]
    assert job["job_name"] == "laennec" and job["authorization"]["credentials_file"].startswith("/run/secrets/")
    assert load("kubernetes/service.yaml")["metadata"]["labels"]["app.kubernetes.io/name"] == "laennec"
    assert load("kubernetes/monitoring/servicemonitor.yaml")["spec"]["jobLabel"] == "app.kubernetes.io/name"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_it_is_and_what_to_do_in_both_languages(alert: dict[str, Any]) -> None:
    told = alert["annotations"]
    assert alert["labels"]["severity"] in {"page", "ticket", "info"}
    assert {"summary", "summary_fr", "action", "action_fr", "runbook"} == set(told)
    for key in ("summary_fr", "action_fr"):
        words = re.sub(r"{{.*?}}|`.*?`", "", told[key])
        assert "'" not in words, "a typewriter's apostrophe"
        assert not re.search(r"\w[;:!?](\s|$)", words), "no space before a colon"
    assert told["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
    section = re.search(rf"^### {alert['alert']}\n\n(.+?)(?=\n###|\Z)", RUNBOOK, re.M | re.S)
    assert section is not None and len(section[1]) > 60


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    assert set(re.findall(r"^### (Laennec\w+)", RUNBOOK, re.M)) == {alert["alert"] for alert in alerts()}


def test_every_query_of_the_dashboards_is_promql(tmp_path: Path) -> None:
    """As recorded rules, because this promtool has no command for a single expression."""
    promtool = needs("promtool")
    asked = list(dict.fromkeys(map(resolved, queries("en") + adapter_queries())))
    made = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(asked)]
    assert len(made) > 30
    (tmp_path / "q.yml").write_text(yaml.safe_dump({"groups": [{"name": "q", "rules": made}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", tmp_path / "q.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"{len(made)} rules found" in done.stdout, done.stdout + done.stderr


# Grafana


def test_the_dashboards_are_made_from_one_script() -> None:
    """`python deploy/grafana/dashboards.py` writes them anew."""
    made = script("grafana/dashboards.py")
    for place, language in enumerate(made.LANGUAGES):
        assert made.written(place) == text(f"grafana/dashboards/laennec-{language}.json")


def test_both_languages_ask_the_same_and_say_it_differently() -> None:
    assert queries("en") == queries("fr")
    english, french = ([panel["title"] for panel in board(lang)["panels"]] for lang in ("en", "fr"))
    assert sum(a == b for a, b in zip(english, french, strict=True)) <= 2
    assert "Not a medical device" in text("grafana/dashboards/laennec-en.json")
    said = " ".join(panel["title"] + panel.get("description", "") for panel in board("fr")["panels"])
    assert "dispositif médical" in text("grafana/dashboards/laennec-fr.json") and "'" not in said


def test_panels_fit_their_page_and_know_their_source() -> None:
    source = load("grafana/provisioning/datasources/prometheus.yml")["datasources"][0]["uid"]
    panels = board("en")["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert all(target["datasource"]["uid"] == source for target in panel.get("targets", []))


# Containers


def instructions() -> list[tuple[str, str]]:
    """(word, rest) of each instruction of the Dockerfile, lines joined, comments left out."""
    lines = [line for line in text("Dockerfile").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines() if line.strip()]


def test_the_image_runs_as_nobody_and_installs_by_hash() -> None:
    steps = instructions()
    stages = [number for number, (word, _) in enumerate(steps) if word == "FROM"]
    last = steps[stages[-1] :]
    assert dict(steps)["ARG"] and re.fullmatch(r"BASE=python:3\.\d+\.\d+-slim-\w+", steps[0][1])
    assert [rest.split(":")[0] for word, rest in last if word == "USER"] == ["10001"]
    assert not [rest for word, rest in steps if word == "ADD" or "curl" in rest or "wget" in rest]
    installs = [
        part
        for word, rest in steps
        if word == "RUN"
        for part in rest.split("&&")
        if re.search(r"pip\b.* install", part)
    ]
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or ("--no-deps" in install and "--no-index" in install)
    assert {"HEALTHCHECK", "ENTRYPOINT", "STOPSIGNAL"} <= {word for word, _ in last}
    assert not [rest for word, rest in last if word == "COPY" and "--from=build" not in rest]
    assert "torch" not in " ".join(rest for _, rest in steps)


def test_only_what_the_build_names_gets_into_an_image() -> None:
    kept = [line[1:] for line in text("Dockerfile.dockerignore").splitlines() if line.startswith("!")]
    assert text("Dockerfile.dockerignore").splitlines()[1] == "*"
    copied = {
        name.split("/")[0]
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    }
    assert set(kept) == copied and all((ROOT / name).exists() for name in kept)


@pytest.mark.parametrize("lock", ["serve", "serve-openvino", "build"])
def test_the_locks_of_the_image_hold_hashes_and_no_torch(lock: str) -> None:
    path = ROOT / "requirements" / f"{lock}.txt"
    if not path.is_file():
        pytest.skip(reason=f"requirements/{lock}.txt is not locked yet; docs/operations.md says how")
    entries = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip())
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    named = {entry.partition("==")[0] for entry in entries}
    assert not named & {"torch", "torchvision", "timm", "gradio"} and ("fastapi" in named) == (lock != "build")


@pytest.mark.parametrize("name", ["laennec", "prometheus", "grafana"])
def test_a_container_has_no_more_rights_than_it_needs(name: str) -> None:
    service = load("compose.yaml")["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and not service.get("cap_add")
    assert service["security_opt"] == ["no-new-privileges:true"] and not service.get("privileged")
    assert not service["user"].startswith(("0", "root")) and service["mem_limit"] and service["pids_limit"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    image = service["image"]
    assert name == "laennec" or re.search(r":v?\d+\.\d+\.\d+$", image)
    for mount in service["volumes"]:
        assert mount.endswith(":ro") or mount.partition(":")[0] in load("compose.yaml")["volumes"]
    for mount in (m for m in service["volumes"] if m.startswith("./")):
        assert (DEPLOY / mount.split(":")[0]).exists()
    assert set(service["secrets"]) <= set(load("compose.yaml")["secrets"])


def test_compose_keeps_its_secrets_in_files_that_git_does_not() -> None:
    for secret in load("compose.yaml")["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    assert text("secrets/.gitignore").splitlines()[1:] == ["*", "!.gitignore"]
    settings = load("compose.yaml")["services"]["grafana"]["environment"]
    for off in ("ANALYTICS_REPORTING_ENABLED", "ANALYTICS_CHECK_FOR_UPDATES", "ANALYTICS_CHECK_FOR_PLUGIN_UPDATES"):
        assert settings[f"GF_{off}"] == "false"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in settings


def test_grafana_finds_its_dashboards_where_compose_puts_them() -> None:
    provider = load("grafana/provisioning/dashboards/laennec.yml")["providers"][0]["options"]["path"]
    mounts = load("compose.yaml")["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider}:ro" in mounts


# The service's own options, wherever they are given


def served_options() -> set[str]:
    import typer

    from laennec.cli import app

    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("where", ["compose", "kubernetes", "aws"])
def test_options_exist_and_the_ones_that_guard_are_given(where: str) -> None:
    if where == "compose":
        given = load("compose.yaml")["services"]["laennec"]["command"]
    elif where == "kubernetes":
        given = load("kubernetes/deployment.yaml")["spec"]["template"]["spec"]["containers"][0]["args"]
    else:
        started = text("aws/template.yaml").partition("${Image} /bundles/")[2].partition("for _ in")[0]
        given = re.findall(r"--[a-z-]+", started)
    options = {word.partition("=")[0] for word in given if word.startswith("--")}
    assert options <= served_options(), "the service has no such option"
    assert {"--host", "--keys", "--threads", "--decoders"} <= options


# Kubernetes


@cache
def manifests(folder: str) -> tuple[dict[str, Any], ...]:
    kubectl = needs("kubectl")
    done = subprocess.run([kubectl, "kustomize", DEPLOY / folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def plain() -> tuple[dict[str, Any], ...]:
    """The manifests as they stand in their files."""
    return tuple(load(f"kubernetes/{name}") for name in load("kubernetes/kustomization.yaml")["resources"])


def of(kind: str) -> dict[str, Any]:
    return next(one for one in plain() if one["kind"] == kind)


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_manifests_are_valid(version: str) -> None:
    check = pytest.importorskip("kubernetes_validate")
    for manifest in plain():
        check.validate(manifest, version, strict=True)
    with pytest.raises(check.ValidationError):
        check.validate(of("Deployment") | {"spec": {"replicas": "two"}}, version, strict=True)


def test_kustomize_builds_them_into_one_namespace() -> None:
    check = pytest.importorskip("kubernetes_validate")
    built = manifests("kubernetes")
    assert {one["kind"] for one in built} == {one["kind"] for one in plain()}
    for one in built:
        check.validate(one, "1.34", strict=True)
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "laennec"
    kinds = {one["kind"] for one in manifests("kubernetes/monitoring")}
    assert kinds == {"ServiceMonitor", "PrometheusRule"}


def test_the_pod_is_restricted() -> None:
    """By the restricted profile of the Pod Security Standards, which the namespace enforces."""
    pod = of("Deployment")["spec"]["template"]["spec"]
    assert of("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] and context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]} and "limits" in container["resources"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    assert all(mount.get("readOnly") or mount["name"] == "tmp" for mount in container["volumeMounts"])


def test_probes_need_no_key_and_a_stop_has_the_time_it_needs() -> None:
    from laennec.serve import supervisor
    from laennec.serve.doorway import OPEN

    pod = of("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")} == OPEN
    drain = next(float(word.partition("=")[2]) for word in container["args"] if word.startswith("--drain="))
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > before + drain + supervisor._GRACE
    assert (
        int(load("compose.yaml")["services"]["laennec"]["stop_grace_period"].removesuffix("s")) > 30 + supervisor._GRACE
    )


def test_what_names_something_else_names_it_rightly() -> None:
    deployment, budget, scaler = of("Deployment"), of("PodDisruptionBudget"), of("HorizontalPodAutoscaler")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    chosen = [
        deployment["spec"]["selector"]["matchLabels"],
        of("Service")["spec"]["selector"],
        of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
    ]
    assert all(one == labels for one in chosen)
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"] and scaler["spec"]["minReplicas"] > budget["spec"]["maxUnavailable"]
    made = {rule["name"]["as"] for rule in load("kubernetes/prometheus-adapter.yaml")["rules"]["custom"]}
    assert {metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"]} == made
    monitor = load("kubernetes/monitoring/servicemonitor.yaml")["spec"]
    assert monitor["endpoints"][0]["port"] == of("Service")["spec"]["ports"][0]["name"]
    assert of("NetworkPolicy")["spec"]["egress"] == []
    for secret in ("laennec-keys", "laennec-scrape"):
        assert f"create secret generic {secret}" in RUNBOOK


def test_the_operators_rules_are_the_rules() -> None:
    """`python deploy/kubernetes/monitoring/prometheusrule.py` writes them anew."""
    assert script("kubernetes/monitoring/prometheusrule.py").written() == text(
        "kubernetes/monitoring/prometheusrule.yaml"
    )
    assert load("kubernetes/monitoring/prometheusrule.yaml")["spec"] == load("prometheus/alerts.yml")


# AWS


class Tagged(yaml.SafeLoader):
    """Reads CloudFormation's short forms as plain values."""


Tagged.add_multi_constructor(
    "!",
    lambda loader, tag, node: {
        tag: loader.construct_mapping(node) if isinstance(node, yaml.MappingNode) else getattr(node, "value", None)
    },
)


def resources() -> dict[str, Any]:
    return yaml.load(text("aws/template.yaml"), Tagged)["Resources"]  # noqa: S506  a safe loader with tags


def test_the_templates_pass_cfn_lint() -> None:
    pytest.importorskip("cfnlint")
    paths = [DEPLOY / "aws" / "template.yaml", DEPLOY / "aws" / "bundles.yaml"]
    command = [sys.executable, "-c", "from cfnlint.runner import main; main()", "--include-checks", "I", "--", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert paths[0].stat().st_size < 51_200, "more than CloudFormation takes in one piece"


def test_a_role_may_little() -> None:
    (policy,) = resources()["Role"]["Properties"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [action for action in actions if action.endswith("*")]
        assert statement["Resource"] != "*" or actions == ["ecr:GetAuthorizationToken"]


def test_instances_have_no_ssh_no_old_metadata_and_no_plain_disk() -> None:
    made = resources()
    template = made["Template"]["Properties"]["LaunchTemplateData"]
    assert template["MetadataOptions"]["HttpTokens"] == "required" and "KeyName" not in template
    assert template["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert all(disk["Ebs"]["Encrypted"] for disk in template["BlockDeviceMappings"])
    groups = [one["Properties"] for one in made.values() if one["Type"] == "AWS::EC2::SecurityGroup"]
    let_in = [rule for group in groups for rule in group["SecurityGroupIngress"]]
    assert {rule["FromPort"] for rule in let_in} == {443, 8443}
    assert not [rule for rule in let_in if rule.get("CidrIp") == "0.0.0.0/0"]
    assert made["Listener"]["Properties"]["Protocol"] == made["Targets"]["Properties"]["Protocol"] == "HTTPS"
    started = text("aws/template.yaml")
    for guard in ("--read-only", "--cap-drop ALL", "no-new-privileges", "--user 10001"):
        assert guard in started


def test_the_bucket_is_private_encrypted_and_versioned() -> None:
    bucket = yaml.load(text("aws/bundles.yaml"), Tagged)["Resources"]["Bundles"]  # noqa: S506
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["Properties"]["BucketEncryption"] and bucket["DeletionPolicy"] == "Retain"
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}


# The bill of materials


def test_the_bill_of_materials_is_valid_complete_and_made_without_network(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx_py")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    lock = next(p for p in (ROOT / "requirements" / "serve.txt", ROOT / "requirements" / "core.txt") if p.is_file())
    command = (
        RUNBOOK.partition("\n    cyclonedx-py ")[2].partition("\n")[0].replace("requirements/serve.txt", str(lock))
    )
    options = command.replace("pyproject.toml", str(ROOT / "pyproject.toml")).split()
    assert options[-1] == "sbom.json"
    options.append("--no-validate")  # seconds; done below
    offline = (
        "import runpy, socket, sys\n"
        "def refused(*_, **__): raise OSError('no network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused\n"
        f"sys.argv = ['cyclonedx-py', *{options!r}]\nrunpy.run_module('cyclonedx_py', run_name='__main__')"
    )
    made = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        subprocess.run([sys.executable, "-W", "ignore", "-c", offline], cwd=tmp_path / place, check=True)
        made.append((tmp_path / place / "sbom.json").read_text(encoding="utf-8"))
    assert made[0] == made[1]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made[0]) is None
    told = json.loads(made[0])
    assert told["bomFormat"] == "CycloneDX" and told["metadata"]["component"]["name"] == "laennec"
    locked = set(re.findall(r"^([\w.-]+)==([\w.]+)", lock.read_text(encoding="utf-8"), re.M))
    assert {(part["name"], part["version"]) for part in told["components"]} == locked
    assert all([h for ref in part["externalReferences"] for h in ref.get("hashes", [])] for part in told["components"])


# What the documentation says


def test_operations_says_what_was_not_proven() -> None:
    for word in ("no Docker engine", "no cluster", "no account", "Not a medical device", "no Grafana"):
        assert word in RUNBOOK.replace("\n", " ")


def test_files_and_options_named_in_operations_exist() -> None:
    for path in re.findall(r"`(deploy/[\w./-]+|[\w]+\.(?:yaml|yml))`", RUNBOOK):
        assert (ROOT / path).exists() or list(DEPLOY.rglob(path)), path
    served = set(re.findall(r"`(--[a-z-]+)`", RUNBOOK))
    assert served and served <= served_options()


# A real Prometheus on a live service


class Prometheus:
    """Prometheus' HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: str) -> Any:
        import httpx

        told = httpx.get(f"{self.url}/api/v1/{path}", params=query, timeout=10).json()
        assert told["status"] == "success", told
        return told["data"]

    def value(self, query: str) -> list[dict[str, Any]]:
        return list(self.get("query", query=query)["result"])

    def firing(self, name: str) -> dict[str, Any] | None:
        return next(
            (a for a in self.get("alerts")["alerts"] if a["labels"]["alertname"] == name and a["state"] == "firing"),
            None,
        )


def until(what: Any, seconds: float = 40.0, every: float = 0.25) -> Any:
    """What `what` gives once it gives something; errors of a server that still starts are passed over."""
    import httpx

    end = time.monotonic() + seconds
    told: Any = None
    while time.monotonic() < end:
        try:
            if told := what():
                return told
        except (httpx.HTTPError, OSError):
            pass
        time.sleep(every)
    raise AssertionError(f"waited {seconds} s in vain")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def picture(number: int) -> bytes:
    """A phantom radiograph as a PNG file."""
    import numpy as np
    from PIL import Image

    from laennec import phantom

    stream = io.BytesIO()
    Image.fromarray(np.rint(phantom.draw(0, number, 0, 192).pixels * 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def children(parent: int) -> list[int]:
    """Processes started by `parent`."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text(encoding="ascii").split()]


@pytest.fixture
def served(quantised: Any, tmp_path: Path) -> Iterator[tuple[str, str, int, subprocess.Popen[str]]]:
    """A live service: its address, a key, its answering process, and the process that supervises that one."""
    from laennec.serve import keys

    key = keys.add(tmp_path / "keys.txt", "prometheus")
    options = ["--keys", tmp_path / "keys.txt", "--gate", "refer", "--decoders", "1", "--threads", "1", "--port", "0"]
    command = [sys.executable, "-m", "laennec", "serve", quantised.path, *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    told: dict[str, Any] = {}
    for line in process.stderr:
        told = json.loads(line) if line.startswith("{") else {}
        if told.get("event") == "serving":
            break
    threading.Thread(target=process.stderr.read, daemon=True).start()
    yield told["url"], key, told["worker"], process
    if process.poll() is None:
        process.terminate()
    process.wait(timeout=60)


@pytest.fixture
def prometheus(served: tuple[str, str, int, Any], tmp_path: Path) -> Iterator[Prometheus]:
    """Our configuration and rules, with seconds where they have minutes."""
    program, port = needs("prometheus"), free_port()
    (tmp_path / "scrape.key").write_text(served[1] + "\n", encoding="utf-8")
    config = text("prometheus/prometheus.yml").replace("/run/secrets/scrape_key", str(tmp_path / "scrape.key"))
    config = config.replace("laennec:8080", served[0].removeprefix("http://"))
    config = re.sub(r"(scrape_interval|scrape_timeout|evaluation_interval): \d+s", r"\1: 1s", config)
    (tmp_path / "prometheus.yml").write_text(config, encoding="utf-8")
    (tmp_path / "alerts.yml").write_text(
        re.sub(r"for: \d+[mh]", "for: 1s", text("prometheus/alerts.yml")), encoding="utf-8"
    )
    command = [program, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    process = subprocess.Popen(command)
    yield Prometheus(f"http://127.0.0.1:{port}")
    process.terminate()
    process.wait(timeout=30)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="decoders are stopped through /proc")
def test_a_real_prometheus_scrapes_a_live_service_and_alerts_fire_and_go_out(
    served: tuple[str, str, int, subprocess.Popen[str]], prometheus: Prometheus
) -> None:
    import httpx

    url, key, worker, process = served
    target = until(lambda: next((t for t in prometheus.get("targets")["activeTargets"] if t["health"] == "up"), None))
    assert target["labels"]["job"] == "laennec" and not target["lastError"]

    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        for wave in range(2):  # a counter that is new has no rate
            for number in range(6):
                assert client.post("/predict", content=picture(number)).status_code == 200
            assert client.post("/predict", content=b"no picture").status_code == 415
            for _ in range(80):
                assert httpx.post(f"{url}/predict", headers={"Authorization": "Bearer guess"}).status_code == 401
            until(lambda n=6 * (wave + 1): prometheus.value(f"sum(laennec_answers_total) == {n}"))

        loaded = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in loaded} == {rule.get("alert") or rule["record"] for rule in rules()}
        until(lambda: all(r["health"] == "ok" for g in prometheus.get("rules")["groups"] for r in g["rules"]))

        answered = {query: prometheus.value(resolved(query).replace("5m", "30s")) for query in queries("en")}
        seen = " ".join(query for query, result in answered.items() if result)
        for name in (
            "requests_total",
            "request_seconds",
            "stage_seconds",
            "in_flight",
            "queue_age_seconds",
            "answers_total",
        ):
            assert f"laennec_{name}" in seen, f"{name} was asked for and nothing came"
        for name in ("score", "batch_images", "bundle_info", "ready", "refusals_total", "energy_joules_total"):
            assert f"laennec_{name}" in seen, f"{name} was asked for and nothing came"
        exposed = set(re.findall(r"^# TYPE (laennec_\w+)", client.get("/metrics").text, re.M))
        assert {name for name in exposed if not name.endswith("_created")} == documented()

        guessing = until(lambda: prometheus.firing("LaennecKeysRefused"))
        assert "without a valid key" in guessing["annotations"]["summary"]
        assert prometheus.firing("LaennecDown") is None and prometheus.firing("LaennecNotReady") is None

        held = threading.Event()

        def hold() -> None:
            """Stop each decoding process as soon as it is there: no picture can be read, the self-test fails."""
            while not held.wait(0.05):
                for pid in children(worker):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            unready = until(lambda: client.get("/readyz").status_code == 503 and prometheus.firing("LaennecNotReady"))
        finally:
            held.set()
            thread.join()
            for pid in children(worker):
                os.kill(pid, signal.SIGCONT)
        assert unready["labels"]["severity"] == "page"
        told = " ".join(unready["annotations"].values())
        assert target["labels"]["instance"] in told and "{{" not in told and "error" not in told
        until(lambda: client.get("/readyz").status_code == 200 and prometheus.firing("LaennecNotReady") is None)

    process.terminate()
    down = until(lambda: prometheus.firing("LaennecDown"))
    assert down["labels"]["instance"] == target["labels"]["instance"]
    assert process.wait(timeout=30) == 0
