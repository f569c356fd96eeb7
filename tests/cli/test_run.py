"""``openlineage-bridge run``: a command with the collectors in it and its children, and otherwise as it would be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from openlineage_bridge_capture.autoload import launch

RUN = [sys.executable, "-c", "from openlineage_bridge_capture.autoload.commands import run; run()"]
URL = "http://127.0.0.1:9"
ASK = "import hostlib; print(hostlib.OBSERVED)"


@pytest.fixture
def environment(tmp_path, library) -> dict[str, str]:
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(("OPENLINEAGE", "PYTHON"))}
    return {**inherited, "HOME": str(tmp_path), "PYTHONPATH": str(library)}


@pytest.fixture
def run(environment, tmp_path):
    """Runs the command; exit code, what it printed, what it complained about."""

    def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*RUN, *arguments],
            env={**environment, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout.strip(), done.stderr

    return run


def test_the_collector_is_loaded_in_the_command_and_its_children(run):
    """Before the library that it observes, in a child process as well."""
    child = f"import subprocess, sys; {ASK}; subprocess.run([sys.executable, '-c', {ASK!r}], check=True)"

    assert (0, "True", "") == run("--url", URL, sys.executable, "-c", ASK)
    assert (0, ["True", "True"]) == (
        (done := run("--url", URL, "--", sys.executable, "-u", "-c", child))[0],
        done[1].split(),
    )


def test_the_command_takes_the_place_of_ours(environment):
    """The process id is the same, a signal goes to it, and its exit code is what remains."""
    program = (
        "import os, signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); "
        "print(os.getpid(), flush=True); signal.pause()"
    )
    with subprocess.Popen(
        [*RUN, "--url", URL, sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        pid = int(running.stdout.readline())
        running.send_signal(signal.SIGTERM)

        assert (running.pid, 7) == (pid, running.wait(30))


def test_options_after_the_command_are_its_own(run):
    """``--url`` and ``--namespace`` stand before it; everything behind it is untouched."""
    code = "import os, sys; print(os.environ['OPENLINEAGE_URL'], os.environ['OPENLINEAGE_NAMESPACE'], sys.argv[1:])"
    said = run("--url", URL, "--namespace", "team", sys.executable, "-c", code, "--url", "theirs", "--", "-x")

    assert (0, f"{URL} team ['--url', 'theirs', '--', '-x']", "") == said


def test_a_sitecustomize_of_the_users_own_still_runs(run, library):
    """Under its own name, and ``sys.path`` is as it would be."""
    (library / "sitecustomize.py").write_text("import sys\nsys.customized = True\n")
    code = f"import sys, sitecustomize; print(sys.customized, sitecustomize.__file__, sys.path[1]); {ASK}"
    code_, out, err = run("--url", URL, sys.executable, "-c", code)

    assert (0, ["True", str(library / "sitecustomize.py"), str(library), "True"], "") == (
        code_,
        out.split(),
        err,
    )


def test_a_broken_sitecustomize_is_reported_as_python_reports_it(run, library):
    """The program runs, with the collector."""
    (library / "sitecustomize.py").write_text("1 / 0\n")
    code, out, err = run("--url", URL, sys.executable, "-c", ASK)

    assert (0, "True") == (code, out)
    assert "ZeroDivisionError" in err


def test_nothing_configured_is_a_warning(run):
    """The command runs all the same."""
    code, out, err = run(sys.executable, "-c", ASK)

    assert (0, "False") == (code, out)
    assert "no OpenLineage backend is configured, so nothing will be emitted: name one with --url" in err


def test_a_command_that_does_not_exist(run, tmp_path):
    """Exit codes as a shell's: 127 where there is none, 126 where it cannot be executed."""
    (tmp_path / "text").write_text("no program")
    missing = run("--url", URL, "no-such-command-at-all")
    text = run("--url", URL, "./text")

    assert (127, 126) == (missing[0], text[0])
    assert "there is no command 'no-such-command-at-all' on the PATH" in missing[2]
    assert "./text cannot be started: Permission denied" in text[2]


def test_no_command_is_a_usage_error(run):
    """Exit code 2."""
    assert 2 == run("--url", URL)[0]


def test_another_environment_is_told_apart(run, bare_venv, tmp_path):
    """Where openlineage-bridge is not installed nothing can be loaded: that is said, and the command runs."""
    other = str(bare_venv / "bin" / "python")
    script = tmp_path / "script"
    script.write_text(f"#!{other}\nprint(1)\n")
    script.chmod(0o755)

    for command in ([other, "-c", "print(1)"], [str(script)]):
        code, out, err = run("--url", URL, *command)

        assert (0, "1") == (code, out)
        assert f"openlineage-bridge is not installed for {other}" in err


def test_a_run_within_a_run_has_one_loader():
    """The folder is on the path once."""
    once = launch.environment({"PYTHONPATH": ":/theirs"})
    twice = launch.environment(once)

    assert f"{launch.FOLDER}::/theirs" == once["PYTHONPATH"] == twice["PYTHONPATH"]
    assert launch.FOLDER == launch.environment({})["PYTHONPATH"]


def test_switches_of_the_user_stay_as_they_are():
    """What is not asked for is inherited."""
    found = launch.environment(
        {"OPENLINEAGE_URL": "http://set", "PREFECT_PLUGINS_ENABLED": "false"}, url=None
    )

    assert ("http://set", "false") == (found["OPENLINEAGE_URL"], found["PREFECT_PLUGINS_ENABLED"])
