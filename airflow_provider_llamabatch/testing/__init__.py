"""What a test of one's own DAGs needs: an emulator as a fixture, and DAGs and operators run in the test."""
