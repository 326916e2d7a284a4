"""The hello job in Python, to be run under the supervisor: longhaul-worker run -- python3 hello.py

Standard library only, and nothing of callbacks: the input is JSON in a variable, or in a file when
it is large, the result is JSON in a file, and an exception is a failure whose last line the
waiting function gets to see.
"""

import json
import os
import time


def read_input() -> object:
    path = os.environ.get("LONGHAUL_INPUT_FILE")
    if path:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    return json.loads(os.environ.get("LONGHAUL_INPUT", "null"))


def main() -> None:
    given = read_input() or {}
    message = given.get("message", "Hello from Lambda Durable Function")
    seconds = given.get("processingTime", 10)

    print("--- The hello job has started ---")
    print(f"Message: {message}")
    print(f"Processing Time: {seconds} seconds")
    print("Simulating work...", flush=True)
    time.sleep(seconds)

    result = {"status": "completed", "message": f"Processed: {message}"}
    print(f"Result: {json.dumps(result, ensure_ascii=False)}", flush=True)
    path = os.environ.get("LONGHAUL_RESULT_FILE")
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(result, file)


if __name__ == "__main__":
    main()
