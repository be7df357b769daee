"""The page in Airflow's own UI: batches, their files and what they cost. Airflow 3.1 and newer."""
