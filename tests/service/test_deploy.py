"""What stands in ``deploy/`` fits the program: its commands, options, configuration, paths and metrics exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml

from openlineage_bridge.cli import COMMANDS
from openlineage_bridge.cli.health import command as health
from openlineage_bridge.cli.serve import command as serve
from openlineage_bridge.config import load
from openlineage_bridge.server.metrics import GAUGES

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm" / "openlineage-bridge"
TEMPLATES = {file.name: file.read_text() for file in sorted((CHART / "templates").iterdir())}
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
CONTAINER = (DEPLOY / "Containerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]["openlineage-bridge"]

OPTIONS = {each for option in serve.params for each in option.opts}
SECRETS = {"BRIDGE_TOKEN": "t", "DATAHUB_GMS_TOKEN": "t"}


# --- container ------------------------------------------------------------------------------------------------------


def test_image_starts_the_program():
    """Entry point, command and health check are what the console script knows."""
    said = dict(re.findall(r"^(ENTRYPOINT|CMD|HEALTHCHECK .*CMD) (\[.*\])$", CONTAINER, flags=re.MULTILINE))
    assert ["openlineage-bridge"] == yaml.safe_load(said["ENTRYPOINT"])
    assert yaml.safe_load(said["CMD"])[0] in COMMANDS
    [check] = [value for key, value in said.items() if key.startswith("HEALTHCHECK")]
    assert ["openlineage-bridge", health.name] == yaml.safe_load(check)


def test_image_has_no_rights():
    """A user that is not root, by number, so that Kubernetes can tell."""
    assert "USER 10001:10001" in CONTAINER.splitlines()
    assert 10001 == VALUES["podSecurityContext"]["runAsUser"]


def test_environment_of_the_image():
    """Every variable is one that the configuration reads, and the values are what the ports say."""
    block = re.search(r"^ENV (.*?)^USER", CONTAINER, flags=re.MULTILINE | re.DOTALL)
    variables = dict(pair.split("=", 1) for pair in shlex.split(block[1].replace("\\\n", " ")))
    config = load(
        environ={name: value for name, value in variables.items() if name.startswith("OPENLINEAGE_")}
    )

    assert ("0.0.0.0", 5000, Path("/data/bridge.db")) == (
        config.server.host,
        config.server.port,
        config.store,
    )
    assert "EXPOSE 5000" in CONTAINER


def test_what_is_copied_is_what_the_wheel_is_built_from():
    """Nothing that the wheel needs is ignored."""
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert len(packages) == 5
    assert {each.split("/")[0] for each in packages} | {
        "examples",
        "README.md",
        "LICENSE",
        "constraints.txt",
    } <= kept
    assert all((DEPLOY.parent / each).exists() for each in kept)


# --- compose --------------------------------------------------------------------------------------------------------


def test_compose():
    """The environment is accepted, and leads to DataHub's quickstart."""
    given = {
        name: re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", r"\1", value)
        for name, value in COMPOSE["environment"].items()
    }
    given["OPENLINEAGE_BRIDGE__SERVER__TOKENS"] = "t"
    config = load(environ=given)

    assert (1, "rest") == (len(config.server.tokens), config.translator_options["sink"])
    assert "http://datahub-gms:8080" == given["DATAHUB_GMS_URL"]
    assert set(COMPOSE["command"]) <= set(COMMANDS)
    assert (DEPLOY / COMPOSE["build"]["context"] / COMPOSE["build"]["dockerfile"]).exists()


# --- chart ----------------------------------------------------------------------------------------------------------


def known(path: str) -> bool:
    """Whether ``values.yaml`` has this key."""
    value: object = VALUES
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_use_values_that_are_there(name):
    """Every value has a default, and every block that is opened is closed."""
    text = TEMPLATES[name]
    assert not [path for path in re.findall(r"\.Values\.([\w.]+)", text) if not known(path)]
    opened = re.findall(r"\{\{-? *(?:if|with|range|define)\b", text)
    assert len(opened) == len(re.findall(r"\{\{-? *end\b", text))
    helpers = re.findall(r'define "([\w.-]+)"', TEMPLATES["_helpers.tpl"])
    assert set(re.findall(r'include "([\w.-]+)"', text)) <= set(helpers)


def test_every_value_is_used():
    """A value that nothing reads promises what it does not keep."""
    used = {path.split(".")[0] for path in re.findall(r"\.Values\.([\w.]+)", "".join(TEMPLATES.values()))}
    assert set(VALUES) == used


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name.endswith(".yaml")])
def test_templates_are_yaml(name):
    """Without the directives, and with something in the place of each value, one object of Kubernetes is left."""
    lines = [line for line in TEMPLATES[name].splitlines() if not re.fullmatch(r"\s*\{\{-?.*\}\}", line)]
    rendered = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "value", "\n".join(lines)))

    assert {"apiVersion", "kind", "metadata"} <= set(rendered)


def test_configuration_of_the_chart(tmp_path):
    """``values.config`` is a configuration that the bridge accepts, with a token, on the port that the probes ask."""
    file = tmp_path / "openlineage-bridge.yml"
    file.write_text(yaml.safe_dump(VALUES["config"]))
    config = load(file, environ=SECRETS)

    assert 1 == len(config.server.tokens)
    assert VALUES["service"]["port"] == config.server.port
    assert "rest" == config.translator_options["sink"]


def test_arguments_of_the_chart():
    """Every argument is an option of ``serve``."""
    arguments = re.findall(r"^ +- (--[\w-]+)$", TEMPLATES["statefulset.yaml"], flags=re.MULTILINE)
    assert {"--config", "--store", "--tls-certificate", "--tls-key"} == set(arguments)
    assert set(arguments) <= OPTIONS


def test_metrics_of_the_alerts():
    """Every alert is about a metric that is exported, and names a command that exists."""
    rules = TEMPLATES["prometheusrule.yaml"]
    metrics = set(re.findall(r"olbridge_(\w+)", rules))
    commands = {words.split()[0] for words in re.findall(r"`openlineage-bridge ([^`]+)`", rules)}

    assert metrics
    assert metrics <= set(GAUGES)
    assert commands <= set(COMMANDS)


def test_probes_of_the_chart():
    """They ask what needs no token."""
    paths = set(chain.from_iterable(re.findall(r"path: (/\w+)", text) for text in TEMPLATES.values()))
    assert {"/livez", "/readyz", "/metrics"} == paths
