"""What every test shares: an Airflow home of its own, made before Airflow is imported."""

from __future__ import annotations

import os
import tempfile
import warnings

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="llamabatch-tests-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(name, None)  # tests talk to loopback only

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Airflow warns of while it is imported is not about this package
    import airflow.providers.common.compat.sdk
    import airflow.triggers.base  # noqa: F401
