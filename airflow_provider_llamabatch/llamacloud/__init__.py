"""The LlamaCloud API: calls as values, answers as models, failures as exceptions. Imports no Airflow."""
