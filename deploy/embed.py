"""Puts default-worker.py into template.yaml, which CloudFormation needs in one piece.

    python3 deploy/embed.py            # write it
    python3 deploy/embed.py --check    # only say whether it stands there as it is
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
WORKER = HERE / "default-worker.py"
TEMPLATE = HERE.parent / "template.yaml"
BEGIN = "      # Begin of deploy/default-worker.py. Edit it there, then run deploy/embed.py.\n"
END = "      # End of deploy/default-worker.py.\n"
INDENT = " " * 8


def embedded(template, worker):
    """The template with the worker between its two marks, as a literal block."""
    before, begin, rest = template.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"error: {TEMPLATE.name} has no lines\n{BEGIN}{END}")
    lines = (INDENT + line if line.strip() else "\n" for line in worker.splitlines(keepends=True))
    return f"{before}{BEGIN}      Script: |\n{''.join(lines)}{END}{after}"


def main():
    found = TEMPLATE.read_text()
    wanted = embedded(found, WORKER.read_text())
    if "--check" in sys.argv[1:]:
        if found != wanted:
            raise SystemExit(f"error: {TEMPLATE.name} holds another {WORKER.name}: run deploy/embed.py")
    elif found != wanted:
        TEMPLATE.write_text(wanted)


if __name__ == "__main__":
    main()
