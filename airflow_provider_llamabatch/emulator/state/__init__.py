"""What the emulated service knows, and the clock it moves by."""
