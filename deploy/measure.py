"""Holds the functions to the glibc of `provided.al2023`, and says how large they are.

    python3 deploy/measure.py FILE…
"""

import io
import pathlib
import re
import subprocess
import sys
import zipfile

# Amazon Linux 2023, and so provided.al2023, has glibc 2.34.
NEWEST_GLIBC = (2, 34)
# AWS Lambda, "Lambda quotas": the largest package that can be uploaded directly.
LARGEST_ZIP = 50 * 1024 * 1024


def glibc(program):
    """The versions of glibc's symbols that the program asks for; none if it asks for no library."""
    said = subprocess.run(["readelf", "--wide", "--version-info", program], capture_output=True, text=True, check=True)
    return sorted({tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_(\d+(?:\.\d+)+)", said.stdout)})


def zipped(program):
    """The size of the program as the only file of a package."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(program, "bootstrap")
    return len(package.getvalue())


def main():
    for program in map(pathlib.Path, sys.argv[1:]):
        versions, size, package = glibc(program), program.stat().st_size, zipped(program)
        newest = ".".join(map(str, versions[-1])) if versions else "none"
        print(f"{program.parent.name}/{program.name}: {size:,} bytes, {package:,} zipped, glibc: {newest}")
        if versions and versions[-1] > NEWEST_GLIBC:
            raise SystemExit(f"error: {program} needs glibc {newest}, and provided.al2023 has 2.34")
        if package > LARGEST_ZIP:
            raise SystemExit(f"error: {program} is too large for Lambda: {package} bytes zipped")


if __name__ == "__main__":
    main()
