"""Runs one target under atheris: `python -m fuzz.engine TARGET [libFuzzer's options and folders]`.

`scripts/fuzz` does, in a process of its own for each target.
"""

import importlib
import shlex
import sys


def main(arguments: list[str]) -> None:
    """Fuzz the named target until libFuzzer's options say that it is enough."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["sidestream"]):
        catalogue = importlib.import_module("fuzz.catalogue")
    target = catalogue.TARGETS[arguments[0]]
    options = [*arguments[1:], f"-max_len={target.max_bytes}"]
    if target.dictionary:
        options.append(f"-dict={target.dictionary}")
    # libFuzzer starts itself again by its first argument, through a shell, when it merges corpora.
    program = f"{shlex.quote(sys.executable)} -m fuzz.engine {target.name}"
    atheris.Setup([program, *options], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
