"""The container that a stack runs until it is given one of its own: the sample's work, and a real callback.

Standard library only, because the public Python image has nothing else.
"""
import datetime, hashlib, hmac, json, os, signal, sys, time, urllib.error, urllib.parse, urllib.request

REGION = os.environ.get("AWS_REGION") or os.environ["AWS_DEFAULT_REGION"]
SUFFIX = "amazonaws.com.cn" if REGION.startswith("cn-") else "amazonaws.com"
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or f"https://lambda.{REGION}.{SUFFIX}"
CALLBACK = urllib.parse.quote(os.environ["CALLBACK_ID"], safe="")
NOBODY_LISTENS, UNDELIVERED, INTERRUPTED = 76, 75, 143


class Refused(Exception):
    """An answer that another try would not change."""


def credentials():
    """Key, secret and token of the task's role, asked for each time because they expire."""
    path = os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if not path:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return [os.environ.get(name, "") for name in names]
    with urllib.request.urlopen("http://169.254.170.2" + path, timeout=5) as answer:
        found = json.load(answer)
    return [found[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")]


def signed(url, body, kind):
    """The headers of a POST of `kind`, signed with AWS Signature Version 4."""
    key, secret, token = credentials()
    url = urllib.parse.urlsplit(url)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": url.netloc, "x-amz-date": now}
    if token:
        headers["x-amz-security-token"] = token
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    # The path is encoded a second time: only S3 signs it as it is sent.
    path = urllib.parse.quote(url.path, safe="/-_.~")
    text = "\n".join(["POST", path, "", *lines, "", names, hashlib.sha256(body).hexdigest()])
    scope = f"{now[:8]}/{REGION}/lambda/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(text.encode()).hexdigest()])
    signing = ("AWS4" + secret).encode()
    for part in [*scope.split("/"), text]:
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    authorization = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signing.hex()}"
    return {**headers, "authorization": authorization, "content-type": kind}


def tell(verb, body=b""):
    """Makes one call of the callback API, once."""
    url = f"{ENDPOINT}/2025-12-01/durable-execution-callbacks/{CALLBACK}/{verb}"
    headers = signed(url, body, "application/json" if verb == "fail" else "application/octet-stream")
    try:
        request = urllib.request.Request(url, body, headers, method="POST")
        urllib.request.urlopen(request, timeout=20).close()
    except urllib.error.HTTPError as error:
        kind = error.headers.get("x-amzn-errortype", "").split(":")[0] or f"HTTP {error.code}"
        if kind in ("CallbackTimeoutException", "ResourceNotFoundException"):
            print(f"Nobody listens any more ({kind}): stopping", flush=True)
            sys.exit(NOBODY_LISTENS)
        if error.code < 500 and error.code != 429:
            raise Refused(f"{verb}: {kind}") from None
        raise OSError(f"{verb}: {kind}") from None


def deliver(verb, body):
    """Makes the last call, and tries again for about five minutes what may pass."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for pause in [1, 2, 4, 8, 15, 30, 60, 60, 60, 60, None]:
        try:
            return tell(verb, body.encode())
        except OSError as error:
            print(f"Not delivered: {error}", flush=True)
            if pause is None:
                sys.exit(UNDELIVERED)
            time.sleep(pause)


def work():
    """What the sample does: takes its time, and says that it took it."""
    if "LONGHAUL_INPUT_URI" in os.environ:
        raise ValueError("the input is too large for this container, which reads MESSAGE and PROCESSING_TIME only")
    message, seconds = os.environ.get("MESSAGE", ""), float(os.environ.get("PROCESSING_TIME", "10"))
    if not 0 <= seconds <= 31_622_400:
        raise ValueError(f"PROCESSING_TIME is {seconds}: use 0 to 31622400 seconds")
    print(f"=== Job started ===\nMessage: {message}\nProcessing Time: {seconds:g} seconds\nSimulating work...", flush=True)
    every = int(os.environ.get("LONGHAUL_HEARTBEAT_SECONDS") or 0) / 3
    end = time.monotonic() + seconds
    while True:
        if every:
            try:
                tell("heartbeat")
            except OSError as error:
                print(f"No heartbeat: {error}", flush=True)
        left = end - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(left, every or left))
    if "FAIL" in os.environ:
        raise RuntimeError(os.environ["FAIL"])
    return {"status": "completed", "message": f"Processed: {message}"}


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result = json.dumps(work(), separators=(",", ":"))
        print(f"Result: {result}", flush=True)
        deliver("succeed", result)
        return 0
    except KeyboardInterrupt:
        kind, text, data, code = "Interrupted", "the container was told to stop", {"signal": 15}, INTERRUPTED
    except Exception as error:
        kind, text, data, code = "Failed", f"{error or type(error).__name__}", {"exit_code": 1}, 1
    print(f"Failed: {text}", flush=True)
    failure = {"ErrorType": f"Longhaul.{kind}", "ErrorMessage": text, "ErrorData": json.dumps(data)}
    deliver("fail", json.dumps(failure))
    return code


sys.exit(main())
