"""What ``.deploy`` holds: its steps run on a fresh copy, and its files name what there is."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from msgspec import Struct

from app.config import Config
from app.metrics.catalog import METRICS
from app.metrics.numbers import Histogram
from tests.end_to_end.test_readme import ROOT, free_port, pristine

pytestmark = pytest.mark.sqlite
FOLDER = ROOT / ".deploy"
DOCKERFILE = (FOLDER / "Dockerfile").read_text("utf-8")
# Root without capabilities may not write where the modes forbid it.
_DROP = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
WITHOUT_RIGHTS = _DROP if os.geteuid() == 0 else []
NO_COMPILER = dict.fromkeys(("CC", "CXX", "LD", "RUSTC", "CARGO"), "/bin/false")


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage of the Dockerfile: their names and arguments."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    found: list[list[tuple[str, str]]] = []
    for name, _, rest in (line.partition(" ") for line in lines):
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def of(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for found, rest in stage if found == name]


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text("utf-8")))


# -- the steps


class Image(Struct, frozen=True):
    """What the Dockerfile would make: the environment, read-only, and an empty folder of state."""

    environment: Path
    state: Path


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The build stage of the Dockerfile, run here where no builder is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build, _ = stages()
        for line in of(build, "COPY"):
            _copy(*line.split(), into=folder)
        (command,) = of(build, "RUN")
        words = [str(folder) + word for word in command.split()]
        subprocess.run(words, check=True, env=pristine() | NO_COMPILER, capture_output=True)
        made = Image(folder / "opt/backstory", folder / "state")
        made.state.mkdir()
        for path in (made.environment, *made.environment.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
        yield made


def _copy(*names: str, into: Path) -> None:
    *sources, target = names
    place = into / target.removeprefix("/")
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place)
        else:
            to = place / source if target.endswith("/") else place
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / source, to)


@contextmanager
def running(image: Image, **settings: str) -> Iterator[str]:
    """Run what the image starts, without rights, and give its URL."""
    _, final = stages()
    (entry,), (default,) = (map(json.loads, of(final, name)) for name in ("ENTRYPOINT", "CMD"))
    with subprocess.Popen(
        [*WITHOUT_RIGHTS, image.environment / "bin" / entry[0], *entry[1:], *default],
        cwd=image.state,
        env=pristine() | settings | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            assert process.wait(60) == 0


def test_the_image_serves_without_rights_and_writes_nothing_but_its_state(image: Image) -> None:
    port, metrics = str(free_port()), f"127.0.0.1:{free_port()}"
    touch = [*WITHOUT_RIGHTS, "touch", str(image.environment / "bin" / "new")]
    assert subprocess.run(touch, capture_output=True, check=False).returncode == 1
    with running(image, BACKSTORY_PORT=port, BACKSTORY_METRICS_BIND=metrics) as url:
        assert httpx.get(f"{url}/ready").json() == {"status": "ready"}
        assert "backstory_processes 1.0" in httpx.get(f"http://{metrics}/metrics").text
        (check,) = of(stages()[1], "HEALTHCHECK")
        python, *probe = json.loads(check.partition("CMD ")[2].replace(":8000", f":{port}"))
        subprocess.run([image.environment / "bin" / python, *probe], check=True)
    assert (image.state / "backstory.db").exists()


def test_the_image_cannot_install_more_and_has_each_extra(image: Image) -> None:
    assert not (image.environment / "bin" / "pip").exists()
    imports = "import asyncpg, opentelemetry.sdk, prometheus_client, psycopg, pyarrow"
    subprocess.run([image.environment / "bin" / "python", "-c", imports], check=True)


def test_the_image_has_no_compiler_and_no_root() -> None:
    (build, final) = stages()
    (user,) = of(final, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "Kubernetes wants a number to see that"
    assert json.loads(of(final, "ENTRYPOINT")[0]) == ["backstory"]
    assert not re.search(r"apt-get|gcc|build-essential", DOCKERFILE)
    assert of(final, "COPY") == ["--from=build /opt/backstory /opt/backstory"]
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text("utf-8").split()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert kept == {name for line in of(build, "COPY") for name in line.split()[:-1]}


# -- the files


def test_each_variable_in_a_file_is_a_setting() -> None:
    known = {f"BACKSTORY_{name.upper()}" for name in Config.__struct_fields__}
    for file in FOLDER.iterdir():
        named = set(re.findall(r"\bBACKSTORY_[A-Z_]*[A-Z]", file.read_text("utf-8")))
        assert named <= known, file.name


def test_the_containers_have_no_rights_they_do_not_need() -> None:
    pods = [one["spec"]["template"]["spec"] for one in documents("kubernetes.yaml")[:2]]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        # Otherwise a service named backstory sets BACKSTORY_PORT to tcp://...
        assert pod["enableServiceLinks"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    services = documents("compose.yaml")[0]["services"]
    for name in ("migrate", "backstory"):
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["environment"].items() >= services["migrate"]["environment"].items()


def test_a_pod_has_time_for_its_pause_and_its_drain() -> None:
    pod = documents("kubernetes.yaml")[1]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = {one["name"]: one["value"] for one in container["env"]}["BACKSTORY_DRAIN_TIME"]
    assert pod["terminationGracePeriodSeconds"] > pause + int(drain.removesuffix("s"))
    probes = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")
    }
    assert probes == {"liveness": "/health", "readiness": "/ready"}


def test_the_unit_is_one_that_systemd_takes_and_finds_safe(tmp_path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names are as written
    unit.read(FOLDER / "backstory.service")
    start = unit["Service"]["ExecStart"]
    assert start == "/opt/backstory/bin/backstory serve"
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze")
    copied = tmp_path / "backstory.service"
    text = (FOLDER / "backstory.service").read_text("utf-8")
    copied.write_text(text.replace(start.split()[0], "/bin/true"))
    for command in ("verify", "security --offline=true --threshold=20"):
        words = [analyze, *command.split(), str(copied)]
        subprocess.run(words, capture_output=True, check=True)


# -- what Prometheus and Grafana ask


def expressions() -> dict[str, str]:
    """Every query of the dashboard and of the alerts, by its title."""
    dashboard = json.loads((FOLDER / "grafana.json").read_text("utf-8"))
    found = {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    (group,) = documents("alerts.yaml")[0]["groups"]
    return found | {rule["alert"]: rule["expr"] for rule in group["rules"]}


def test_each_query_asks_for_metrics_and_labels_that_exist() -> None:
    served: dict[str, set[str]] = {}
    for metric in METRICS:
        if isinstance(metric, Histogram):
            served[f"{metric.name}_bucket"] = {*metric.labels, "le"}
            served |= {f"{metric.name}_{end}": set(metric.labels) for end in ("sum", "count")}
        else:
            served[metric.name] = set(metric.labels)
    asked = set()
    for title, expression in expressions().items():
        names = set(re.findall(r"\bbackstory_\w+", expression))
        assert names, title
        assert names <= served.keys(), title
        labels = set(re.findall(r"(\w+)=~?\"", expression))
        labels |= {
            one for by in re.findall(r"by \(([^)]*)\)", expression) for one in by.split(", ")
        }
        assert labels <= set().union(*(served[name] for name in names)), title
        asked |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    assert {metric.name for metric in METRICS} == asked, "what no query shows, nobody sees"


def test_prometheus_can_read_the_rules_and_each_query(tmp_path: Path) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("there is no promtool: apt-get install prometheus")
    rules = [{"record": f"asked:{n}", "expr": e} for n, e in enumerate(expressions().values())]
    asked = tmp_path / "asked.yaml"
    asked.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    for file in (asked, FOLDER / "alerts.yaml"):
        subprocess.run(
            [promtool, "check", "rules", os.fspath(file)], check=True, capture_output=True
        )


def test_each_alert_is_explained() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    (group,) = documents("alerts.yaml")[0]["groups"]
    explained = set(re.findall(r"^\| `(Backstory\w+)`", page, re.MULTILINE))
    assert explained == {rule["alert"] for rule in group["rules"]}
