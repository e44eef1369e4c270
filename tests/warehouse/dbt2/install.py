"""
Builds the driver that dbt 2 finds in its cache; run once with the environment's own interpreter.

    <venv>/bin/pip install -r tests/env/dbt-2.txt
    <venv>/bin/python tests/warehouse/dbt2/install.py

dbt 2 loads its BigQuery driver from $XDG_CACHE_HOME/com.getdbt/adbc, and downloads it when it is not there. It is in no
package registry, so the bench puts one in its place: Apache's driver in a wrapper (`driver.c`), built by the machine's
C compiler. Where there is none, the environment stays without a driver and says so; its tests are skipped.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

#: The version of the driver that dbt Core 2.0.0-alpha.4 asks for; it is compiled in.
DRIVER = "0.21.0.dev+dbt0.21.12"
PARSER = "dbt-core-experimental-parser"


def main() -> None:
    """Build the driver, and give dbt its usual name."""
    environment = Path(sys.prefix)
    dbt = environment / "bin" / "dbt"
    dbt.unlink(missing_ok=True)
    dbt.symlink_to(PARSER)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        print("There is no C compiler (CC), so dbt 2 gets no BigQuery driver, and its tests are skipped.")
        return
    package = find_spec("adbc_driver_bigquery")
    assert package is not None
    assert package.origin is not None
    apache = Path(package.origin).with_name("libadbc_driver_bigquery.so")
    platform_name = f"{platform.machine()}-manylinux_2_17-linux-gnu"
    folder = environment / "cache" / "com.getdbt" / "adbc" / platform_name
    folder.mkdir(parents=True, exist_ok=True)
    built = folder / f"libadbc_driver_bigquery-{DRIVER}.so"
    source = Path(__file__).with_name("driver.c")
    options = ["-shared", "-fPIC", "-O1", "-Wall", f'-DAPACHE_DRIVER="{apache}"']
    aside = built.with_suffix(".new")  # a dbt may be running with the earlier one
    subprocess.run([*compiler, *options, "-o", aside, source, "-ldl", "-lpthread"], check=True)
    aside.replace(built)


if __name__ == "__main__":
    main()
