"""The command line: ``airflow llamabatch`` (Airflow 3.2 and newer) and ``python -m airflow_provider_llamabatch``."""
