"""Decisions about documents: what to upload, where results go, what the manifest says. Pure: no Airflow, no I/O."""
