"""What every test shares: an Airflow home of its own, made before Airflow is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings

# A new one each time: an airflow.cfg that Airflow once wrote may say default_deferrable = false.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="llamabatch-tests-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(name, None)  # tests talk to loopback only

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Airflow warns of while it is imported is not about this package
    import airflow.providers.common.compat.sdk
    import airflow.triggers.base  # noqa: F401
