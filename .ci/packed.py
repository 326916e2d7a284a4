"""Checks one packed crate: metadata, licences, a page, and nothing that does not belong to it."""

import re
import sys
import tarfile
import tomllib
from pathlib import Path

LIMIT = 10 * 1024 * 1024  # crates.io refuses more (The Cargo Book, "Publishing on crates.io")


def problems(path: Path):
    root = path.name.removesuffix(".crate")
    with tarfile.open(path) as packed:
        files = {m.name.removeprefix(root + "/"): m for m in packed.getmembers()}
        manifest = tomllib.loads(packed.extractfile(files["Cargo.toml"]).read().decode())
    package = manifest["package"]
    for key in ("description", "license", "repository", "rust-version", "readme", "keywords", "categories"):
        if not package.get(key):
            yield f"Cargo.toml has no {key}"
    for name in ("LICENSE-MIT", "LICENSE-APACHE", "README.md"):
        if name not in files or files[name].size < 100:
            yield f"{name} is missing or empty"
    if not any(name in files for name in ("src/lib.rs", "src/main.rs")):
        yield "there is no source"
    for name, member in files.items():
        if not member.isfile():
            yield f"{name} is no plain file"
        if re.search(r"(^|/)(target|node_modules|\.env|\.cache|__pycache__)(/|$)", name):
            yield f"{name} does not belong into it"
    for kind in ("dependencies", "build-dependencies"):
        for name, wanted in manifest.get(kind, {}).items():
            if "path" in wanted or "git" in wanted or "version" not in wanted:
                yield f"{kind}.{name} cannot be found in a registry"
    if path.stat().st_size > LIMIT:
        yield f"it has {path.stat().st_size} bytes, more than crates.io takes"


path = Path(sys.argv[1])
found = list(problems(path))
for problem in found:
    print(f"error: {path.name}: {problem}", file=sys.stderr)
sys.exit(1 if found else 0)
