"""The container that a stack runs out of the box really calls back: signed, and whatever happens."""

import ast
import json
import pathlib
import sys
import urllib.parse

import fargate
import pytest

WORKER = pathlib.Path(__file__).resolve().parent.parent / "default-worker.py"
# Shaped as the service mints them: base64, with the characters that a path must encode.
CALLBACK = "YXJuOmF3czpsYW1iZGE+Oi8/ab/c+d=="
BASE = "/2025-12-01/durable-execution-callbacks/" + urllib.parse.quote(CALLBACK, safe="")


def work(answers=(), terminate_at=None, **environment):
    # Run as the task definition runs it.
    command = [sys.executable, "-u", "-c", WORKER.read_text()]
    environment = {"CALLBACK_ID": CALLBACK, "MESSAGE": "Test ECS task", "PROCESSING_TIME": "0", **environment}
    done = fargate.run(command, environment, answers, terminate_at)
    for secret in (CALLBACK, urllib.parse.quote(CALLBACK, safe=""), fargate.ROLE["SecretAccessKey"]):
        assert secret not in done["output"]
    assert not [call for call in done["calls"] if "refused" in call], done
    return done


def verbs(done):
    return [call["path"].removeprefix(BASE + "/") for call in done["calls"]]


def test_the_samples_job_completes_its_callback():
    done = work()
    assert (done["code"], verbs(done)) == (0, ["succeed"])
    assert done["calls"][0]["body"] == '{"status":"completed","message":"Processed: Test ECS task"}'
    assert done["calls"][0]["type"] == "application/octet-stream"
    assert "Message: Test ECS task\nProcessing Time: 0 seconds\nSimulating work...\n" in done["output"]


def test_a_message_arrives_as_it_was_sent():
    message = 'quotes " and \\ and newlines\n and ünïcode 😀'
    done = work(MESSAGE=message)
    assert json.loads(done["calls"][0]["body"])["message"] == f"Processed: {message}"


def test_heartbeats_come_at_once_and_then_every_third_of_the_timeout():
    done = work(LONGHAUL_HEARTBEAT_SECONDS="3", PROCESSING_TIME="2.5")
    assert done["code"] == 0
    *beats, last = verbs(done)
    # At 0, 1 and 2 s and at the end; on a machine that is slow one may be left out.
    assert last == "succeed" and set(beats) == {"heartbeat"} and 3 <= len(beats) <= 4


def test_a_heartbeat_that_fails_is_followed_by_another():
    answers = [(500, "ServiceException"), (429, "TooManyRequestsException")]
    done = work(answers, LONGHAUL_HEARTBEAT_SECONDS="1", PROCESSING_TIME="2")
    *beats, last = verbs(done)
    assert (done["code"], last) == (0, "succeed") and set(beats) == {"heartbeat"} and len(beats) >= 3


def test_a_failure_is_reported():
    done = work(FAIL="the disk is full")
    assert (done["code"], verbs(done)) == (1, ["fail"])
    assert json.loads(done["calls"][0]["body"]) == {
        "ErrorType": "Longhaul.Failed",
        "ErrorMessage": "the disk is full",
        "ErrorData": '{"exit_code": 1}',
    }
    assert done["calls"][0]["type"] == "application/json"


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "inf"])
def test_a_time_that_is_none_is_reported_as_a_failure(seconds):
    done = work(PROCESSING_TIME=seconds)
    assert (done["code"], verbs(done)) == (1, ["fail"])
    assert seconds in json.loads(done["calls"][0]["body"])["ErrorMessage"]


def test_an_input_by_reference_is_reported_as_a_failure():
    done = work(LONGHAUL_INPUT_URI="s3://bucket/key")
    assert (done["code"], verbs(done)) == (1, ["fail"])
    assert "too large" in json.loads(done["calls"][0]["body"])["ErrorMessage"]


def test_a_container_that_is_told_to_stop_says_so():
    done = work(terminate_at="heartbeat", LONGHAUL_HEARTBEAT_SECONDS="30", PROCESSING_TIME="3600")
    assert (done["code"], verbs(done)) == (143, ["heartbeat", "fail"])
    failure = json.loads(done["calls"][1]["body"])
    assert (failure["ErrorType"], failure["ErrorData"]) == ("Longhaul.Interrupted", '{"signal": 15}')


def test_a_container_that_nobody_listens_to_stops():
    answers = [(400, "CallbackTimeoutException")]
    done = work(answers, LONGHAUL_HEARTBEAT_SECONDS="30", PROCESSING_TIME="3600")
    assert (done["code"], verbs(done)) == (76, ["heartbeat"])


def test_a_result_is_delivered_again_until_it_is_accepted():
    done = work([(500, "ServiceException"), (429, "TooManyRequestsException:http://…")])
    assert (done["code"], verbs(done)) == (0, ["succeed"] * 3)
    assert len({call["body"] for call in done["calls"]}) == 1


def test_a_result_that_is_refused_is_reported_as_a_failure():
    done = work([(400, "InvalidParameterValueException")])
    assert (done["code"], verbs(done)) == (1, ["succeed", "fail"])
    assert json.loads(done["calls"][1]["body"])["ErrorMessage"] == "succeed: InvalidParameterValueException"


def test_the_fake_hears_what_boto_signs_and_nothing_that_is_changed_on_the_way():
    call = (
        "import boto3, os\n"
        "client = boto3.client('lambda', region_name='eu-west-1')\n"
        "if 'TAMPER' in os.environ:\n"
        "    client.meta.events.register('before-send', lambda request, **_: setattr(request, 'body', b'2'))\n"
        "client.send_durable_execution_callback_success(CallbackId=os.environ['CALLBACK_ID'], Result=b'1')\n"
    )
    environment = {"CALLBACK_ID": CALLBACK}
    done = fargate.run([sys.executable, "-c", call], environment)
    assert (done["code"], done["calls"][0]["path"], done["calls"][0]["body"]) == (0, BASE + "/succeed", "1")
    done = fargate.run([sys.executable, "-c", call], {**environment, "TAMPER": "1"})
    assert done["code"] != 0
    assert {call.get("refused") for call in done["calls"]} == {"InvalidSignatureException"}


def test_it_is_python_that_the_image_reads():
    ast.parse(WORKER.read_text(), feature_version=(3, 12))


def test_it_finds_the_api_by_its_name_and_trusts_it_by_its_certificate(tls):
    certificate, authority = tls
    command = [sys.executable, "-u", "-c", WORKER.read_text()]
    environment = {"CALLBACK_ID": CALLBACK, "PROCESSING_TIME": "0", "SSL_CERT_FILE": str(authority)}
    done = fargate.run(command, environment, certificate=certificate)
    assert (done["code"], verbs(done)) == (0, ["succeed"]), done
    assert done["calls"][0]["host"] == "lambda.eu-west-1.amazonaws.com"
