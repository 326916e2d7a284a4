"""The supervisor is one file that needs no other: it works in an image that holds nothing else."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import fargate
import pytest
import rust
from test_default_worker import BASE, CALLBACK

# What deploy/build-worker made.
WORKER = os.environ.get("LONGHAUL_STATIC_WORKER")
needs_the_worker = pytest.mark.skipif(not WORKER, reason="LONGHAUL_STATIC_WORKER names no build of deploy/build-worker")


@pytest.fixture
def root(tmp_path, tls):
    """An image of the supervisor and the authorities that it trusts, with the folder for results that workers/Dockerfile
    has."""
    (tmp_path / "etc/ssl/certs").mkdir(parents=True)
    shutil.copy(tls[1], tmp_path / "etc/ssl/certs/ca-certificates.crt")
    (tmp_path / "tmp").mkdir(mode=0o1777)
    shutil.copy(WORKER, tmp_path / "longhaul-worker")
    return tmp_path


@pytest.fixture
def container(root):
    """The same with the devices that every container has."""
    (root / "dev").mkdir()
    for device in ("null", "urandom"):
        (root / "dev" / device).touch()
    return root


def supervise(root, tls, command, answers=(), terminate_at=None, **environment):
    environment = {"CALLBACK_ID": CALLBACK, "LONGHAUL_HEARTBEAT_SECONDS": "30", **environment}
    command = ["/longhaul-worker", "run", "--", *command]
    done = fargate.run(command, environment, answers, terminate_at, certificate=tls[0], root=root)
    assert CALLBACK not in done["output"]
    assert not [call for call in done["calls"] if "refused" in call], done
    return done


def reports(done):
    """The calls that complete the callback. Heartbeats are on their way beside them, or never were."""
    assert {call["path"].removeprefix(BASE) for call in done["calls"]} <= {"/heartbeat", "/succeed", "/fail"}
    return [call for call in done["calls"] if not call["path"].endswith("/heartbeat")]


@needs_the_worker
def test_it_needs_no_other_file():
    headers = subprocess.run(["readelf", "--wide", "--program-headers", "--dynamic", WORKER], capture_output=True, text=True)
    assert headers.returncode == 0, headers.stderr
    assert "INTERP" not in headers.stdout and "NEEDED" not in headers.stdout


@needs_the_worker
def test_it_says_nothing_of_the_folders_that_it_was_built_from():
    content = pathlib.Path(WORKER).read_bytes()
    # What panics say of a crate's source begins with the crate's name.
    assert b"tokio-1." in content and b"/registry/src/" not in content


@needs_the_worker
def test_alone_in_an_empty_root_it_completes_a_callback(root, tls):
    done = supervise(root, tls, ["/render"])
    # There is no such command, and somebody is told.
    assert done["code"] == 127, done
    (report,) = reports(done)
    assert json.loads(report["body"])["ErrorType"] == "Longhaul.FailedToStart"
    # The API was found by its name and believed by its certificate, and every call was signed with the task's role.
    assert {call["host"] for call in done["calls"]} == {fargate.API}


@needs_the_worker
def test_in_an_image_of_its_own_it_runs_a_command_and_reports_its_result(container, tls):
    done = supervise(container, tls, ["/longhaul-worker", "--version"])
    assert done["code"] == 0, done
    (report,) = reports(done)
    assert (report["path"], report["body"]) == (f"{BASE}/succeed", "null")
    size, memory = pathlib.Path(WORKER).stat().st_size, report["memory"]
    print(f"the supervisor alone: {size / 1e6:.2f} MB, {memory / 1024:.1f} MiB at most")
    # Far above what was measured, and far below what would be noticed.
    assert size < 16e6 and memory < 32 * 1024


@needs_the_worker
def test_in_an_image_of_its_own_it_reports_a_failure(container, tls):
    done = supervise(container, tls, ["/longhaul-worker", "no-such-command"])
    assert done["code"] == 2, done
    (report,) = reports(done)
    failure = json.loads(report["body"])
    assert failure["ErrorType"] == "Longhaul.Failed"
    assert json.loads(failure["ErrorData"])["exit_code"] == 2


@needs_the_worker
def test_from_a_shared_volume_it_runs_the_command_of_another_image(tmp_path):
    # What the init container does, and then the entry point of the worker beside it: that image is this machine.
    subprocess.run(["cp", WORKER, tmp_path / "longhaul-worker"], check=True)
    program = (
        "import json, os; open(os.environ['LONGHAUL_RESULT_FILE'], 'w').write("
        "json.dumps({'got': json.loads(os.environ['LONGHAUL_INPUT']), 'token': os.environ.get('CALLBACK_ID')}))"
    )
    command = [f"{tmp_path}/longhaul-worker", "run", "--", sys.executable, "-c", program]
    done = fargate.run(command, {"CALLBACK_ID": CALLBACK, "LONGHAUL_INPUT": '{"frame":7}'})
    (report,) = reports(done)
    assert (done["code"], report["path"]) == (0, f"{BASE}/succeed"), done
    # The command never sees the token.
    assert json.loads(report["body"]) == {"got": {"frame": 7}, "token": None}


@needs_the_worker
def test_an_authority_that_is_not_in_the_image_is_not_trusted(container, tls):
    authority = container / "etc/ssl/certs/ca-certificates.crt"
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", authority)
    done = supervise(container, tls, ["/longhaul-worker", "--version"], LONGHAUL_TIMEOUT_SECONDS="2")
    assert (done["code"], done["calls"]) == (75, []), done


def test_the_image_is_built_from_every_crate_of_the_workspace():
    text = (rust.ROOT / "workers/Dockerfile").read_text()
    members = re.search(r"^members = \[(.*?)\]", (rust.ROOT / "Cargo.toml").read_text(), re.M | re.S)[1]
    wanted = {member.split("/")[0] for member in re.findall(r'"([^"]+)"', members)}
    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.M))
    assert copied == wanted


def test_the_image_is_built_by_the_script_that_is_tested_here_on_the_compiler_of_the_workspace():
    text = (rust.ROOT / "workers/Dockerfile").read_text()
    assert "deploy/build-worker /root-of-image/longhaul-worker" in text
    version = re.search(r"rust:(\d+\.\d+)", text)[1]
    least = re.search(r'^rust-version = "(\d+\.\d+)', (rust.ROOT / "Cargo.toml").read_text(), re.M)[1]
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))


def test_the_image_ends_with_nothing_but_the_supervisor_and_its_authorities():
    text = (rust.ROOT / "workers/Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert last.startswith("\nFROM scratch\n")
    assert re.findall(r"^USER (\S+)", last, re.M) == ["65532:65532"]
    assert re.findall(r"^ENTRYPOINT (.*)", last, re.M) == ['["/longhaul-worker", "run", "--"]']
    assert len(re.findall(r"^COPY ", last, re.M)) == 2
