"""What to do with a batch: pure decisions. No Airflow, no I/O, the clock is passed in."""
