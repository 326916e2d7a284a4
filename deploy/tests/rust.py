"""What the code reads from its environment and calls at AWS, as its sources say."""

import functools
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PREFIXES = ("ECS_", "BATCH_", "LONGHAUL_")


def source(path):
    """Rust without comments, and without the tests at its end."""
    # Tests in files of their own may be declared anywhere, and what stands below such a line is no test.
    text = re.sub(r'#\[cfg\(test\)\]\n(#\[path = "[^"]*"\]\n)?(pub\S* )?mod \w+;', "", path.read_text())
    text = text.partition("#[cfg(test)]\nmod ")[0]
    return re.sub(r"(?m)//.*$", "", text)


def sources(folder):
    """The files of a folder or the file itself, but for tests."""
    start = ROOT / folder
    paths = [start] if start.is_file() else sorted(start.rglob("*.rs"))
    inside = [(path, str(path.relative_to(start))) for path in paths]
    return [path for path, name in inside if not re.search(r"(^|[_/])(tests?|testing)(\.rs$|/)", name)]


def variables(*folders):
    """The names of environment variables in these sources: literals, and constants of the worker contract."""
    contract = dict(re.findall(r'pub const (\w+): &str = "(\w+)"', (ROOT / "core/src/contract.rs").read_text()))
    found = set()
    for folder in folders:
        for path in sources(folder):
            text = source(path)
            found |= set(re.findall(r'"([A-Z][A-Z0-9_]*)"', text))
            found |= {contract[name] for name in re.findall(r"contract::([A-Z_]+)\b", text) if name in contract}
    return {name for name in found if name.startswith(PREFIXES)}


@functools.cache
def functions(folder):
    """The bodies of the functions of a crate by name; functions of one name are put together."""
    bodies = {}
    for path in sources(folder):
        text = source(path)
        for match in re.finditer(r"\bfn (\w+)", text):
            start = text.find("{", match.end())
            end = text.find(";", match.end())
            if start < 0 or 0 <= end < start:
                continue
            depth, at = 0, start
            while True:
                depth += {"{": 1, "}": -1}.get(text[at], 0)
                if depth == 0:
                    break
                at += 1
            bodies[match[1]] = bodies.get(match[1], "") + text[start:at]
    return bodies


def reached(folder, start, call):
    """What `call`, a pattern with one group, finds in `start` and in every function that it leads to."""
    bodies, seen, found, ahead = functions(folder), set(), set(), [start]
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        found |= set(re.findall(call, bodies[name]))
        # A call on something else than self is not a call of this crate's own.
        ahead += [other for other in re.findall(r"(?:self\s*\.\s*|Self::|(?<![.\w:]))(\w+)\(", bodies[name]) if other in bodies]
    return found


def sdk_operations(folder):
    """The operations of AWS SDK clients that are called in a folder."""
    found = set()
    for path in sources(folder):
        text = source(path)
        found |= set(re.findall(r"\b(?:client(?:\(\)\s*\.await)?)\s*\.([a-z][a-z0-9_]+)\(\)", re.sub(r"\s+\.", ".", text)))
        found |= set(re.findall(r"operation::([a-z_]+)::builders::\w+InputBuilder", text))
    return found - {"config"}


def sdk_crate(name):
    """The sources of a dependency, where cargo keeps them."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"], cwd=ROOT, capture_output=True, check=True
    )
    package = next(p for p in json.loads(metadata.stdout)["packages"] if p["name"] == name)
    return pathlib.Path(package["manifest_path"]).parent / "src"
