"""Shows the example DAG at work: sample documents, a real Airflow, a report."""
