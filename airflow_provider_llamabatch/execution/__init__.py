"""What operators and sensors do on the worker: they send what was decided, and store what comes back."""
