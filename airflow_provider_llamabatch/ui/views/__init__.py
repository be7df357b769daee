"""What the page shows, built from models: pure functions, tested as tables."""
